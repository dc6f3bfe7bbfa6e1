"""A canary takes over from a stable revision that serves nothing."""

from __future__ import annotations

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core.rollout.context import RolloutContext
from chatagent_operator.core.rollout.times import elapsed

TAKEOVER_SECONDS = 30.0
"""Time after which a stable revision without an available pod counts as lost. One that is deleted
or evicted is replaced within less, as a rule."""


def follow_stable_pods(context: RolloutContext) -> RolloutContext:
    """Record since when the stable revision cannot be reached during a rollout: it has no available
    pod, or no Service."""
    # `recreate` deletes them by itself.
    is_followed = context.is_canary_beside_stable and context.settings.strategy != "recreate"
    if not is_followed or context.seen.is_stable_available:
        return context.update_rollout(stable_unavailable_since=None)
    since = context.rollout.stable_unavailable_since or context.seen.now
    return context.update_rollout(stable_unavailable_since=since)


def count_left(status: ChatAgentStatus, now: str) -> float | None:
    """Return the seconds after which the stable revision counts as lost. None: it is available."""
    since = status.rollout.stable_unavailable_since
    return TAKEOVER_SECONDS - elapsed(since, now) if since else None


def is_stable_lost(status: ChatAgentStatus, now: str) -> bool:
    """Return whether the stable revision could not be reached for some time, so that any canary
    that is ready serves better."""
    left = count_left(status, now)
    return left is not None and left <= 0
