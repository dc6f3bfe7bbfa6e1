"""ChatAgent, version v1alpha1: the spec as pydantic models. The status is in `status`.

The CRD, the reference page and the operator all come from here. A field's docstring is its
`kubectl explain` text. Defaults of versioned fields never change within an API version: a
revision is the hash of what differs from them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from agent_runtime.config import AgentConfig, ConfigModel
from chatagent_operator.api.pods import (
    DnsLabel,
    Hostname,
    LocalObjectReference,
    ObjectName,
    PodSettings,
    Quantity,
    ResourceRequirements,
    SecretKeyRef,
)
from chatagent_operator.api.rollout import Rollout

MAX_NAME_LENGTH = 40
"""Longest name of a ChatAgent: names of its children add up to 23 characters."""


class VersionedSpec(ConfigModel):
    """The part of the spec that a revision is made of."""

    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\s]+$")]
    """Image of the runtime. A new tag is a new revision."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU, memory and GPUs of each pod. Without a GPU it is a CPU pod."""

    pod: PodSettings = PodSettings()
    """What the pods need beyond image and resources."""

    pipeline: Annotated[
        AgentConfig,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!has(self.retrieval) || !has(self.retrieval.vectorStore)",
                        "message": "the address of the vector store is in spec.vectorStore",
                    },
                    {
                        "rule": "!has(self.llm) || !has(self.llm.promptTemplate) || "
                        "self.llm.promptTemplate.contains('{question}')",
                        "message": "llm.promptTemplate: {question} has to stand in it",
                    },
                    {
                        "rule": "!has(self.tools) || self.tools.all(t, "
                        "[has(t.http), has(t.mcp), has(t.python)].filter(x, x).size() <= 1)",
                        "message": "http, mcp and python of a tool exclude each other",
                    },
                    {
                        "rule": "!has(self.tools) || self.tools.all(t, "
                        "!has(t.http) || has(t.http.openapi) || has(t.http.url))",
                        "message": "http of a tool needs openapi or url",
                    },
                    {
                        "rule": "!has(self.tools) || self.tools.all(t, "
                        "!has(t.mcp) || has(t.mcp.url) != has(t.mcp.command))",
                        "message": "mcp of a tool needs either url or command",
                    },
                ]
            }
        ),
    ] = AgentConfig()
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
    """A server that somebody else runs. The agent's collections stay there when the ChatAgent is
    deleted."""

    url: Annotated[
        str,
        Field(max_length=2048, pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"),
    ]
    """Where it answers: `http://HOST:PORT` or `https://HOST:PORT`, without a path."""

    token_secret_ref: SecretKeyRef | None = None
    """Bearer token for the server."""

    grpc_port: Annotated[int, Field(ge=1, le=65535)] = 50051
    """Second port of a Weaviate server, on the same host."""


class VectorStore(ConfigModel):
    """Where the passages are stored: a managed store, or an external one."""

    engine: Literal["chroma", "weaviate"] = "chroma"
    """Which store. A managed one is Chroma; Weaviate is one that is there already."""

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


class ParentReference(ConfigModel):
    """A Gateway, or one of its listeners."""

    name: ObjectName
    """Name of the Gateway."""

    namespace: DnsLabel | None = None
    """Its namespace. Absent: that of the ChatAgent. The Gateway must allow routes from there."""

    section_name: ObjectName | None = None
    """Name of the listener. Absent: all that take the route."""


class Gateway(ConfigModel):
    """The gateway in front of the revisions: it holds the weights and keeps conversations where
    they are."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.provider) || self.provider != 'gateway-api' || "
                    "has(self.parentRefs) && self.parentRefs.size() > 0",
                    "message": "gateway-api needs parentRefs: the Gateways that the route is for",
                },
                {
                    "rule": "has(self.provider) && self.provider == 'gateway-api' || "
                    "!has(self.parentRefs) && !has(self.hostnames)",
                    "message": "parentRefs and hostnames are only for provider gateway-api",
                },
                {
                    "rule": "!has(self.provider) || self.provider != 'gateway-api' || "
                    "!has(self.service) || !has(self.service.annotations) && "
                    "(!has(self.service.type) || self.service.type == 'ClusterIP')",
                    "message": "service is only for provider haproxy",
                },
            ]
        }
    )

    provider: Literal["haproxy", "gateway-api"] = "haproxy"
    """haproxy: a gateway of the agent's own, on any cluster. gateway-api: an HTTPRoute for the
    Gateways in `parentRefs`."""

    parent_refs: Annotated[tuple[ParentReference, ...], Field(max_length=8)] = ()
    """The Gateways whose traffic comes here. Only for `gateway-api`."""

    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    """Hosts that are the agent's, such as `chat.example.com`. Absent: all hosts of the listeners.
    Only for `gateway-api`."""

    service: GatewayService = GatewayService()
    """The Service that clients talk to. Only for `haproxy`."""

    replicas: Annotated[int, Field(ge=1, le=3)] = 2
    """Gateway pods. They tell each other which conversation is where, so that one may restart. Only
    for `haproxy`."""

    affinity_ttl_seconds: Annotated[int, Field(ge=60, le=604800)] = 86400
    """How long after its last turn a conversation is remembered, in seconds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.provider == "gateway-api":
            if not self.parent_refs:
                raise ValueError("parentRefs: gateway-api needs the Gateways that the route is for")
            if self.service != GatewayService():
                raise ValueError("service: only for provider haproxy")
        elif self.parent_refs or self.hostnames:
            raise ValueError("parentRefs and hostnames are only for provider gateway-api")
        return self


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
                        "rule": "!has(self.engine) || self.engine == 'chroma' "
                        "|| has(self.external)",
                        "message": "weaviate needs external: a managed store is Chroma",
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
