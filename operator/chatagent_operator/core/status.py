"""The status: nine conditions, a phase, and where the rollout stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from chatagent_operator.api.conditions import ConditionType, Finding, merge
from chatagent_operator.api.v1alpha1 import (
    ChatAgentStatus,
    KnowledgeStatus,
    Phase,
    RolloutStatus,
)
from chatagent_operator.core import names, vector_store
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.knowledge import Ingestion, missing_sources
from chatagent_operator.core.observed import Observed, PodFacts
from chatagent_operator.core.rollout import Command, Decision, Notice
from chatagent_operator.core.routes import Routes
from chatagent_operator.core.trouble import Trouble, of_report


def after(
    agent: Agent,
    previous: ChatAgentStatus,
    decision: Decision,
    indexing: list[Ingestion],
    routes: Routes,
    observed: Observed,
    rejected: Mapping[str, str],
    now: str,
) -> ChatAgentStatus:
    """The status after a look."""
    state = decision.state
    serving = state.stable or state.canary or ""
    store = _vector_store(agent, observed)
    if vector_store.managed(agent) and not store.is_true:
        # that they wait for it goes without saying
        unready = {
            pod: trouble for pod, trouble in observed.unready.items() if not trouble.is_store
        }
        observed = replace(observed, unready=unready)
    index = _index(agent, indexing, observed)
    workload = observed.workload("Deployment", names.of_revision(agent.name, serving))
    workloads = _workloads(agent, serving, observed)
    gateway = _gateway(agent, observed)
    degraded = _degraded(agent, decision, store, observed, rejected, now)
    progressing = _progressing(decision, observed, degraded)
    findings = [
        Finding(ConditionType.ACCEPTED, "True", "Accepted"),
        _references(agent, observed),
        workloads,
        store,
        index,
        gateway,
        progressing,
        degraded,
        _ready(
            state.stable, (workloads, index, gateway), bool(workload and workload.available), routes
        ),
    ]
    return ChatAgentStatus(
        observed_generation=agent.generation,
        phase=_phase(decision, findings),
        url=f"http://{agent.name}.{agent.namespace}.svc",
        stable_revision=state.stable,
        canary_revision=state.canary,
        failed_revision=state.failed,
        rollout=RolloutStatus(
            weight=decision.weight,
            started_at=state.started_at,
            message=progressing.message,
            last_command_id=state.last_command_id,
            last_command_result=state.last_command_result,
        ),
        knowledge=_knowledge(previous.knowledge, indexing, observed),
        replicas=workload.available if workload else 0,
        selector=_selector(agent, serving),
        conditions=merge(previous.conditions, findings, agent.generation, now),
    )


def notices(before: ChatAgentStatus, now: ChatAgentStatus) -> tuple[Notice, ...]:
    """What of a change in the conditions a person should read as an Event."""
    old = {c.type: c for c in before.conditions}
    new = {c.type: c for c in now.conditions}
    told: list[Notice] = []
    progress, earlier = new.get(ConditionType.PROGRESSING), old.get(ConditionType.PROGRESSING)
    before_reason = earlier.reason if earlier else ""
    if progress and progress.reason == "CanaryServing" != before_reason:
        told.append(Notice("Normal", progress.reason, progress.message))
    for aspect in (ConditionType.ACCEPTED, ConditionType.DEGRADED, ConditionType.READY):
        was, present = old.get(aspect), new.get(aspect)
        if not present or (was and (was.status, was.reason) == (present.status, present.reason)):
            continue
        bad = "True" if aspect == ConditionType.DEGRADED else "False"
        if aspect == ConditionType.READY and not (was and was.status != present.status):
            continue  # nobody expects a new agent to be ready at once
        if present.status == bad:
            told.append(Notice("Warning", present.reason, present.message))
        elif was:
            reason = {ConditionType.DEGRADED: "Recovered", ConditionType.READY: "Ready"}
            message = present.message or "nothing is wrong any more"
            told.append(Notice("Normal", reason.get(aspect, present.reason), message))
    return tuple(told)


def suspended(
    agent: Agent, previous: ChatAgentStatus, command: Command | None, now: str
) -> ChatAgentStatus:
    """The status of an agent that is left alone: what was, and that it is not looked after."""
    paused = Finding(
        ConditionType.PROGRESSING, "False", "Suspended", "spec.suspend is true: nothing is changed"
    )
    kept = _kept(previous, but=ConditionType.PROGRESSING)
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


def invalid(previous: ChatAgentStatus, generation: int, message: str, now: str) -> ChatAgentStatus:
    """The status of an agent whose spec this operator cannot read. What serves goes on."""
    findings = _kept(previous, but=ConditionType.ACCEPTED)
    accepted = Finding(ConditionType.ACCEPTED, "False", "InvalidSpec", message)
    return previous.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Degraded",
            "conditions": merge(previous.conditions, [accepted, *findings], generation, now),
        }
    )


def _kept(previous: ChatAgentStatus, but: ConditionType) -> list[Finding]:
    known = set(ConditionType)
    return [
        Finding(ConditionType(c.type), c.status, c.reason, c.message)
        for c in previous.conditions
        if c.type in known and c.type != but
    ]


def _references(agent: Agent, observed: Observed) -> Finding:
    if missing := missing_sources(agent, observed.sources):
        return Finding(
            ConditionType.RESOLVED_REFS, "False", "ConfigMapNotFound", "; ".join(missing)
        )
    for trouble in _troubles(observed, names.ROLE_AGENT, names.ROLE_INGESTION):
        if trouble.is_reference:
            message = f"{trouble.message}; create it"
            return Finding(ConditionType.RESOLVED_REFS, "False", trouble.reason, message)
    return Finding(ConditionType.RESOLVED_REFS, "True", "Resolved")


def _workloads(agent: Agent, serving: str, observed: Observed) -> Finding:
    workload = observed.workload("Deployment", names.of_revision(agent.name, serving))
    available = workload.available if workload else 0
    count = f"{available} of {agent.spec.replicas} pods of revision {serving} are ready"
    if available >= agent.spec.replicas:
        return Finding(ConditionType.WORKLOADS_READY, "True", "Available", count)
    trouble = trouble_of_revision(agent, serving, observed)
    return Finding(
        ConditionType.WORKLOADS_READY,
        "False",
        trouble.reason if trouble else "Starting",
        f"{count}: {trouble.message}" if trouble else count,
    )


def _vector_store(agent: Agent, observed: Observed) -> Finding:
    aspect = ConditionType.VECTOR_STORE_READY
    refused = next(
        (t for t in _troubles(observed, names.ROLE_AGENT, names.ROLE_INGESTION) if t.is_store), None
    )
    if vector_store.managed(agent) is None:
        if refused:
            return Finding(aspect, "False", refused.reason, refused.message)
        if any(pod.ready for _, pod in observed.pods(names.ROLE_AGENT)):
            return Finding(aspect, "True", "Answers")
        return Finding(aspect, "Unknown", "NotAskedYet", "no pod has reached the store yet")
    workload = observed.workload("StatefulSet", names.vector_store(agent.name))
    if workload and workload.available:
        return Finding(aspect, "True", "Available")
    trouble = next(_troubles(observed, names.ROLE_VECTOR_STORE), None)
    return Finding(
        aspect,
        "False",
        trouble.reason if trouble else "Starting",
        trouble.message if trouble else "the store starts",
    )


def _index(agent: Agent, indexing: list[Ingestion], observed: Observed) -> Finding:
    aspect = ConditionType.INDEX_READY
    if missing_sources(agent, observed.sources):
        message = "documents are missing, see ResolvedRefs; what was indexed before stays"
        return Finding(aspect, "False", "SourcesMissing", message)
    waiting = [i for i in indexing if not i.is_complete(observed)]
    if not waiting:
        return Finding(aspect, "True", "Indexed")
    troubles = [
        trouble
        for _, pod in observed.pods(names.ROLE_INGESTION)
        if (trouble := pod.trouble or of_report(pod.report))
    ]
    if troubles:
        return Finding(aspect, "False", troubles[0].reason, troubles[0].message)
    return Finding(
        aspect, "False", "Ingesting", f"Job {waiting[0].job} indexes {waiting[0].collection}"
    )


def _gateway(agent: Agent, observed: Observed) -> Finding:
    workload = observed.workload("Deployment", names.gateway(agent.name))
    if workload and workload.available:
        return Finding(ConditionType.GATEWAY_READY, "True", "Available")
    trouble = next(_troubles(observed, names.ROLE_GATEWAY), None)
    return Finding(
        ConditionType.GATEWAY_READY,
        "False",
        trouble.reason if trouble else "Starting",
        trouble.message if trouble else "the gateway starts",
    )


def _progressing(decision: Decision, observed: Observed, degraded: Finding) -> Finding:
    aspect = ConditionType.PROGRESSING
    state = decision.state
    if state.canary and decision.weight:
        message = (
            f"revision {state.canary} gets {decision.weight} % of the new conversations; "
            "go on with `kubectl chatagent promote` or `abort`"
        )
        return Finding(aspect, "True", "CanaryServing", message)
    if state.canary:
        message = f"revision {state.canary} is not ready yet"
        if degraded.is_true:
            message += f": {degraded.message}"
        return Finding(aspect, "True", "WaitingForRevision", message)
    if state.failed:
        message = (
            f"revision {state.failed} was aborted and stays so until the spec changes; "
            f"{state.stable} serves"
        )
        return Finding(aspect, "False", "Aborted", message)
    return Finding(aspect, "False", "Completed", f"revision {state.stable} serves")


def _degraded(
    agent: Agent,
    decision: Decision,
    store: Finding,
    observed: Observed,
    rejected: Mapping[str, str],
    now: str,
) -> Finding:
    aspect = ConditionType.DEGRADED
    for what, message in rejected.items():
        return Finding(aspect, "True", "Rejected", f"the API server refused {what}: {message}")
    if missing := missing_sources(agent, observed.sources):
        return Finding(aspect, "True", "ConfigMapNotFound", "; ".join(missing))
    for name in decision.live:
        if trouble := trouble_of_revision(agent, name, observed):
            return Finding(aspect, "True", trouble.reason, f"revision {name}: {trouble.message}")
    for role in (names.ROLE_VECTOR_STORE, names.ROLE_INGESTION, names.ROLE_GATEWAY):
        if trouble := next(_troubles(observed, role), None):
            return Finding(aspect, "True", trouble.reason, f"{role}: {trouble.message}")
    if decision.state.stable and store.status == "False":
        return Finding(aspect, "True", store.reason, f"vector store: {store.message}")
    if _is_late(agent, decision, now):
        seconds = agent.spec.rollout.progress_deadline_seconds
        message = f"revision {decision.state.canary} is not ready after {seconds} s"
        return Finding(aspect, "True", "ProgressDeadlineExceeded", message)
    return Finding(aspect, "False", "AsExpected")


def _is_late(agent: Agent, decision: Decision, now: str) -> bool:
    started = decision.state.started_at
    if not started or decision.weight:
        return False
    elapsed = datetime.fromisoformat(now) - datetime.fromisoformat(started)
    return elapsed.total_seconds() > agent.spec.rollout.progress_deadline_seconds


def _ready(
    stable: str | None, needs: tuple[Finding, ...], available: bool, routes: Routes
) -> Finding:
    """It answers: one pod and the gateway are enough, and an index of before is too."""
    workloads, _, gateway = needs
    needed = needs if not stable else (gateway,) if available else (workloads, gateway)
    for finding in needed:
        if not finding.is_true:
            return Finding(ConditionType.READY, "False", finding.reason, finding.message)
    if not stable or not any(backend.state == "ready" for backend in routes.backends):
        return Finding(ConditionType.READY, "False", "NoRoute", "the gateway has no address yet")
    return Finding(ConditionType.READY, "True", "Serving", f"revision {stable} serves")


def _phase(decision: Decision, findings: Iterable[Finding]) -> Phase:
    holds = {finding.type: finding.is_true for finding in findings}
    if holds[ConditionType.DEGRADED]:
        return "Degraded"
    if decision.state.stable is None or not holds[ConditionType.READY]:
        return "Pending"
    return "Canary" if decision.state.canary else "Ready"


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


def trouble_of_revision(agent: Agent, name: str, observed: Observed) -> Trouble | None:
    """What keeps pods of a revision from being ready, if anything is known."""
    workload = observed.workload("Deployment", names.of_revision(agent.name, name))
    if workload and workload.failure:
        return Trouble("PodsCannotBeMade", workload.failure)
    return next(
        (
            trouble
            for child, pod in observed.pods(names.ROLE_AGENT, name)
            if (trouble := _trouble(child.name, pod, observed))
        ),
        None,
    )


def _troubles(observed: Observed, *roles: str) -> Iterator[Trouble]:
    return (
        trouble
        for role in roles
        for child, pod in observed.pods(role)
        if (trouble := _trouble(child.name, pod, observed))
    )


def _trouble(pod_name: str, pod: PodFacts, observed: Observed) -> Trouble | None:
    if pod.ready:
        return None
    return pod.trouble or observed.unready.get(pod_name)
