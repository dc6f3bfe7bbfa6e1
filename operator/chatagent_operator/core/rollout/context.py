"""What a phase of a rollout works on, and what a type of step must provide. Immutable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from chatagent_operator.api.rollout import Rollout
from chatagent_operator.api.status import ChatAgentStatus, EvaluationStatus, RolloutStatus
from chatagent_operator.core.judging.analysis import Measurement
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.decision import EventRecord, EventType, Waiting
from chatagent_operator.core.rollout.state import update_rollout


@dataclass(frozen=True)
class Seen:
    """What was observed of the desired revision, the gateway and the commands."""

    desired: str
    """The revision that the spec describes."""
    now: str
    """RFC 3339, UTC."""
    ready: frozenset[str] = frozenset()
    """Revisions that can serve: a pod is available, the index is complete, the address is known."""
    is_indexed: bool = True
    """The desired revision's documents are searchable, so that it waits for its pods only."""
    has_indexing_failed: bool = False
    """Indexing its documents fails and is retried. Otherwise indexing may take any time."""
    capacity: int = 100
    """Percent of all conversations that the desired revision's available pods can serve."""
    problem: str = ""
    """Why the desired revision is not ready, in a sentence."""
    is_unschedulable: bool = False
    """No node has room for the desired revision's pods, and none can be freed for them."""
    is_reachable: bool = True
    """Every gateway pod can connect to the desired revision."""
    is_gateway_current: bool = True
    """The gateway applies the weights of the previous status."""
    measurement: Measurement | None = None
    """The newest measurement of the canary."""
    evaluation: EvaluationStatus | None = None
    """The quality of the desired revision's answers. None: it is not evaluated."""
    command: Command | Unreadable | None = None
    """The last command, whether new or already carried out."""

    @property
    def is_indexing(self) -> bool:
        """The desired revision waits for its documents, and indexing them does not fail."""
        return not self.is_indexed and not self.has_indexing_failed


class RolloutStep(ABC):
    """A type of step: one class in one file of `steps/`, created with its value in the spec."""

    field: ClassVar[str]
    """Name of its field in `api.rollout.Step`."""
    waits_for_approval: ClassVar[bool] = False
    """`promote` continues after it."""
    skip_refusal: ClassVar[str | None] = None
    """Why `skip` must not skip it."""
    counts_measurements: ClassVar[bool] = False
    """Measurements count for it, also where `analysis.background` is false."""

    @property
    def weight(self) -> int | None:
        """The weight that it approves, for which the canary needs pods. None: it approves none."""
        return None

    @property
    @abstractmethod
    def text(self) -> str:
        """The step in a few words, for people."""

    @abstractmethod
    def run(self, context: RolloutContext) -> StepResult:
        """Work on the step. It waits for what is returned; without that, it has succeeded."""


@dataclass(frozen=True)
class RolloutContext:
    """A rollout in the middle of a reconciliation. Each phase takes one and returns one."""

    status: ChatAgentStatus
    seen: Seen
    settings: Rollout
    steps: tuple[RolloutStep, ...]
    path: str
    """Digest of the steps."""
    events: tuple[EventRecord, ...] = ()

    @property
    def rollout(self) -> RolloutStatus:
        """The state of the rollout."""
        return self.status.rollout

    @property
    def is_canary_beside_stable(self) -> bool:
        """A second revision is tried while the stable one serves."""
        return self.status.canary_revision is not None and self.status.stable_revision is not None

    @property
    def current_step(self) -> RolloutStep | None:
        """The step that has started. None: the steps have not started, or all have succeeded."""
        index = self.rollout.step or 0
        if self.rollout.step_started_at is None or index >= len(self.steps):
            return None
        return self.steps[index]

    def with_status(self, status: ChatAgentStatus) -> RolloutContext:
        """Return it with another status."""
        return replace(self, status=status)

    def update_rollout(self, **changes: Any) -> RolloutContext:
        """Return it with changed fields of `status.rollout`."""
        return self.with_status(update_rollout(self.status, **changes))

    def add_event(self, type: EventType, reason: str, message: str) -> RolloutContext:
        """Return it with one more Event."""
        return replace(self, events=(*self.events, EventRecord(type, reason, message)))


StepResult = tuple[RolloutContext, Waiting | None]
"""The changed rollout, and what it waits for. None: nothing keeps it from continuing."""
