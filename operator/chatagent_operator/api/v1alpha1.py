"""ChatAgent, version v1alpha1: the spec as pydantic models. The status is in `status`.

The CRD and the reference page are generated from these models, and the operator validates with
them. A field's docstring is its `kubectl explain` text. Defaults of versioned fields never change
within an API version: a revision is the hash of what differs from them.
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
    PodPlacement,
    PodSettings,
    Quantity,
    ResourceRequirements,
    SecretKeyRef,
)
from chatagent_operator.api.rollout import Rollout

MAX_NAME_LENGTH = 40
"""Longest name of a ChatAgent: names of its children add up to 23 characters."""


class VersionedSpec(ConfigModel):
    """The versioned part of the spec: a change of it creates a new revision."""

    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\s]+$")]
    """Container image of the agent runtime. A new tag creates a new revision."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU, memory and GPUs of each pod. Without a GPU the models run on the CPU."""

    pod: PodSettings = PodSettings()
    """Settings of the pods other than image and resources."""

    pipeline: Annotated[
        AgentConfig,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!has(self.retrieval) || !has(self.retrieval.vectorStore)",
                        "message": "retrieval.vectorStore must not be set; set spec.vectorStore",
                    },
                    {
                        "rule": "!has(self.llm) || !has(self.llm.promptTemplate) || "
                        "self.llm.promptTemplate.contains('{question}')",
                        "message": "llm.promptTemplate must contain the placeholder {question}",
                    },
                    {
                        "rule": "!has(self.tools) || self.tools.all(t, "
                        "[has(t.http), has(t.mcp), has(t.python)].filter(x, x).size() <= 1)",
                        "message": "a tool must have only one of http, mcp and python",
                    },
                    {
                        "rule": "!has(self.tools) || self.tools.all(t, "
                        "!has(t.http) || has(t.http.openapi) || has(t.http.url))",
                        "message": "http of a tool must have openapi or url",
                    },
                    {
                        "rule": "!has(self.tools) || self.tools.all(t, "
                        "!has(t.mcp) || has(t.mcp.url) != has(t.mcp.command))",
                        "message": "mcp of a tool must have exactly one of url and command",
                    },
                ]
            }
        ),
    ] = AgentConfig()
    """Configuration of the agent: the same YAML that `agent-runtime serve` reads."""


class VolumeSettings(ConfigModel):
    """Settings of a PersistentVolumeClaim."""

    size: Quantity = "1Gi"
    """Size of the volume."""

    storage_class_name: ObjectName | None = None
    """StorageClass of the volume. Default: the default StorageClass of the cluster."""


MANAGED_ENGINES = ("chroma",)
"""Engines of which the operator runs a server: beside it each has its image, its address in
`core.servers` and its container in `core.children.vector_store`."""


class ManagedStore(ConfigModel):
    """A Chroma server that the operator runs for this agent."""

    storage: VolumeSettings = VolumeSettings()
    """Volume of the server. It is immutable."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of the server. Default: a request of 100m CPU."""

    pod: PodPlacement = PodPlacement()
    """Settings of its pod."""

    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    """What happens to the volume when the ChatAgent is deleted or changes to an external store:
    `Delete` deletes it, `Retain` keeps it."""


class ExternalStore(ConfigModel):
    """A vector store that is not managed by the operator. The agent's collections are not deleted
    with the ChatAgent."""

    url: Annotated[
        str,
        Field(max_length=2048, pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"),
    ]
    """URL of the server: `http://HOST:PORT` or `https://HOST:PORT`, without a path."""

    token_secret_ref: SecretKeyRef | None = None
    """Secret key with the bearer token for the server."""

    grpc_port: Annotated[int, Field(ge=1, le=65535)] = 50051
    """gRPC port of a Weaviate server, on the same host as `url`."""


class VectorStore(ConfigModel):
    """Vector store of the passages: managed by the operator or external."""

    engine: Literal["chroma", "weaviate"] = "chroma"
    """Type of the store. A managed store is always Chroma; Weaviate must be external."""

    managed: ManagedStore | None = None
    """A store that the operator runs for this agent: a StatefulSet with a PersistentVolumeClaim.
    This is the default."""

    external: ExternalStore | None = None
    """An existing store that is not managed by the operator."""


class ManagedRedis(ConfigModel):
    """A Redis server that the operator runs for this agent."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of the server. Default: requests of 50m CPU and 64Mi, a limit of 384Mi. Data
    takes at most two thirds of the memory limit. Beyond that, keys that expire are evicted, the
    least recently used first: cached answers and sessions."""

    pod: PodPlacement = PodPlacement()
    """Settings of its pod."""

    storage: VolumeSettings | None = None
    """Volume for the data. Without it the data is lost when the pod is replaced: conversations,
    files and stored responses. It is immutable."""


class ExternalRedis(ConfigModel):
    """A Redis server that is not managed by the operator. Several agents may share it."""

    url: Annotated[
        str,
        Field(
            max_length=2048,
            pattern=r"^rediss?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[0-9]{1,5})?$",
        ),
    ]
    """URL of the server: `redis://HOST:PORT`, or `rediss://HOST:PORT` for TLS. The number of a
    database may follow, such as `/1`."""

    password_secret_ref: SecretKeyRef | None = None
    """Secret key with the password of the server."""


class Redis(ConfigModel):
    """Redis for cached answers, conversations, files and stored responses: managed by the operator
    or external. While it is unavailable, the agent answers without cache and conversation
    history."""

    managed: ManagedRedis | None = None
    """A server that the operator runs for this agent. This is the default."""

    external: ExternalRedis | None = None
    """An existing server that is not managed by the operator."""


class KnowledgeSource(ConfigModel):
    """A source of documents that the agent answers from."""

    name: DnsLabel
    """Name of the source. It is part of the file name in citations."""

    config_map: LocalObjectReference
    """A ConfigMap whose keys are file names (`.md` or `.txt`) and whose values are documents."""


class IngestionJobs(ConfigModel):
    """The Jobs that index the documents. A change applies to the next one; one that has not
    succeeded is started again."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of a Job. Default: requests of 100m CPU and 512Mi, a limit of 4Gi."""

    pod: PodPlacement = PodPlacement()
    """Settings of its pod. Default of each: that of `spec.pod`."""


class Knowledge(ConfigModel):
    """Documents that the agent answers from."""

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
    """Sources of the documents. A change is indexed immediately; documents that did not change are
    not indexed again."""

    ingestion: IngestionJobs = IngestionJobs()
    """The Jobs that index the documents."""


class GatewayService(ConfigModel):
    """Settings of the Service that clients connect to."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""

    annotations: dict[str, str] = {}
    """Annotations of the Service, for example for the load balancer of a cloud provider."""


class ParentReference(ConfigModel):
    """Reference to a Gateway or to one of its listeners."""

    name: ObjectName
    """Name of the Gateway."""

    namespace: DnsLabel | None = None
    """Namespace of the Gateway. Default: the namespace of the ChatAgent. The Gateway must allow
    routes from the namespace of the ChatAgent."""

    section_name: ObjectName | None = None
    """Name of the listener. Default: every listener that accepts the route."""


class Gateway(ConfigModel):
    """The gateway in front of the revisions: it routes new conversations by weight and keeps each
    conversation on its revision."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.provider) || self.provider != 'gateway-api' || "
                    "has(self.parentRefs) && self.parentRefs.size() > 0",
                    "message": "provider gateway-api requires parentRefs, "
                    "the Gateways to attach to",
                },
                {
                    "rule": "has(self.provider) && self.provider == 'gateway-api' || "
                    "!has(self.parentRefs) && !has(self.hostnames)",
                    "message": "parentRefs and hostnames require provider gateway-api",
                },
                {
                    "rule": "!has(self.provider) || self.provider != 'gateway-api' || "
                    "!has(self.service) || !has(self.service.annotations) && "
                    "(!has(self.service.type) || self.service.type == 'ClusterIP')",
                    "message": "service requires provider haproxy",
                },
            ]
        }
    )

    provider: Literal["haproxy", "gateway-api"] = "haproxy"
    """haproxy: the operator runs HAProxy pods for this agent, which works on any cluster.
    gateway-api: the operator creates an HTTPRoute for the Gateways in `parentRefs`."""

    parent_refs: Annotated[tuple[ParentReference, ...], Field(max_length=8)] = ()
    """Gateways that the HTTPRoute attaches to. Requires provider `gateway-api`."""

    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    """Hostnames of the HTTPRoute, such as `chat.example.com`. Default: all hostnames of the
    listeners. Requires provider `gateway-api`."""

    service: GatewayService = GatewayService()
    """Settings of the Service that clients connect to. Requires provider `haproxy`."""

    replicas: Annotated[int, Field(ge=1, le=3)] = 2
    """Number of gateway pods. They replicate to each other which conversation is on which revision,
    so that no conversation moves when one restarts. Requires provider `haproxy`."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of HAProxy. Default: requests of 50m CPU and 64Mi, a limit of 256Mi. Requires
    provider `haproxy`."""

    sync_resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of the container that applies the weights. Default: requests of 10m CPU and
    64Mi, a limit of 256Mi. Requires provider `haproxy`."""

    pod: PodPlacement = PodPlacement()
    """Settings of the gateway pods. Requires provider `haproxy`."""

    affinity_ttl_seconds: Annotated[int, Field(ge=60, le=604800)] = 86400
    """How long the revision of a conversation is remembered after its last turn, in seconds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.provider == "gateway-api":
            if not self.parent_refs:
                raise ValueError(
                    "parentRefs: provider gateway-api requires parentRefs, "
                    "the Gateways to attach to"
                )
            if self.service != GatewayService():
                raise ValueError("service: service requires provider haproxy")
        elif self.parent_refs or self.hostnames:
            raise ValueError("parentRefs and hostnames require provider gateway-api")
        return self


_VOLUME = (
    "has({0}.managed) ? [string({0}.managed.storage.size), "
    "has({0}.managed.storage.storageClassName) ? {0}.managed.storage.storageClassName : ''] "
    ": ['1Gi', '']"
)
"""CEL: size and class of a managed store's volume, with the defaults for unset fields."""

_REDIS_VOLUME = (
    "has({0}.managed) && has({0}.managed.storage) ? [string({0}.managed.storage.size), "
    "has({0}.managed.storage.storageClassName) ? {0}.managed.storage.storageClassName : ''] : []"
)


class ChatAgentSpec(VersionedSpec):
    """Desired state of a ChatAgent. `image`, `resources`, `pod` and `pipeline` are versioned: a
    change of them creates a new revision. Everything else is applied in place."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of pods of the stable revision. During a rollout the canary gets as many of its own as
    its next weight needs."""

    vector_store: Annotated[
        VectorStore,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!(has(self.managed) && has(self.external))",
                        "message": "managed and external are mutually exclusive; set only one",
                    },
                    {
                        "rule": "!has(self.engine) || has(self.external) || "
                        f"self.engine in {list(MANAGED_ENGINES)}",
                        "message": "this engine requires external: a managed store is "
                        f"{' or '.join(MANAGED_ENGINES)}",
                    },
                    {
                        "rule": "has(self.external) || has(oldSelf.external) || "
                        f"({_VOLUME.format('self')}) == ({_VOLUME.format('oldSelf')})",
                        "message": "the volume of a managed vector store is immutable; "
                        "create a new ChatAgent, or resize the PersistentVolumeClaim",
                    },
                ]
            }
        ),
    ] = VectorStore()
    """Vector store of the passages."""

    redis: Annotated[
        Redis,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!(has(self.managed) && has(self.external))",
                        "message": "managed and external are mutually exclusive; set only one",
                    },
                    {
                        "rule": "has(self.external) || has(oldSelf.external) || "
                        f"({_REDIS_VOLUME.format('self')}) == "
                        f"({_REDIS_VOLUME.format('oldSelf')})",
                        "message": "the volume of a managed Redis is immutable, and cannot be "
                        "added or removed; create a new ChatAgent, or use an external Redis",
                    },
                ]
            }
        ),
    ] = Redis()
    """Redis for cached answers, conversations, files and stored responses."""

    knowledge: Knowledge
    """Documents that the agent answers from."""

    gateway: Gateway = Gateway()
    """The gateway in front of the revisions."""

    rollout: Rollout = Rollout()
    """How a new revision is rolled out."""

    suspend: bool = False
    """Suspend reconciliation: the operator neither creates, changes nor deletes any object of this
    agent."""

    def versioned(self) -> VersionedSpec:
        """Return the versioned part of the spec."""
        return VersionedSpec(**{name: getattr(self, name) for name in VersionedSpec.model_fields})
