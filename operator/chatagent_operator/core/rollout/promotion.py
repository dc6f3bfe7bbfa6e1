"""Promotes a revision: the first one when it is ready, a canary after its last step."""

from __future__ import annotations

from chatagent_operator.api.status import DrainingRevision, PreviousRevision
from chatagent_operator.core.rollout.capacity import is_replacing
from chatagent_operator.core.rollout.context import RolloutContext, StepResult
from chatagent_operator.core.rollout.pods import wait_for_gateway, wait_for_pods, wait_for_weight
from chatagent_operator.core.rollout.state import clear_rollout, end_rollout
from chatagent_operator.core.rollout.takeover import is_stable_lost


def promote_first_revision(context: RolloutContext) -> RolloutContext:
    """Make the first revision of an agent stable once it is ready."""
    status = context.status
    canary = status.canary_revision
    if status.stable_revision is not None or canary not in context.seen.ready:
        return context
    status = clear_rollout(status).model_copy(update={"stable_revision": canary})
    return context.with_status(status).add_event("Normal", "Serving", f"revision {canary} serves")


def promote_canary(context: RolloutContext) -> StepResult:
    """Make the canary stable once it can take all conversations."""
    for wait in (wait_for_pods, wait_for_gateway):
        context, waiting = wait(context)
        if waiting:
            return context, waiting
    status, now = context.status, context.seen.now
    approved = status.rollout.approved_weight
    if approved and not context.seen.is_gateway_current:
        return context, wait_for_weight(approved)
    canary, stable, draining = status.canary_revision, status.stable_revision, status.draining
    reason, message = "Completed", f"revision {canary} is the stable revision now"
    if is_stable_lost(status, now):
        reason = "StableUnavailable"
        message += (
            f", without the remaining steps: revision {stable} has had no available pod, or no "
            f"Service, since {status.rollout.stable_unavailable_since}"
        )
        stable = None  # its pods serve nothing
    if stable and context.settings.affinity.on_promote == "drain":
        draining = (DrainingRevision(revision=stable, since=now), *draining)
    previous = None
    is_replaced = context.settings.strategy == "recreate" or is_replacing(status, context.settings)
    if stable and not is_replaced:  # otherwise its pods have been deleted for want of room
        previous = PreviousRevision(revision=stable, since=now)
    status = end_rollout(status, "Promoted", reason, message, now)
    status = status.model_copy(
        update={"stable_revision": canary, "draining": draining, "previous": previous}
    )
    return context.with_status(status).add_event("Normal", "Promoted", message), None
