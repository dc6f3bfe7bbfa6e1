"""The result of one reconciliation of a rollout: the changed status, what it waits for, Events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chatagent_operator.api.status import ChatAgentStatus

EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True)
class EventRecord:
    """An Event to create for the ChatAgent."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True)
class Waiting:
    """What the rollout waits for."""

    reason: str
    message: str
    is_paused: bool = False
    """Whether it waits for approval, or for a configured duration."""
    due: float | None = None
    """Seconds after which the rollout must be reconciled again. None: not before a watch event."""


@dataclass(frozen=True)
class Decision:
    """The changed status, what the rollout waits for, and the Events to create."""

    status: ChatAgentStatus
    """The previous status with only the fields of the rollout changed."""
    waiting: Waiting | None = None
    events: tuple[EventRecord, ...] = ()

    @property
    def weight(self) -> int:
        """Share of the new conversations that the canary gets now, in percent."""
        return self.status.rollout.weight

    @property
    def live(self) -> tuple[str, ...]:
        """Revisions that have pods, the stable one first."""
        previous = self.status.previous
        return tuple(dict.fromkeys((*self.routed, *((previous.revision,) if previous else ()))))

    @property
    def routed(self) -> tuple[str, ...]:
        """Revisions that may get conversations: all but one that is only kept for a rollback."""
        draining = (each.revision for each in self.status.draining)
        routed = (self.status.stable_revision, self.status.canary_revision, *draining)
        return tuple(dict.fromkeys(revision for revision in routed if revision))
