"""The status: the conditions, a phase, and where the rollout stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chatagent_operator.api.conditions import ConditionType, Finding, merge
from chatagent_operator.api.status import (
    ChatAgentStatus,
    EvaluationStatus,
    KnowledgeStatus,
    Phase,
)
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.children import vector_store
from chatagent_operator.core.children.ingestion import Ingestion
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.reporting import conditions as findings
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.decision import Decision, EventRecord
from chatagent_operator.core.rollout.state import update_rollout
from chatagent_operator.core.rollout.times import elapsed
from chatagent_operator.core.routing.routes import Routes

_TOLD = frozenset({"PausedAtStep", "PausedBySpec", "PausedByCommand"})
"""What of a rollout's waits a person should read as an Event; the rest tells itself."""

_NOTICED_SECONDS = 10.0
"""Within which a pod that waits for the vector store has asked it again."""


def after(
    agent: Agent,
    previous: ChatAgentStatus,
    decision: Decision,
    indexing: list[Ingestion],
    routes: Routes,
    pods: Mapping[str, int],
    observed: Observed,
    rejected: Mapping[str, str],
    now: str,
    *,
    is_crowded: bool,
    lags: tuple[str, ...],
    quality: EvaluationStatus | None,
) -> ChatAgentStatus:
    """The status after a look.

    Args:
        pods: how many each revision should have from now on.
    """
    decided = decision.status
    serving = decided.stable_revision or decided.canary_revision or ""
    store = findings.store(agent, observed)
    if vector_store.managed(agent) and not (store.is_true and _is_known(previous, store, now)):
        # that they wait for it goes without saying
        observed = observed.without(lambda trouble: trouble.is_store)
    index = findings.index(agent, indexing, observed)
    workload = observed.workload("Deployment", names.of_revision(agent.name, serving))
    workloads = findings.workloads(agent, serving, pods.get(serving, 0), observed)
    cache = findings.cache(agent, observed)
    gateway = findings.gateway(agent, routes, observed)
    degraded = findings.degraded(agent, decision, store, observed, rejected, now, is_crowded, lags)
    progressing = findings.progressing(decision)
    available = bool(workload and workload.available)
    ready = findings.ready(decided.stable_revision, (workloads, index, gateway), available, routes)
    found = [
        Finding(ConditionType.ACCEPTED, "True", "Accepted"),
        findings.references(agent, observed),
        workloads,
        store,
        index,
        cache,
        gateway,
        progressing,
        findings.paused(decision),
        degraded,
        ready,
        *findings.for_tools(decided, progressing, degraded, ready),
    ]
    return update_rollout(decided, message=progressing.message).model_copy(
        update={
            "observed_generation": agent.generation,
            "phase": _phase(decision, found),
            "url": _url(agent, observed),
            "evaluation": quality or previous.evaluation,
            "knowledge": _knowledge(previous.knowledge, indexing, observed),
            "replicas": workload.available if workload else 0,
            "selector": _selector(agent, serving),
            "conditions": merge(previous.conditions, found, agent.generation, now),
        }
    )


def _is_known(previous: ChatAgentStatus, store: Finding, now: str) -> bool:
    """The store has been up for long enough that its pods must have noticed."""
    before = next((c for c in previous.conditions if c.type == store.type), None)
    if before is None or before.status != store.status:
        return False
    return elapsed(before.last_transition_time, now) > _NOTICED_SECONDS


def _url(agent: Agent, observed: Observed) -> str | None:
    if agent.spec.gateway.provider == "haproxy":
        return f"http://{agent.name}.{agent.namespace}.svc"
    return observed.applied.url


def notices(before: ChatAgentStatus, now: ChatAgentStatus) -> tuple[EventRecord, ...]:
    """What of a change in the conditions a person should read as an Event."""
    old = {c.type: c for c in before.conditions}
    new = {c.type: c for c in now.conditions}
    told: list[EventRecord] = []
    progress, earlier = new.get(ConditionType.PROGRESSING), old.get(ConditionType.PROGRESSING)
    before_reason = earlier.reason if earlier else ""
    if progress and progress.reason in _TOLD and progress.reason != before_reason:
        told.append(EventRecord("Normal", progress.reason, progress.message))
    for aspect in (ConditionType.ACCEPTED, ConditionType.DEGRADED, ConditionType.READY):
        was, present = old.get(aspect), new.get(aspect)
        if not present or (was and (was.status, was.reason) == (present.status, present.reason)):
            continue
        bad = "True" if aspect == ConditionType.DEGRADED else "False"
        if aspect == ConditionType.READY and not (was and was.status != present.status):
            continue  # nobody expects a new agent to be ready at once
        if aspect == ConditionType.DEGRADED and present.reason == now.failed_reason:
            continue  # the rollout has told it
        if present.status == bad:
            told.append(EventRecord("Warning", present.reason, present.message))
        elif was:
            reason = {ConditionType.DEGRADED: "Recovered", ConditionType.READY: "Ready"}
            message = present.message or "nothing is wrong any more"
            told.append(EventRecord("Normal", reason.get(aspect, present.reason), message))
    return tuple(told)


def suspended(
    agent: Agent, previous: ChatAgentStatus, command: Command | Unreadable | None, now: str
) -> ChatAgentStatus:
    """The status of an agent that is left alone: what was, and that it is not looked after."""
    paused = Finding(
        ConditionType.PROGRESSING, "False", "Suspended", "spec.suspend is true: nothing is changed"
    )
    passing = ConditionType.PROGRESSING, ConditionType.RECONCILING
    kept = _kept(previous, but=passing)
    rollout = previous.rollout
    if command and command.id != rollout.last_command_id:
        refusal = {
            "last_command_id": command.id,
            "last_command_result": "refused: spec.suspend is true",
        }
        rollout = rollout.model_copy(update=refusal)
    return previous.model_copy(
        update={
            "observed_generation": agent.generation,
            "phase": "Suspended",
            "rollout": rollout,
            "conditions": merge(previous.conditions, [*kept, paused], agent.generation, now),
        }
    )


def invalid(
    previous: ChatAgentStatus,
    generation: int,
    message: str,
    now: str,
    looked: ChatAgentStatus | None = None,
) -> ChatAgentStatus:
    """The status of an agent whose spec this operator cannot read.

    Args:
        looked: what a look came to by what could be read before.
    """
    passing = ConditionType.ACCEPTED, ConditionType.RECONCILING, ConditionType.STALLED
    kept = _kept(looked or previous, but=passing)
    accepted = Finding(ConditionType.ACCEPTED, "False", "InvalidSpec", message)
    stalled = Finding(ConditionType.STALLED, "True", "InvalidSpec", message)
    return (looked or previous).model_copy(
        update={
            "observed_generation": generation,
            "phase": "Degraded",
            "conditions": merge(previous.conditions, [accepted, *kept, stalled], generation, now),
        }
    )


def _kept(previous: ChatAgentStatus, but: tuple[ConditionType, ...]) -> list[Finding]:
    known = set(ConditionType)
    return [
        Finding(ConditionType(c.type), c.status, c.reason, c.message)
        for c in previous.conditions
        if c.type in known and c.type not in but
    ]


def _phase(decision: Decision, found: Iterable[Finding]) -> Phase:
    holds = {finding.type: finding.is_true for finding in found}
    if holds[ConditionType.DEGRADED]:
        return "Degraded"
    if decision.status.stable_revision is None or not holds[ConditionType.READY]:
        return "Pending"
    if decision.status.canary_revision is None:
        return "Ready"
    return "Paused" if holds[ConditionType.PAUSED] else "Canary"


def _knowledge(
    previous: KnowledgeStatus, indexing: list[Ingestion], observed: Observed
) -> KnowledgeStatus:
    if not indexing:
        return previous
    first = indexing[0]
    for child, pod in observed.pods(names.ROLE_INGESTION):
        if child.name.startswith(f"{first.job}-") and "documents" in pod.report:
            report = pod.report
            return KnowledgeStatus(
                collection=first.collection,
                documents=report.get("documents"),
                chunks=report.get("chunks"),
                index_version=report.get("indexVersion"),
            )
    if previous.collection == first.collection:
        return previous
    return KnowledgeStatus(collection=first.collection)


def _selector(agent: Agent, serving: str) -> str:
    selector = names.selector(agent.name, names.ROLE_AGENT, serving or None)
    return ",".join(f"{key}={value}" for key, value in selector.items())
