"""The status: the state of the rollout, the conditions, the phase and the index."""

from __future__ import annotations

from collections.abc import Iterable

from chatagent_operator.api.conditions import ConditionType, Finding, merge
from chatagent_operator.api.status import (
    ChatAgentStatus,
    KnowledgeStatus,
    Phase,
)
from chatagent_operator.core import names
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.reporting.conditions import find_conditions
from chatagent_operator.core.rollout.decision import Decision
from chatagent_operator.core.rollout.state import update_rollout
from chatagent_operator.core.untrusted import read_count
from chatagent_operator.core.view.ingestions import count_rebuilds


def build_status(state: DesiredState) -> ChatAgentStatus:
    """Return the status after a reconciliation."""
    agent, previous, found = state.agent, state.view.previous, find_conditions(state)
    # A spec of which a part is not written yet is not observed: kubectl and kstatus wait for it.
    is_written = not any(each.is_transient for each in state.view.refusals.values())
    generation = agent.generation if is_written else previous.observed_generation
    message = next(each.message for each in found if each.type == ConditionType.PROGRESSING)
    return update_rollout(state.status, message=message).model_copy(
        update={
            "observed_generation": generation,
            "phase": _find_phase(state.decision, found),
            "url": _find_url(state),
            "evaluation": state.quality,
            "knowledge": _find_knowledge(state),
            "replicas": state.view.count_available(state.serving),
            "selector": _find_selector(state),
            "conditions": merge(previous.conditions, found, generation or 0, state.view.now),
        }
    )


def _find_url(state: DesiredState) -> str | None:
    if state.agent.spec.gateway.provider == "haproxy":
        return f"http://{state.agent.name}.{state.agent.namespace}.svc"
    return state.observed.applied.url


def _find_phase(decision: Decision, found: Iterable[Finding]) -> Phase:
    holds = {finding.type: finding.is_true for finding in found}
    if holds[ConditionType.DEGRADED]:
        return "Degraded"
    if decision.status.stable_revision is None or not holds[ConditionType.READY]:
        return "Pending"
    if decision.status.canary_revision is None:
        return "Ready"
    return "Paused" if holds[ConditionType.PAUSED] else "Canary"


def _find_knowledge(state: DesiredState) -> KnowledgeStatus:
    previous, now = state.view.previous.knowledge, state.view.now
    rebuilds = {"rebuilds": previous.rebuilds, "rebuilt_at": previous.rebuilt_at}
    if state.rebuilt:
        rebuilds = {"rebuilds": count_rebuilds(previous, now) + 1, "rebuilt_at": now}
    return _find_index(state).model_copy(update=rebuilds)


def _find_index(state: DesiredState) -> KnowledgeStatus:
    previous = state.view.previous.knowledge
    if not state.ingestions:
        return previous
    first = state.ingestions[0]
    for child, pod in state.observed.pods(names.ROLE_INGESTION):
        if child.name.startswith(f"{first.job}-") and "documents" in pod.report:
            report = pod.report
            return KnowledgeStatus(
                collection=first.collection,
                documents=read_count(report["documents"]),
                chunks=read_count(report.get("chunks")),
                index_version=read_count(report.get("indexVersion")),
            )
    if previous.collection == first.collection:
        return previous
    return KnowledgeStatus(collection=first.collection)


def _find_selector(state: DesiredState) -> str:
    selector = names.selector(state.agent.name, names.ROLE_AGENT, state.serving or None)
    return ",".join(f"{key}={value}" for key, value in selector.items())
