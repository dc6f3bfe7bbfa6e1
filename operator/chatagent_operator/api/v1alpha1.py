"""ChatAgent, version v1alpha1: the spec as pydantic models. The status is in `status`.

The CRD, the reference page and the operator all come from here. A field's docstring is its
`kubectl explain` text. Defaults of versioned fields never change within an API version: a
revision is the hash of what differs from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from agent_runtime.config import AgentConfig, ConfigModel

GROUP = "chatagent.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ChatAgent"
PLURAL = "chatagents"

MAX_NAME_LENGTH = 40
"""Longest name of a ChatAgent: names of its children add up to 23 characters."""

DnsLabel = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Quantity = Annotated[
    int | str,
    Field(
        union_mode="left_to_right",
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        },
    ),
]
RawObject = Annotated[
    dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]


class ResourceRequirements(ConfigModel):
    """CPU, memory and devices of a container."""

    requests: dict[str, Quantity] = {}
    """What the scheduler sets aside, such as `cpu: 500m`."""

    limits: dict[str, Quantity] = {}
    """What the container may use at most, such as `nvidia.com/gpu: 1`."""


class EnvVar(ConfigModel):
    """An environment variable."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!self.startsWith('AGENT_')",
                        "message": "names that begin with AGENT_ belong to the operator",
                    }
                ]
            },
        ),
    ]
    """Name of the variable. Names that begin with `AGENT_` belong to the operator."""

    value: str | None = None
    """Its value."""

    value_from: RawObject | None = None
    """Where the value comes from: `secretKeyRef`, `configMapKeyRef`, `fieldRef` or
    `resourceFieldRef`, as in a Pod."""


class Toleration(ConfigModel):
    """A taint that the pods tolerate, as in a Pod."""

    key: str | None = None
    """Key of the taint. Absent with `Exists`: every taint."""

    operator: Literal["Exists", "Equal"] = "Equal"
    """`Equal` compares `value` too."""

    value: str | None = None
    """Value of the taint."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Absent: every effect."""

    toleration_seconds: int | None = None
    """How long `NoExecute` is tolerated, in seconds. Absent: for ever."""


class LocalObjectReference(ConfigModel):
    """Names an object in the ChatAgent's own namespace."""

    name: ObjectName
    """Name of the object."""


class SecretKeyRef(ConfigModel):
    """Names a key of a Secret in the ChatAgent's own namespace."""

    name: ObjectName
    """Name of the Secret."""

    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the Secret."""


class PodSettings(ConfigModel):
    """What the pods of the agent need beyond image and resources."""

    env: Annotated[tuple[EnvVar, ...], Field(max_length=100)] = ()
    """Environment variables."""

    env_from: Annotated[tuple[RawObject, ...], Field(max_length=20)] = ()
    """Secrets and ConfigMaps whose keys become environment variables, as in a Pod."""

    node_selector: dict[str, str] = {}
    """Labels that a node must have."""

    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=20)] = ()
    """Taints that the pods tolerate. A pod that asks for GPUs tolerates the taint of that
    resource's name without being told."""

    affinity: RawObject | None = None
    """Affinity and anti-affinity, as in a Pod."""

    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods. Absent: the operator's setting for GPU pods, none for others."""

    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""

    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Field(max_length=10)] = ()
    """Secrets for pulling the image."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""

    service_account_name: ObjectName | None = None
    """ServiceAccount of the pods. Absent: one without rights, named after the agent."""

    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """How long a pod may finish its open conversations after it was told to stop, in seconds."""


class VersionedSpec(ConfigModel):
    """The part of the spec that a revision is made of."""

    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\s]+$")]
    """Image of the runtime. A new tag is a new revision."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU, memory and GPUs of each pod. Without a GPU it is a CPU pod."""

    pod: PodSettings = PodSettings()
    """What the pods need beyond image and resources."""

    pipeline: AgentConfig = AgentConfig()
    """The agent itself: the same YAML that `agent-runtime serve` reads."""


class VolumeSettings(ConfigModel):
    """A volume claim."""

    size: Quantity = "1Gi"
    """Size of the volume."""

    storage_class_name: ObjectName | None = None
    """StorageClass of the volume. Absent: the cluster's default."""


class ManagedStore(ConfigModel):
    """A Chroma server of the agent's own."""

    storage: VolumeSettings = VolumeSettings()
    """Its volume. Cannot be changed later."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of the server."""

    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    """What becomes of the volume when the ChatAgent is deleted, or moves to an external store."""


class ExternalStore(ConfigModel):
    """A Chroma server that somebody else runs. The agent's collections stay there when the
    ChatAgent is deleted."""

    url: Annotated[
        str,
        Field(max_length=2048, pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"),
    ]
    """Where it answers: `http://HOST:PORT` or `https://HOST:PORT`, without a path."""

    token_secret_ref: SecretKeyRef | None = None
    """Bearer token for the server."""


class VectorStore(ConfigModel):
    """Where the passages are stored: a managed store, or an external one."""

    engine: Literal["chroma"] = "chroma"
    """Which store."""

    managed: ManagedStore | None = None
    """A store of the agent's own: a StatefulSet with a volume claim. The default."""

    external: ExternalStore | None = None
    """A store that is there already."""


class ManagedRedis(ConfigModel):
    """A Redis server of the agent's own."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of the server. It fills two thirds of its memory limit, 384Mi by default;
    then what has a time limit makes room, the least used first: cached answers and sessions."""

    storage: VolumeSettings | None = None
    """A volume for what it holds. Absent: a new pod begins empty, and conversations, files and
    stored responses are lost with the old one. Cannot be changed later."""


class ExternalRedis(ConfigModel):
    """A Redis server that somebody else runs. Several agents may share it."""

    url: Annotated[
        str,
        Field(
            max_length=2048,
            pattern=r"^rediss?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[0-9]{1,5})?$",
        ),
    ]
    """Where it answers: `redis://HOST:PORT`, or `rediss://HOST:PORT` with TLS; a database may
    follow, as in `/1`."""

    password_secret_ref: SecretKeyRef | None = None
    """Password of the server."""


class Redis(ConfigModel):
    """Where cached answers, conversations, files and stored responses are kept: a managed Redis,
    or an external one. While it is away the agent answers without cache and memory."""

    managed: ManagedRedis | None = None
    """A Redis of the agent's own. The default."""

    external: ExternalRedis | None = None
    """A Redis that is there already."""


class KnowledgeSource(ConfigModel):
    """Documents that the agent answers from."""

    name: DnsLabel
    """Name of the source; part of every citation's file name."""

    config_map: LocalObjectReference
    """A ConfigMap whose keys are file names (`.md` or `.txt`) and whose values are documents."""


class Knowledge(ConfigModel):
    """What the agent knows."""

    sources: Annotated[
        tuple[KnowledgeSource, ...],
        Field(
            min_length=1,
            max_length=50,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ]
    """Where the documents come from. A change is indexed at once; only what changed is read."""


class GatewayService(ConfigModel):
    """The Service that clients talk to."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""

    annotations: dict[str, str] = {}
    """Annotations of the Service, for instance for a cloud's load balancer."""


class Gateway(ConfigModel):
    """The gateway in front of the revisions: it holds the weights and keeps conversations where
    they are."""

    service: GatewayService = GatewayService()
    """The Service that clients talk to."""

    affinity_ttl_seconds: Annotated[int, Field(ge=60, le=604800)] = 86400
    """How long after its last turn a conversation is remembered, in seconds."""


class Rollout(ConfigModel):
    """How a new revision goes out."""

    canary_weight: Annotated[int, Field(ge=1, le=50)] = 5
    """Share of the new conversations that a new revision gets until it is promoted or aborted,
    in percent."""

    revision_history_limit: Annotated[int, Field(ge=0, le=100)] = 10
    """How many old revisions are remembered."""

    progress_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] = 600
    """How long a new revision may take to become ready, in seconds, before the agent is
    reported as Degraded. The stable revision serves all the while."""


_VOLUME = (
    "has({0}.managed) ? [string({0}.managed.storage.size), "
    "has({0}.managed.storage.storageClassName) ? {0}.managed.storage.storageClassName : ''] "
    ": ['1Gi', '']"
)
"""CEL: size and class of a managed store's volume, absent settings being the defaults."""


_REDIS_VOLUME = (
    "has({0}.managed) && has({0}.managed.storage) ? [string({0}.managed.storage.size), "
    "has({0}.managed.storage.storageClassName) ? {0}.managed.storage.storageClassName : ''] : []"
)


class ChatAgentSpec(VersionedSpec):
    """What a person asks for. `image`, `resources`, `pod` and `pipeline` are versioned: a change
    there makes a new revision. Everything else is applied in place."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods of each live revision."""

    vector_store: Annotated[
        VectorStore,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!(has(self.managed) && has(self.external))",
                        "message": "give either managed or external, not both",
                    },
                    {
                        "rule": "has(self.external) || has(oldSelf.external) || "
                        f"({_VOLUME.format('self')}) == ({_VOLUME.format('oldSelf')})",
                        "message": "the volume of a vector store cannot be changed; "
                        "make a new ChatAgent, or resize its PersistentVolumeClaim yourself",
                    },
                ]
            }
        ),
    ] = VectorStore()
    """Where the passages are stored."""

    redis: Annotated[
        Redis,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!(has(self.managed) && has(self.external))",
                        "message": "give either managed or external, not both",
                    },
                    {
                        "rule": "has(self.external) || has(oldSelf.external) || "
                        f"({_REDIS_VOLUME.format('self')}) == "
                        f"({_REDIS_VOLUME.format('oldSelf')})",
                        "message": "the volume of a managed Redis cannot be added, changed or "
                        "taken away; make a new ChatAgent, or move to an external Redis",
                    },
                ]
            }
        ),
    ] = Redis()
    """Where cached answers, conversations, files and stored responses are kept."""

    knowledge: Knowledge
    """What the agent knows."""

    gateway: Gateway = Gateway()
    """The gateway in front of the revisions."""

    rollout: Rollout = Rollout()
    """How a new revision goes out."""

    suspend: bool = False
    """Leave everything as it is: the operator neither changes nor deletes anything of the agent."""

    def versioned(self) -> VersionedSpec:
        """The part that a revision is made of."""
        return VersionedSpec(**{name: getattr(self, name) for name in VersionedSpec.model_fields})
