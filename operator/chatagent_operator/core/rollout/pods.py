"""Waits until the canary can take a weight: its pods are ready, and all gateway pods reach them."""

from __future__ import annotations

from collections.abc import Sequence

from chatagent_operator.api.status import AnalysisStatus, ChatAgentStatus
from chatagent_operator.core.rollout.context import RolloutContext, RolloutStep, StepResult
from chatagent_operator.core.rollout.decision import Waiting
from chatagent_operator.core.rollout.takeover import is_stable_lost
from chatagent_operator.core.rollout.times import elapsed


def find_next_weight(status: ChatAgentStatus, steps: Sequence[RolloutStep]) -> int:
    """Return the weight that the canary needs pods for: of this step, or the approved one."""
    rollout = status.rollout
    step = rollout.step or 0
    if rollout.full or step >= len(steps):
        return 100
    if weight := steps[step].weight:
        return max(weight, rollout.approved_weight)
    later = (each.weight for each in steps[step:] if each.weight)
    return rollout.approved_weight or next(later, 100)


def describe_shortage(context: RolloutContext) -> str | None:
    """Return why the canary cannot serve its next weight. None: it can."""
    status, seen = context.status, context.seen
    if status.canary_revision not in seen.ready:
        return f"revision {status.canary_revision} is not ready yet" + _explain(seen.problem)
    if is_stable_lost(status, seen.now):
        return None  # whatever it can serve is more than nothing
    needed = find_next_weight(status, context.steps)
    if status.stable_revision and seen.capacity < needed:
        return (
            f"the ready pods of revision {status.canary_revision} can serve {seen.capacity} % of "
            f"the conversations, and {needed} % is needed" + _explain(seen.problem)
        )
    return None


def has_deadline(context: RolloutContext) -> bool:
    """Return whether a canary that lacks ready pods for too long is rolled back.

    It is not while its documents are being indexed, nor for the lack of pods that were added since
    its last weight was approved, if these are unschedulable or the rollout is paused.
    """
    if context.seen.is_indexing:
        return False
    is_exempt = context.seen.is_unschedulable or context.is_paused
    return not (is_exempt and _lacks_added_pods_only(context))


def wait_for_pods(context: RolloutContext) -> StepResult:
    """Wait until the canary's pods can serve its next weight."""
    shortage = describe_shortage(context)
    seen, has_limit = context.seen, has_deadline(context)
    if shortage is None or (context.is_paused and not has_limit and not seen.is_indexing):
        return context.update_rollout(waiting_since=None), None  # a pause needs no more pods
    if seen.is_indexing:  # which has no deadline
        message = f"{shortage}: its documents are being indexed"
        context = context.update_rollout(offered=False, waiting_since=None)
        return context, Waiting("WaitingForIndex", message)
    if not has_limit:
        message = (
            f"{shortage}; spec.replicas was raised from {context.rollout.replicas} to "
            f"{context.replicas} during the rollout, and the rollout waits until there is room for "
            "the pods; add a node, or lower spec.replicas"
        )
        context = context.update_rollout(offered=False, waiting_since=None)
        return context, Waiting("ScaleUpUnschedulable", message)
    since = context.rollout.waiting_since or seen.now
    left = context.settings.progress_deadline_seconds - elapsed(since, seen.now) + 1
    reason = "WaitingForRevision" if seen.is_indexed else "WaitingForIndex"
    context = context.update_rollout(offered=False, waiting_since=since)
    return context, Waiting(reason, shortage, due=left if left > 0 else None)


def wait_for_gateway(context: RolloutContext) -> StepResult:
    """Wait until every gateway pod can connect to the canary, before it gets its first weight."""
    seen, rollout = context.seen, context.rollout
    if seen.is_reachable and (
        rollout.approved_weight or (rollout.offered and seen.is_gateway_current)
    ):
        return context, None
    return context.update_rollout(offered=True), Waiting(
        "WaitingForGateway", describe_unreachable(context)
    )


def approve_weight(context: RolloutContext, weight: int) -> RolloutContext:
    """Approve a weight, and start the measurements at it."""
    status = context.status.model_copy(update={"analysis": AnalysisStatus()})
    context = context.with_status(status).update_rollout(
        approved_weight=weight,
        weighted_at=context.seen.now,
        window=None,
        replicas=context.replicas,
    )
    message = f"revision {status.canary_revision} gets {weight} % of the new conversations"
    return context.add_event("Normal", "WeightSet", message)


def wait_for_weight(weight: int) -> Waiting:
    """Wait until the gateway applies a weight."""
    return Waiting("WaitingForGateway", f"the gateway does not apply weight {weight} % yet")


def describe_unreachable(context: RolloutContext) -> str:
    """Return the message for a canary that the gateway cannot connect to."""
    return f"the gateway cannot connect to revision {context.status.canary_revision} yet"


def _lacks_added_pods_only(context: RolloutContext) -> bool:
    """Return whether the canary's pods would suffice for the replicas of its last weight."""
    status, seen = context.status, context.seen
    needed = find_next_weight(status, context.steps)
    return status.canary_revision in seen.ready and seen.capacity_before >= needed > seen.capacity


def _explain(problem: str) -> str:
    return f": {problem}" if problem else ""
