"""The registry of kinds: every kind of object that the operator reads or writes, each once.

Watches, pruning, the client's paths and the RBAC rules of the chart are read or generated from it
(`make generate`). A new kind is one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from chatagent_operator.api import group as agents
from chatagent_operator.core.observed import facts

READ = ("list", "watch")
WRITE = ("create", "patch")
DELETE = ("delete",)


class Scope(StrEnum):
    """Scope of the verbs of a kind: which role of the chart contains them."""

    AGENTS = "agents"
    """In the namespaces of the agents."""
    CLUSTER = "cluster"
    """In every namespace, even if the agents' namespaces are limited."""
    OPERATOR = "operator"
    """In the operator's own namespace; the chart restricts the rules by name."""


class Wave(IntEnum):
    """Writes of one wave do not depend on each other; a wave begins when the previous one ended."""

    WEIGHTS = 0
    """Objects that move conversations, so that an abort waits for nothing."""
    FIRST = 1
    """What other objects refer to: Secrets, and Roles, which the API server reads for bindings."""
    REFERENCES = 2
    """What pods refer to."""
    WORKLOADS = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    name: str
    group: str
    version: str
    plural: str
    verbs: tuple[str, ...]
    """Verbs that the operator needs."""

    subresources: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Subresources, and the verbs that the operator needs."""

    optional_verbs: tuple[str, str] | None = None
    """A value of the chart, and the verb that the operator has if it is true."""

    scope: Scope = Scope.AGENTS
    why: str = ""
    """Why it needs a verb that is not obvious: a comment in the chart."""

    is_watched: bool = False
    """Whether a reflector caches the objects that belong to agents."""

    is_metadata_only: bool = False
    """Whether only the metadata of its objects is requested."""

    is_pruned: bool = False
    """Whether an object that is no longer desired is deleted. Otherwise it stays until its agent
    is deleted."""

    is_compared: bool = False
    """Whether all that is desired of an object is compared with what it has, so that drift is
    reverted. Otherwise its owner, labels, replicas and the digest of its inputs are."""

    wave: Wave = Wave.REFERENCES
    """When it is written."""

    read_facts: Callable[[facts.Body], facts.Facts] | None = None
    """Reads the facts that are kept beside the metadata. None: there are none."""

    @property
    def api_version(self) -> str:
        """`apiVersion` as in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path at the API server: of all objects, those of a namespace, or one."""
        root = f"/apis/{self.group}" if self.group else "/api"
        place = f"/namespaces/{namespace}" if namespace else ""
        path = f"{root}/{self.version}{place}/{self.plural}"
        return f"{path}/{name}" if name else path


_RBAC = "rbac.authorization.k8s.io"
_GATEWAY_API = "gateway.networking.k8s.io"

CHAT_AGENT = Kind(
    agents.KIND, agents.GROUP, agents.VERSION, agents.PLURAL, READ,
    subresources=(("status", ("patch",)),), is_watched=True,
)  # fmt: skip
CONFIG_MAP = Kind(
    "ConfigMap", "", "v1", "configmaps", ("get", *READ, *WRITE, *DELETE),
    why="`get` reads documents and questions; gateways get it for their own ConfigMap.",
    is_watched=True, is_pruned=True, is_compared=True, read_facts=facts.read_config_map,
)  # fmt: skip
EVENT = Kind(
    "Event", "", "v1", "events", (*READ, "create"),
    why="Only Events say that a StatefulSet or Job cannot create its pods, or that a volume of a "
        "pod\ncannot be mounted.",
)  # fmt: skip
GATEWAY = Kind(
    "Gateway", _GATEWAY_API, "v1", "gateways", ("get",), scope=Scope.CLUSTER,
    why="The Gateways of a route may be in any namespace. They are read for their status.",
)  # fmt: skip
HTTP_ROUTE = Kind(
    "HTTPRoute", _GATEWAY_API, "v1", "httproutes", ("get", "list", *WRITE, *DELETE),
    why="Of agents whose provider is gateway-api. Not watched: many clusters lack the kind.",
    is_pruned=True, is_compared=True,
)  # fmt: skip
LEASE = Kind(
    "Lease", "coordination.k8s.io", "v1", "leases", ("get", "create", "update"),
    scope=Scope.OPERATOR,
)  # fmt: skip
SECRET = Kind(
    "Secret", "", "v1", "secrets", (*READ, *WRITE),
    optional_verbs=("readSecrets", "get"),
    why="The password of an agent's own Redis: created once, and again when it is lost. Of those\n"
        "with the operator's label the metadata is requested, and their owner and labels are\n"
        "restored where somebody removed them; RBAC can express neither. Who may create\n"
        "Deployments can read any Secret of the namespace by a pod.",
    is_watched=True, is_metadata_only=True, wave=Wave.FIRST, read_facts=facts.read_secret,
)  # fmt: skip

REGISTRY: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        CHAT_AGENT,
        CONFIG_MAP,
        Kind("ControllerRevision", "apps", "v1", "controllerrevisions",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True,
             read_facts=facts.read_revision),
        Kind("Deployment", "apps", "v1", "deployments",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True, wave=Wave.WORKLOADS,
             read_facts=facts.read_workload),
        EVENT,
        GATEWAY,
        HTTP_ROUTE,
        Kind("Job", "batch", "v1", "jobs",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True, wave=Wave.WORKLOADS,
             read_facts=facts.read_job),
        LEASE,
        Kind("Pod", "", "v1", "pods", READ, subresources=(("log", ("get",)),),
             why="The log of an evaluation is its report, question by question.",
             is_watched=True, read_facts=facts.read_pod),
        Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True, is_compared=True),
        Kind("Role", _RBAC, "v1", "roles",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True, is_compared=True,
             wave=Wave.FIRST),
        Kind("RoleBinding", _RBAC, "v1", "rolebindings",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True, is_compared=True),
        SECRET,
        Kind("Service", "", "v1", "services",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True, is_compared=True,
             read_facts=facts.read_service),
        Kind("ServiceAccount", "", "v1", "serviceaccounts",
             (*READ, *WRITE, *DELETE), is_watched=True, is_pruned=True, is_compared=True),
        Kind("StatefulSet", "apps", "v1", "statefulsets",
             (*READ, *WRITE, *DELETE),
             is_watched=True, is_pruned=True, is_compared=True, wave=Wave.WORKLOADS,
             read_facts=facts.read_workload),
    )
}  # fmt: skip
"""By the name in a manifest's `kind`."""

CHILDREN = tuple(kind for kind in REGISTRY.values() if kind.is_watched and kind is not CHAT_AGENT)
"""Kinds whose objects with the operator's labels are watched."""
