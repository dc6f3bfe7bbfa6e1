"""Runs the steps of a rollout."""

from __future__ import annotations

from chatagent_operator.core.rollout.context import RolloutContext, StepResult
from chatagent_operator.core.rollout.decision import Waiting
from chatagent_operator.core.rollout.pods import (
    approve_weight,
    describe_unreachable,
    wait_for_pods,
)
from chatagent_operator.core.rollout.promotion import promote_canary
from chatagent_operator.core.rollout.state import start_next_step
from chatagent_operator.core.rollout.takeover import is_stable_lost


def run_steps(context: RolloutContext) -> StepResult:
    """Run steps until one has to wait, or the canary is promoted."""
    if context.status.canary_revision is None:
        return context, None
    hold = find_hold(context)
    if context.is_canary_beside_stable and context.settings.strategy == "recreate" and hold:
        # The stable pods are replaced only by a rollout that continues.
        return context.update_rollout(waiting_since=None), hold
    if context.rollout.replicas is None:
        context = context.update_rollout(replicas=context.replicas)
    context, waiting = wait_for_pods(context)
    if context.status.stable_revision is None:
        return context, waiting
    if waiting and _serves_alone(context):
        context = approve_weight(context, 100)
    waiting = waiting or hold
    while waiting is None and context.status.canary_revision:
        context, waiting = _run_step(context)
    return context, waiting


def find_hold(context: RolloutContext) -> Waiting | None:
    """Return what keeps all steps from running."""
    rollout, evaluation = context.rollout, context.seen.evaluation
    if context.settings.paused:
        message = "spec.rollout.paused is true; set it to false to continue the rollout"
        return Waiting("PausedBySpec", message, is_paused=True)
    if rollout.paused == "Command":
        message = "the rollout is paused by a command; use `resume` to continue it"
        return Waiting("PausedByCommand", message, is_paused=True)
    if is_stable_lost(context.status, context.seen.now):
        return None  # there is nothing to compare with
    if evaluation is None or rollout.approved_weight or rollout.full:
        return None
    if evaluation.verdict != "Succeeded":
        message = evaluation.message or "the evaluation asks both revisions its questions"
        return Waiting("Evaluating", message)
    return None


def apply_weight(
    context: RolloutContext, waiting: Waiting | None, *, applied: int, approved: int
) -> StepResult:
    """Set the weight of the canary: the approved one while it can serve, otherwise 0.

    Args:
        applied: the weight in the previous status.
        approved: the approved weight in the previous status.
    """
    status, rollout = context.status, context.rollout
    serves = status.stable_revision is not None and status.canary_revision in context.seen.ready
    is_known = context.seen.is_reachable or applied or rollout.approved_weight != approved
    if serves and not is_known:
        # Its pods are ready again, but not every gateway pod can connect to them yet.
        serves, waiting = False, Waiting("WaitingForGateway", describe_unreachable(context))
    is_tried = context.is_canary_beside_stable
    context = context.update_rollout(
        weight=rollout.approved_weight if serves else 0,
        steps=len(context.steps) if is_tried else None,
    )
    return context, waiting


def _serves_alone(context: RolloutContext) -> bool:
    """Return whether the first pods of a canary are ready for which all stable ones were deleted:
    they serve while the others start, and are promoted only then."""
    seen = context.seen
    is_first = context.status.canary_revision in seen.ready and not context.rollout.approved_weight
    is_alone = context.settings.strategy == "recreate" and not seen.is_stable_available
    return is_alone and is_first and seen.is_reachable


def _run_step(context: RolloutContext) -> StepResult:
    index = context.rollout.step or 0
    is_lost = is_stable_lost(context.status, context.seen.now)
    if context.rollout.full or is_lost or index >= len(context.steps):
        return promote_canary(context)
    if context.rollout.step_started_at is None:
        context = context.update_rollout(step=index, step_started_at=context.seen.now)
    context, waiting = context.steps[index].run(context)
    if waiting is None:
        context = context.with_status(start_next_step(context.status, context.seen.now))
    return context, waiting
