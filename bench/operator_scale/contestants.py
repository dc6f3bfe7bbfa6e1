"""What a contestant is: a controller, and the objects that it is given."""

from __future__ import annotations

from typing import Protocol

from bench.operator_scale.client import Object
from bench.operator_scale.cluster import NAMESPACE, Cluster
from bench.operator_scale.process import Process

WEIGHTS = (5, 50)
"""Then 100. Nothing is waited for but pods and the gateway."""
IMAGE = "registry.example/agent-runtime"
HEALTH_PORT, METRICS_PORT = 18080, 19090


class Contestant(Protocol):
    """A controller, and the objects that it is given."""

    @property
    def label(self) -> str:
        """Its column."""
        ...

    @property
    def version(self) -> str:
        """What exactly was measured."""
        ...

    @property
    def parents(self) -> str:
        """Plural of what an agent is."""
        ...

    @property
    def path(self) -> str:
        """Where agents are listed and made."""
        ...

    @property
    def needs_pods(self) -> bool:
        """It asks pods over HTTP, and somebody has to answer for them."""
        ...

    @property
    def is_peer(self) -> bool:
        """It is no operator of this project."""
        ...

    def definitions(self) -> list[Object]:
        """CustomResourceDefinitions."""
        ...

    def start(self, cluster: Cluster) -> Process:
        """Start the controller; returns once it answers probes."""
        ...

    def before(self, name: str) -> list[tuple[str, Object]]:
        """What people make before the agent: where, and what."""
        ...

    def agent(self, name: str) -> Object:
        """The agent."""
        ...

    def change(self, version: int) -> Object:
        """A merge patch after which all of it is rolled out anew."""
        ...

    def is_ready(self, body: Object) -> bool:
        """It serves what its spec says, and no rollout is going on."""
        ...

    def serving(self, body: Object) -> str | None:
        """The revision that takes requests."""
        ...


def named(api_version: str, kind: str, name: str) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
