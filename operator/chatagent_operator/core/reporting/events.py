"""Events: which changes of conditions are emitted as Events."""

from __future__ import annotations

from chatagent_operator.api.conditions import ConditionType
from chatagent_operator.api.status import ChatAgentStatus, Condition
from chatagent_operator.core.rollout.decision import EventRecord

_PAUSES = frozenset({"PausedAtStep", "PausedBySpec", "PausedByCommand"})
"""Reasons of Progressing that are emitted here. The rollout emits the others."""

_RECOVERED = {ConditionType.DEGRADED: "Recovered", ConditionType.READY: "Ready"}


def find_events(previous: ChatAgentStatus, current: ChatAgentStatus) -> tuple[EventRecord, ...]:
    """Return the Events for the changes between two statuses."""
    old = {condition.type: condition for condition in previous.conditions}
    new = {condition.type: condition for condition in current.conditions}
    events: list[EventRecord] = []
    progress, earlier = new.get(ConditionType.PROGRESSING), old.get(ConditionType.PROGRESSING)
    earlier_reason = earlier.reason if earlier else ""
    if progress and progress.reason in _PAUSES and progress.reason != earlier_reason:
        events.append(EventRecord("Normal", progress.reason, progress.message))
    if current.knowledge.rebuilt_at != previous.knowledge.rebuilt_at:
        message = f"the index is lost and built again, rebuild {current.knowledge.rebuilds}"
        events.append(EventRecord("Warning", "Reindexing", message))
    cache, was = new.get(ConditionType.CACHE_READY), old.get(ConditionType.CACHE_READY)
    if cache and cache.reason == "PasswordChanged" and not (was and was.reason == cache.reason):
        events.append(EventRecord("Warning", cache.reason, cache.message))
    for aspect in (ConditionType.ACCEPTED, ConditionType.DEGRADED, ConditionType.READY):
        event = _find_event(aspect, old.get(aspect), new.get(aspect), current)
        if event:
            events.append(event)
    return tuple(events)


def _find_event(
    aspect: ConditionType, was: Condition | None, now: Condition | None, status: ChatAgentStatus
) -> EventRecord | None:
    if not now or (was and (was.status, was.reason) == (now.status, now.reason)):
        return None
    if aspect == ConditionType.READY and not (was and was.status != now.status):
        return None  # a new agent is not expected to be ready at once
    if aspect == ConditionType.DEGRADED and now.reason == status.failed_reason:
        return None  # the rollout has emitted it
    if now.status == ("True" if aspect == ConditionType.DEGRADED else "False"):
        return EventRecord("Warning", now.reason, now.message)
    if was:
        message = now.message or "no problem is observed any more"
        return EventRecord("Normal", _RECOVERED.get(aspect, now.reason), message)
    return None
