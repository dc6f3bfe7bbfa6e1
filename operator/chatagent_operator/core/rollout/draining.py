"""Previous stable revisions: those that drain, and the one that is kept for a rollback."""

from __future__ import annotations

from chatagent_operator.api.rollout import Rollout, seconds
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core.rollout.context import RolloutContext
from chatagent_operator.core.rollout.times import elapsed

DRAINING_LIMIT = 2
"""Maximum number of revisions that drain at the same time: the gateway has four slots."""


def expire_draining(context: RolloutContext) -> RolloutContext:
    """Stop draining revisions whose time limit has expired, and one that is stable again."""
    status, affinity = context.status, context.settings.affinity
    limit = 0 if affinity.on_promote == "move" else seconds(affinity.drain)
    kept = tuple(
        each
        for each in status.draining
        if elapsed(each.since, context.seen.now) < limit and each.revision != status.stable_revision
    )
    return context.with_status(status.model_copy(update={"draining": kept[:DRAINING_LIMIT]}))


def expire_previous(context: RolloutContext) -> RolloutContext:
    """Stop keeping the previous revision: its time has expired, or its room is needed. It is kept
    while it is the canary, which is a rollback."""
    status, previous = context.status, context.status.previous
    if previous is None:
        return context
    is_next = previous.revision == status.canary_revision
    is_over = count_kept_left(status, context.settings, context.seen.now) <= 0
    is_other = previous.revision in (status.stable_revision, status.failed_revision)
    is_replaced = status.canary_revision is not None and not is_next
    if is_other or (not is_next and (is_over or is_replaced or context.seen.lacks_room)):
        return context.with_status(status.model_copy(update={"previous": None}))
    return context


def count_kept_left(status: ChatAgentStatus, settings: Rollout, now: str) -> float:
    """Return the seconds for which the previous revision is still kept."""
    previous = status.previous
    return seconds(settings.keep_previous) - elapsed(previous.since, now) if previous else 0
