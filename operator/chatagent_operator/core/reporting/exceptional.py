"""The status of an agent that is suspended, or whose spec is invalid."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from chatagent_operator.api.conditions import ConditionType, Finding, merge
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.reporting.conditions import find_paused, find_progressing
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.decision import Decision
from chatagent_operator.core.rollout.state import update_rollout
from chatagent_operator.core.untrusted import clean_message


def report_suspended(
    agent: Agent, previous: ChatAgentStatus, command: Command | Unreadable | None, now: str
) -> ChatAgentStatus:
    """Return the status of a suspended agent: the previous one, with the reason."""
    suspended = Finding(
        ConditionType.PROGRESSING,
        "False",
        "Suspended",
        "spec.suspend is true, so the agent is not reconciled; set it to false to continue",
    )
    changed = {ConditionType.PROGRESSING, ConditionType.RECONCILING}
    found = [suspended]
    if agent.revision.name not in (previous.stable_revision, previous.failed_revision):
        changed.add(ConditionType.PROMOTED)
        found.append(replace(suspended, type=ConditionType.PROMOTED, status="Unknown"))
    kept = _keep_findings(previous, but=changed)
    status = update_rollout(previous, message=suspended.message)
    if command and command.id != previous.rollout.last_command_id:
        status = update_rollout(
            status,
            last_command_id=command.id,
            last_command_result="refused: spec.suspend is true; set it to false",
        )
    return status.model_copy(
        update={
            "observed_generation": agent.generation,
            "phase": "Suspended",
            "conditions": merge(previous.conditions, [*kept, *found], agent.generation, now),
        }
    )


def report_aborted(
    previous: ChatAgentStatus, decision: Decision, generation: int, now: str
) -> ChatAgentStatus:
    """Return the status after an abort of an agent whose spec is invalid: its rollout has changed,
    and nothing else is known."""
    kept = _keep_findings(previous, but=(ConditionType.PROGRESSING, ConditionType.PAUSED))
    progressing = find_progressing(decision)
    found = [*kept, progressing, find_paused(decision)]
    return update_rollout(decision.status, message=progressing.message).model_copy(
        update={"conditions": merge(previous.conditions, found, generation, now)}
    )


def report_invalid(
    previous: ChatAgentStatus,
    generation: int,
    message: str,
    now: str,
    reconciled: ChatAgentStatus | None = None,
) -> ChatAgentStatus:
    """Return the status of an agent whose spec is invalid.

    Args:
        reconciled: the status after a reconciliation by the last valid spec.
    """
    found = [
        Finding(ConditionType.ACCEPTED, "False", "InvalidSpec", message),
        Finding(ConditionType.PROMOTED, "False", "InvalidSpec", message),
        Finding(ConditionType.STALLED, "True", "InvalidSpec", message),
    ]
    changed = {ConditionType.RECONCILING, *(finding.type for finding in found)}
    kept = _keep_findings(reconciled or previous, but=changed)
    return (reconciled or previous).model_copy(
        update={
            "observed_generation": generation,
            "phase": "Degraded",
            "conditions": merge(previous.conditions, [*found, *kept], generation, now),
        }
    )


def report_refused(previous: ChatAgentStatus, message: str, now: str) -> ChatAgentStatus:
    """Return the status of an agent whose new status the API server rejected: the previous one,
    with the reason."""
    text = (
        "the API server rejected the agent's status, so that nothing more is decided; upgrade the "
        f"CRD to the operator's version: {clean_message(message)}"
    )
    degraded = Finding(ConditionType.DEGRADED, "True", "StatusRejected", text)
    generation = previous.observed_generation or 0
    kept = _keep_findings(previous, but=(ConditionType.DEGRADED,))
    found = [*kept, degraded]
    return previous.model_copy(
        update={"conditions": merge(previous.conditions, found, generation, now)}
    )


def _keep_findings(previous: ChatAgentStatus, but: Collection[ConditionType]) -> list[Finding]:
    known = set(ConditionType)
    return [
        Finding(ConditionType(c.type), c.status, c.reason, c.message)
        for c in previous.conditions
        if c.type in known and c.type not in but
    ]
