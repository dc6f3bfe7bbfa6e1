"""The input of the phases of a rollout, and the interface of a type of step. Immutable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from chatagent_operator.api.rollout import Rollout
from chatagent_operator.api.status import (
    ChatAgentStatus,
    EvaluationStatus,
    RolloutStatus,
    WindowStatus,
)
from chatagent_operator.core.judging.analysis import Measurement
from chatagent_operator.core.observed.trouble import Interruption
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.decision import EventRecord, EventType, Waiting
from chatagent_operator.core.rollout.state import update_rollout


@dataclass(frozen=True)
class Seen:
    """The observed state of the desired revision, the gateway and the commands."""

    desired: str
    """The revision that the spec describes."""
    now: str
    """RFC 3339, UTC."""
    ready: frozenset[str] = frozenset()
    """Revisions that can serve: a pod is available, the index is complete, the address is known."""
    is_indexed: bool = True
    """Whether the desired revision's documents are indexed, so that it waits for its pods only."""
    has_indexing_failed: bool = False
    """Whether indexing its documents fails and is retried. Otherwise it has no deadline."""
    is_stable_available: bool = True
    """Whether a pod of the stable revision is available."""
    capacity: int = 100
    """Percent of all conversations that the desired revision's available pods can serve."""
    capacity_before: int = 100
    """The same with `status.rollout.replicas`, before replicas were added."""
    problem: str = ""
    """Why the desired revision is not ready, in a sentence."""
    lacks_room: bool = False
    """Whether pods of the stable or the desired revision are unschedulable or exceed a quota."""
    is_unschedulable: bool = False
    """Whether the desired revision's pods are unschedulable and cannot replace stable ones."""
    is_reachable: bool = True
    """Whether every gateway pod can connect to the desired revision."""
    is_gateway_current: bool = True
    """Whether the gateway has applied the weights of the previous status."""
    interruptions: tuple[Interruption, ...] = ()
    """How pods of the desired revision were last interrupted, if it may be the revision's fault."""
    measurement: Measurement | None = None
    """The newest measurement of the canary."""
    window: WindowStatus | None = None
    """The start of the measurements at the weight of the previous status."""
    evaluation: EvaluationStatus | None = None
    """The quality of the desired revision's answers. None: it is not evaluated."""
    command: Command | Unreadable | None = None
    """The last command, whether new or already carried out."""
    routed: str | None = None
    """The stable revision of the routes as last written, if it can be reached."""
    lost: frozenset[str] = frozenset()
    """Revisions of the status that can have no pod any more: neither pods nor content exist."""

    @property
    def is_indexing(self) -> bool:
        """Whether the desired revision waits for its documents, and indexing them does not fail."""
        return not self.is_indexed and not self.has_indexing_failed


class RolloutStep(ABC):
    """A type of step: one class in one file of `steps/`, created with its value in the spec."""

    field: ClassVar[str]
    """Name of its field in `api.rollout.Step`."""
    waits_for_approval: ClassVar[bool] = False
    """Whether it waits for approval, so that `promote` continues after it."""
    skip_refusal: ClassVar[str | None] = None
    """Why `skip` must not skip it. None: it may."""
    counts_measurements: ClassVar[bool] = False
    """Whether measurements count for it, even if `analysis.background` is false."""

    @property
    def weight(self) -> int | None:
        """The weight that it approves and the canary needs pods for. None: it approves none."""
        return None

    @property
    @abstractmethod
    def text(self) -> str:
        """A short description of the step."""

    @abstractmethod
    def run(self, context: RolloutContext) -> StepResult:
        """Run the step. It waits for the result; if that is None, it has succeeded."""


@dataclass(frozen=True)
class RolloutContext:
    """A rollout during a reconciliation. Each phase takes one and returns one."""

    status: ChatAgentStatus
    seen: Seen
    settings: Rollout
    steps: tuple[RolloutStep, ...]
    path: str
    """Digest of the steps."""
    replicas: int
    """Pods of the stable revision without a rollout."""
    events: tuple[EventRecord, ...] = ()

    @property
    def rollout(self) -> RolloutStatus:
        """The state of the rollout."""
        return self.status.rollout

    @property
    def is_canary_beside_stable(self) -> bool:
        """Whether a canary is rolled out while a stable revision serves."""
        return self.status.canary_revision is not None and self.status.stable_revision is not None

    @property
    def current_step(self) -> RolloutStep | None:
        """The current step. None: the steps have not started, or all have succeeded."""
        index = self.rollout.step or 0
        if self.rollout.step_started_at is None or index >= len(self.steps):
            return None
        return self.steps[index]

    @property
    def is_paused(self) -> bool:
        """Whether the rollout is paused by the spec, a command, measurements or a step."""
        step = self.current_step
        is_at_pause = step is not None and step.waits_for_approval
        return self.settings.paused or self.rollout.paused is not None or is_at_pause

    def with_status(self, status: ChatAgentStatus) -> RolloutContext:
        """Return a copy with another status."""
        return replace(self, status=status)

    def update_rollout(self, **changes: Any) -> RolloutContext:
        """Return a copy with changed fields of `status.rollout`."""
        return self.with_status(update_rollout(self.status, **changes))

    def add_event(self, type: EventType, reason: str, message: str) -> RolloutContext:
        """Return a copy with one more Event."""
        return replace(self, events=(*self.events, EventRecord(type, reason, message)))


StepResult = tuple[RolloutContext, Waiting | None]
"""The changed rollout, and what it waits for. None: it can continue."""
