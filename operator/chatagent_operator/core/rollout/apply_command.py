"""The phase that carries out a user's command, once, or refuses it with a reason."""

from __future__ import annotations

from chatagent_operator.core import names
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.context import RolloutContext
from chatagent_operator.core.rollout.state import (
    clear_failure,
    end_rollout,
    mark_failed,
    start_canary,
    start_next_step,
    unpause,
    update_rollout,
)

Applied = tuple[RolloutContext, str]
"""The changed rollout, and the result for the user."""


def apply_command(context: RolloutContext) -> RolloutContext:
    """Carry out a new command and store its result."""
    command = context.seen.command
    if command is None or command.id == context.rollout.last_command_id:
        return context
    if isinstance(command, Unreadable):
        subject = f"annotation {names.COMMAND_ANNOTATION}"
        context, result = _refuse(context, subject, command.reason)
    elif refusal := find_refusal(context, command):
        context, result = _refuse(context, command.action, refusal)
    else:
        context, result = _carry_out(context, command)
    return context.update_rollout(last_command_id=command.id, last_command_result=result)


def find_refusal(context: RolloutContext, command: Command) -> str | None:
    """Return why a command cannot be carried out. None: it can."""
    if command.action == "retry":
        return _find_refusal_of_retry(context, command)
    status, rollout, step = context.status, context.rollout, context.current_step
    canary = status.canary_revision
    if canary is None:
        return "there is no canary; change the spec to start a rollout"
    if command.revision not in (None, canary):
        return f"revision {command.revision} is not the canary, revision {canary} is"
    if status.stable_revision is None:
        return "the first revision is not ready yet, and there is no revision to roll back to"
    match command.action:
        case "promote" | "skip" | "resume" if context.settings.paused:
            return "spec.rollout.paused is true; set it to false"
        case "promote" | "skip" if canary not in context.seen.ready:
            return f"revision {canary} is not ready; wait until it is, or use `abort`"
        case "promote" if not command.full and not _waits_for_approval(context):
            return (
                "the rollout does not wait for approval; use `skip` to skip this step, or "
                "`promote --full` to skip all remaining steps"
            )
        case "skip" if rollout.step_started_at is None:
            return "the steps have not started yet; wait until the first one has"
        case "skip" if step and step.skip_refusal:
            return step.skip_refusal
        case "pause" if rollout.paused == "Command":
            return "the rollout is paused already; use `resume` to continue it"
        case "resume" if not rollout.paused:
            return "the rollout is not paused by a command or by inconclusive measurements"
        case _:
            return None


def _find_refusal_of_retry(context: RolloutContext, command: Command) -> str | None:
    failed = context.status.failed_revision
    if failed is None:
        return "no revision has failed; there is none to retry"
    if command.revision not in (None, failed):
        return f"revision {command.revision} has not failed, revision {failed} has"
    return None


def _waits_for_approval(context: RolloutContext) -> bool:
    step = context.current_step
    return context.rollout.paused is not None or (step is not None and step.waits_for_approval)


def _refuse(context: RolloutContext, subject: str, reason: str) -> Applied:
    message = f"{subject} is refused: {reason}"
    return context.add_event("Warning", "CommandRefused", message), f"refused: {reason}"


def _carry_out(context: RolloutContext, command: Command) -> Applied:
    status = context.status
    canary = status.canary_revision
    match command.action:
        case "abort":
            return _abort(context)
        case "retry":
            return _retry(context)
        case "pause":
            weight = status.rollout.approved_weight
            return context.update_rollout(paused="Command"), f"paused {canary} at {weight} %"
        case "resume":
            # The current step keeps its start: the time of a pause that has passed counts.
            return context.with_status(unpause(status)), f"resumed {canary}"
        case "promote" if command.full:
            status = update_rollout(unpause(status), full=True)
            return context.with_status(status), f"promoted {canary}, remaining steps skipped"
        case "promote" | "skip":
            return _end_step(context, command)


def _abort(context: RolloutContext) -> Applied:
    canary = context.status.canary_revision or ""
    message = f"revision {canary} is aborted by a command"
    status = end_rollout(context.status, "Aborted", "Aborted", message, context.seen.now)
    status = mark_failed(status, canary, "Aborted", "aborted by a command")
    context = context.with_status(status).add_event("Warning", "Aborted", message)
    return context, f"aborted {canary}"


def _retry(context: RolloutContext) -> Applied:
    failed = context.status.failed_revision or ""
    status = clear_failure(context.status)
    status = start_canary(status, failed, context.path, context.seen.now)
    message = f"revision {failed} is retried"
    return context.with_status(status).add_event("Normal", "Retried", message), f"retried {failed}"


def _end_step(context: RolloutContext, command: Command) -> Applied:
    """End the current step. `promote` of a rollout paused by a command only resumes it."""
    rollout, step = context.rollout, context.current_step
    status = unpause(context.status)
    is_pause_step = step is not None and step.waits_for_approval
    if command.action == "promote" and rollout.paused == "Command" and not is_pause_step:
        return context.with_status(status), f"resumed {status.canary_revision}"
    status = start_next_step(status, context.seen.now)
    number = (rollout.step or 0) + 1
    result = f"continued {status.canary_revision} after step {number}"
    return context.with_status(status), result
