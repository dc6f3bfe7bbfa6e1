"""What a reconciliation writes: the values that `plan` returns and the shell carries out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.kinds import REGISTRY


class Wave(IntEnum):
    """Writes of one wave do not depend on each other; a wave begins when the previous ended."""

    WEIGHTS = 0
    """What moves conversations, so that an abort waits for nothing."""
    SECRETS = 1
    REFERENCES = 2
    """What pods refer to."""
    WORKLOADS = 3


@dataclass(frozen=True)
class DesiredObject:
    """One object that an agent should have: what identifies its content, and how to make it.

    It is written where the digest differs from the one that was last applied. The digest of a
    revision's objects is that of what goes into them, not of what comes out: a later operator
    that renders them differently restarts no pod.
    """

    kind: str
    name: str
    digest: str
    render: Callable[[], Manifest]
    is_replaceable: bool = False
    """Cannot be changed, only deleted and recreated (a Job)."""

    is_frozen: bool = False
    """Created once, never changed."""

    replicas: int | None = None
    """Replicas that it should have, where these change on their own."""

    is_weight: bool = False
    """It moves conversations."""

    @property
    def wave(self) -> Wave:
        """When it is written."""
        if self.is_weight:
            return Wave.WEIGHTS
        return Wave.WORKLOADS if REGISTRY[self.kind].is_workload else Wave.REFERENCES


@dataclass(frozen=True)
class Apply:
    """Create an object, or change it to what it should be."""

    desired: DesiredObject
    is_ours: bool
    """Known as the agent's own. Another owner's object of that name is not taken over."""

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
    """Change the replicas of a Deployment and nothing else of it."""

    name: str
    replicas: int
    kind: str = "Deployment"
    wave: Wave = Wave.WORKLOADS


@dataclass(frozen=True)
class Delete:
    """Delete an object and what belongs to it."""

    kind: str
    name: str
    wave: Wave = Wave.WORKLOADS


@dataclass(frozen=True)
class Create:
    """Create an object that holds a new secret. One that exists stays as it is."""

    kind: str
    name: str
    render: Callable[[str], Manifest]
    """Takes the secret."""

    wave: Wave = Wave.SECRETS


Write = Apply | Create | Scale | Delete
