"""Changes the state of a rollout, which is the ChatAgent's status: there is no second copy of it.

Every function takes a status and returns a changed one. The fields and their meaning are defined
in `api.status` only.
"""

from __future__ import annotations

from typing import Any

from chatagent_operator.api.status import (
    AnalysisStatus,
    ChatAgentStatus,
    Outcome,
    PastRollout,
    RolloutStatus,
)

HISTORY_LIMIT = 10
"""Number of past rollouts that the status keeps."""

_KEPT = ("last_command_id", "last_command_result")
"""Fields of `status.rollout` that are kept after a rollout: a command is carried out only once."""


def update_rollout(status: ChatAgentStatus, **changes: Any) -> ChatAgentStatus:
    """Change fields of `status.rollout`.

    Raises:
        TypeError: there is no field of that name.
    """
    if unknown := changes.keys() - RolloutStatus.model_fields.keys():
        raise TypeError(f"status.rollout has no field {', '.join(sorted(unknown))}")
    return status.model_copy(update={"rollout": status.rollout.model_copy(update=changes)})


def start_canary(status: ChatAgentStatus, revision: str, path: str, now: str) -> ChatAgentStatus:
    """Start a rollout of a revision at weight 0."""
    cleared = clear_rollout(status)
    started = cleared.model_copy(update={"canary_revision": revision, "analysis": AnalysisStatus()})
    return update_rollout(started, started_at=now, path=path)


def clear_rollout(status: ChatAgentStatus) -> ChatAgentStatus:
    """Remove the canary. The last measurements and the last command are kept."""
    kept = {name: getattr(status.rollout, name) for name in _KEPT}
    return status.model_copy(update={"canary_revision": None, "rollout": RolloutStatus(**kept)})


def end_rollout(
    status: ChatAgentStatus, outcome: Outcome, reason: str, message: str, now: str
) -> ChatAgentStatus:
    """Remove the canary and add its rollout to the history."""
    past = PastRollout(
        revision=status.canary_revision or "",
        outcome=outcome,
        reason=reason,
        message=message,
        started_at=status.rollout.started_at,
        ended_at=now,
    )
    draining = status.draining
    if outcome in ("Failed", "Aborted"):  # a draining revision may be rolled out again
        draining = tuple(each for each in draining if each.revision != status.canary_revision)
    return clear_rollout(status).model_copy(
        update={"draining": draining, "history": (past, *status.history)[:HISTORY_LIMIT]}
    )


def mark_failed(
    status: ChatAgentStatus, revision: str, reason: str, message: str
) -> ChatAgentStatus:
    """Record a revision that is not rolled out again until the spec changes or it is retried."""
    return status.model_copy(
        update={"failed_revision": revision, "failed_reason": reason, "failed_message": message}
    )


def clear_failure(status: ChatAgentStatus) -> ChatAgentStatus:
    """Clear the failed revision."""
    fields = ("failed_revision", "failed_reason", "failed_message")
    return status.model_copy(update=dict.fromkeys(fields))


def start_next_step(status: ChatAgentStatus, now: str) -> ChatAgentStatus:
    """Start the next step."""
    step = (status.rollout.step or 0) + 1
    return reset_counters(update_rollout(status, step=step, step_started_at=now))


def unpause(status: ChatAgentStatus) -> ChatAgentStatus:
    """End a pause, and reset the counts of measurements at the current step."""
    return reset_counters(update_rollout(status, paused=None))


def reset_counters(status: ChatAgentStatus) -> ChatAgentStatus:
    """Reset the counts of measurements at the current step, but not those at the current weight."""
    counters = {"succeeded": 0, "inconclusive": 0}
    return status.model_copy(update={"analysis": status.analysis.model_copy(update=counters)})
