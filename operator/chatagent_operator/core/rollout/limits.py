"""Limits that roll a canary back: its measurements, restarts, evaluation and progress deadline.

They run before whatever continues a rollout, and never wait.
"""

from __future__ import annotations

from datetime import datetime

from chatagent_operator.api.status import AnalysisStatus
from chatagent_operator.core.judging.analysis import summarize
from chatagent_operator.core.rollout.context import RolloutContext
from chatagent_operator.core.rollout.pods import describe_shortage, has_deadline
from chatagent_operator.core.rollout.state import end_rollout, mark_failed
from chatagent_operator.core.rollout.times import elapsed


def record_window(context: RolloutContext) -> RolloutContext:
    """Store the start of the measurements, with which another replica continues them."""
    found, rollout = context.seen.window, context.rollout
    if found is None or found == rollout.window or rollout.weighted_at is None:
        return context
    return context.update_rollout(window=found)


def record_measurement(context: RolloutContext) -> RolloutContext:
    """Count a new measurement, and roll back if too many have failed at the current weight."""
    found, settings = context.seen.measurement, context.settings
    if found is None or not context.is_canary_beside_stable:
        return context
    if settings.strategy != "canary":
        return context  # other strategies check readiness only, and blueGreen its evaluation
    step, previous = context.current_step, context.status.analysis
    is_at_step = step is not None and step.counts_measurements
    is_new = found.at != previous.measured_at  # and not later: a clock may be set back
    if not is_new or found.window != context.rollout.weighted_at:
        return context
    if not (is_at_step or settings.analysis.background):
        return context
    analysis = AnalysisStatus(
        verdict=found.verdict,
        measured_at=found.at,
        samples=found.samples,
        succeeded=previous.succeeded + (is_at_step and found.verdict == "Succeeded"),
        failed=previous.failed + (found.verdict == "Failed"),
        inconclusive=previous.inconclusive + (is_at_step and found.verdict == "Inconclusive"),
        measurements=previous.measurements + 1,
        metrics=found.metrics,
    )
    context = context.with_status(context.status.model_copy(update={"analysis": analysis}))
    if analysis.failed > settings.analysis.failure_limit:
        return roll_back(context, "AnalysisFailed", summarize(found.metrics, "Failed"))
    return context


def record_restarts(context: RolloutContext) -> RolloutContext:
    """Count how often the canary's pods restarted or lost readiness since it got its weight, or,
    where no step gives it one, since its pods were ready, and roll back if it was too often. Those
    that are replaced are not counted twice: each has a time.
    """
    rollout, limit = context.rollout, context.settings.analysis.restart_limit
    since = rollout.restarted_at or rollout.weighted_at
    if not context.is_canary_beside_stable:
        return context
    if since is None:
        has_weights = any(step.weight for step in context.steps)
        if has_weights or describe_shortage(context) is not None:
            return context
        return context.update_rollout(restarted_at=context.seen.now)
    new = [each for each in context.seen.interruptions if elapsed(since, each.at) > 0]
    if not new:
        return context
    last = max(new, key=lambda each: datetime.fromisoformat(each.at))
    count = rollout.restarts + len(new)
    context = context.update_rollout(restarts=count, restarted_at=last.at)
    start = "it got its weight" if rollout.weighted_at else "they were ready"
    message = (
        f"its pods restarted or lost readiness {count} times since {start}, and "
        f"spec.rollout.analysis.restartLimit is {limit}; the last time {last.message}"
    )
    if count > limit:
        return roll_back(context, "TooManyRestarts", message)
    event = f"revision {context.status.canary_revision} is not rolled back yet: {message}"
    return context.add_event("Warning", "CanaryRestarted", event)


def enforce_evaluation(context: RolloutContext) -> RolloutContext:
    """Roll back a canary whose answers are not good enough, before it gets any conversation."""
    found, rollout = context.seen.evaluation, context.rollout
    if not context.is_canary_beside_stable or rollout.approved_weight or rollout.full:
        return context
    if found and found.verdict == "Failed":
        return roll_back(context, "EvaluationFailed", found.message)
    return context


def enforce_deadline(context: RolloutContext) -> RolloutContext:
    """Roll back a canary that has lacked ready pods for too long."""
    seen, since = context.seen, context.rollout.waiting_since
    if not context.is_canary_beside_stable or not since or not has_deadline(context):
        return context
    limit = context.settings.progress_deadline_seconds
    shortage = describe_shortage(context)
    if shortage is None or elapsed(since, seen.now) <= limit:
        return context
    reason = "InsufficientCapacity" if seen.is_unschedulable else "ProgressDeadlineExceeded"
    return roll_back(context, reason, f"it exceeded the progress deadline of {limit} s: {shortage}")


def roll_back(context: RolloutContext, reason: str, message: str) -> RolloutContext:
    """End the rollout and mark its revision as failed."""
    revision = context.status.canary_revision or ""
    status = end_rollout(context.status, "Failed", reason, message, context.seen.now)
    status = mark_failed(status, revision, reason, message)
    event = f"revision {revision} is rolled back: {message}"
    return context.with_status(status).add_event("Warning", reason, event)
