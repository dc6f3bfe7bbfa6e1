"""The writes of a reconciliation: values that `plan` returns and `execute` sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.kinds import REGISTRY, Wave


@dataclass(frozen=True)
class DesiredObject:
    """A desired object: a digest of its content, and a function that renders it.

    It is written if the digest differs from the one that was last applied. The digest of a
    revision's objects is that of their inputs and not of the rendered manifests, so that a later
    operator that renders them differently restarts no pod.
    """

    kind: str
    name: str
    digest: str
    render: Callable[[], Manifest]
    is_replaceable: bool = False
    """Whether it is immutable, and is deleted and recreated instead (a Job)."""

    is_frozen: bool = False
    """Whether it is created once and never changed, except for its replicas."""

    is_due_again: bool = False
    """Whether it is a Job that must run again although it is complete."""

    is_known: bool = True
    """Whether it can be rendered. Of one that cannot, only the replicas are set."""

    replicas: int | None = None
    """Desired replicas, if these change independently of the digest."""

    is_weight: bool = False
    """Whether it moves conversations."""

    @property
    def wave(self) -> Wave:
        """The wave in which it is written."""
        if self.is_weight:
            return Wave.WEIGHTS
        return REGISTRY[self.kind].wave


@dataclass(frozen=True)
class Apply:
    """Create an object, or update it to its desired state."""

    desired: DesiredObject
    is_ours: bool
    """Whether it is known to exist and to be owned by the agent. Otherwise it is created, and one
    that is there already is looked at first."""

    @property
    def kind(self) -> str:
        return self.desired.kind

    @property
    def name(self) -> str:
        return self.desired.name

    @property
    def wave(self) -> Wave:
        return self.desired.wave


@dataclass(frozen=True)
class Scale:
    """Change the replicas of a Deployment only."""

    name: str
    replicas: int
    kind: str = "Deployment"
    wave: Wave = Wave.WORKLOADS


@dataclass(frozen=True)
class Delete:
    """Delete an object and its dependents."""

    kind: str
    name: str
    uid: str
    """Another object of that name is not deleted."""
    wave: Wave = Wave.WORKLOADS


@dataclass(frozen=True)
class Create:
    """Create an object with a new secret. An existing one is not changed."""

    kind: str
    name: str
    render: Callable[[str], Manifest]
    """Renders the manifest with the secret."""

    wave: Wave = Wave.FIRST


Write = Apply | Create | Scale | Delete
