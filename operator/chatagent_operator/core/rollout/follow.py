"""Phases that follow what changes outside: lost revisions, another desired one, other steps."""

from __future__ import annotations

from chatagent_operator.core.rollout.context import RolloutContext
from chatagent_operator.core.rollout.state import (
    clear_failure,
    end_rollout,
    start_canary,
    unpause,
    update_rollout,
)


def forget_lost_revisions(context: RolloutContext) -> RolloutContext:
    """Remove revisions from the status that cannot exist any more. Without a stable revision, the
    desired one is rolled out as a first one, even if it had failed beside the stable one."""
    status, lost = context.status, context.seen.lost
    if not lost:
        return context
    stable = status.stable_revision
    draining = tuple(each for each in status.draining if each.revision not in lost)
    status = status.model_copy(update={"draining": draining})
    if stable not in lost:
        return context.with_status(status)
    status = clear_failure(status.model_copy(update={"stable_revision": None}))
    message = (
        f"the stable revision {stable} is lost: it has no pods, and its ControllerRevision does "
        f"not exist or cannot be read; revision {context.seen.desired} serves once it is ready"
    )
    return context.with_status(status).add_event("Warning", "RevisionLost", message)


def recover_stable_revision(context: RolloutContext) -> RolloutContext:
    """Take the stable revision from the routes where the status names none: the agent was restored
    without its status, or deleted without its objects. The desired one must not replace it at once.
    """
    status, routed = context.status, context.seen.routed
    if routed is None or status.stable_revision or routed == status.canary_revision:
        return context
    status = status.model_copy(update={"stable_revision": routed})
    message = (
        f"the status names no stable revision; it is revision {routed}, which the gateway sends "
        "conversations to"
    )
    return context.with_status(status).add_event("Normal", "StableRecovered", message)


def follow_desired_revision(context: RolloutContext) -> RolloutContext:
    """Start a rollout of the desired revision, and end one of a revision no longer desired."""
    status, desired, now = context.status, context.seen.desired, context.seen.now
    if desired != status.failed_revision or status.stable_revision is None:
        status = clear_failure(status)  # where none is stable, a failed one is better than none
    stable, canary = status.stable_revision, status.canary_revision
    if desired in (stable, status.failed_revision):
        if canary:
            message = f"revision {canary} is no longer desired"
            context = context.add_event("Normal", "CanaryWithdrawn", message)
            status = end_rollout(status, "Withdrawn", "SpecChanged", message, now)
        return context.with_status(status)
    if desired == canary:
        return context.with_status(status)
    if stable:
        message = f"revision {desired} starts beside the stable revision {stable}"
        context = context.add_event("Normal", "CanaryStarted", message)
        if canary:
            message = f"revision {desired} is desired now"
            status = end_rollout(status, "Withdrawn", "SpecChanged", message, now)
    return context.with_status(start_canary(status, desired, context.path, now))


def follow_steps(context: RolloutContext) -> RolloutContext:
    """Continue with changed steps, after those whose weight is approved already."""
    status, rollout = context.status, context.rollout
    # A rolling rollout has a step for each pod: an autoscaler moves them, and the spec has not
    # changed.
    is_scaled = rollout.steps not in (None, len(context.steps))
    has_changed = context.path != rollout.path
    if status.canary_revision is None or not (has_changed or is_scaled):
        return context
    if rollout.path is None:
        return context.update_rollout(path=context.path)
    approved = rollout.approved_weight
    reached = [n for n, step in enumerate(context.steps) if step.weight and step.weight <= approved]
    step = (reached[-1] if reached else 0) or None
    status = update_rollout(status, path=context.path, step=step, step_started_at=None)
    if rollout.paused == "Inconclusive":  # the step that was inconclusive is replaced
        status = unpause(status)
    if approved and not context.steps and context.settings.strategy != "rolling":
        # No step is left to wait at, and the full weight has not been approved.
        status = update_rollout(status, paused="Command")
    if not has_changed:
        return context.with_status(status)
    message = (
        f"the steps have changed; revision {status.canary_revision} continues with the new ones"
    )
    return context.with_status(status).add_event("Normal", "StepsChanged", message)
