"""Draining of previous stable revisions."""

from __future__ import annotations

from chatagent_operator.api.rollout import seconds
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
