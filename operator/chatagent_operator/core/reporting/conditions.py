"""What one look finds of each aspect, as data: status, reason for programs, sentence for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.children import cache as redis
from chatagent_operator.core.children import evaluation, vector_store
from chatagent_operator.core.children.ingestion import Ingestion, missing_sources
from chatagent_operator.core.observed.objects import Observed, PodFacts
from chatagent_operator.core.observed.trouble import Trouble, of_report
from chatagent_operator.core.rollout.decision import Decision
from chatagent_operator.core.rollout.times import elapsed
from chatagent_operator.core.routing.routes import Routes


def references(agent: Agent, observed: Observed) -> Finding:
    """Everything that the spec refers to is there."""
    missing = missing_sources(agent, observed.sources)
    if questions := evaluation.missing(agent, observed.sources):
        missing.append(questions)
    if missing:
        return Finding(
            ConditionType.RESOLVED_REFS, "False", "ConfigMapNotFound", "; ".join(missing)
        )
    for trouble in _troubles(observed, names.ROLE_AGENT, names.ROLE_INGESTION):
        if trouble.is_reference:
            message = f"{trouble.message}; create it"
            return Finding(ConditionType.RESOLVED_REFS, "False", trouble.reason, message)
    return Finding(ConditionType.RESOLVED_REFS, "True", "Resolved")


def workloads(agent: Agent, serving: str, pods: int, observed: Observed) -> Finding:
    """Enough pods of the serving revision are ready: `pods`, or one, without which nothing answers.
    All others may have made way for a canary."""
    workload = observed.workload("Deployment", names.of_revision(agent.name, serving))
    available = workload.available if workload else 0
    wanted = max(1, pods)
    count = f"{available} of {wanted} pods of revision {serving} are ready"
    if available >= wanted:
        return Finding(ConditionType.WORKLOADS_READY, "True", "Available", count)
    trouble = trouble_of_revision(agent, serving, observed)
    return Finding(
        ConditionType.WORKLOADS_READY,
        "False",
        trouble.reason if trouble else "Starting",
        f"{count}: {trouble.message}" if trouble else count,
    )


def store(agent: Agent, observed: Observed) -> Finding:
    """The vector store answers."""
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


def index(agent: Agent, indexing: list[Ingestion], observed: Observed) -> Finding:
    """The documents are searchable as they are now."""
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


def cache(agent: Agent, observed: Observed) -> Finding:
    """Redis runs. Nothing waits for it: without it the agent answers, and remembers nothing."""
    aspect = ConditionType.CACHE_READY
    if redis.managed(agent) is None:
        message = "whether an external Redis answers is told by the pods' /metrics and logs"
        return Finding(aspect, "Unknown", "External", message)
    workload = observed.workload("StatefulSet", names.redis(agent.name))
    if workload and workload.available:
        return Finding(aspect, "True", "Available")
    trouble = next(_troubles(observed, names.ROLE_CACHE), None)
    message = trouble.message if trouble else "Redis starts"
    return Finding(
        aspect,
        "False",
        trouble.reason if trouble else "Starting",
        f"{message}; until then answers are not cached and conversations not remembered",
    )


def gateway(agent: Agent, routes: Routes, observed: Observed) -> Finding:
    """The gateway runs, or takes the agent's route."""
    if agent.spec.gateway.provider == "gateway-api":
        return _route(observed, has_route=bool(routes.backends))
    workload = observed.workload("StatefulSet", names.gateway(agent.name))
    if workload and workload.available:
        return Finding(ConditionType.GATEWAY_READY, "True", "Available")
    trouble = next(_troubles(observed, names.ROLE_GATEWAY), None)
    return Finding(
        ConditionType.GATEWAY_READY,
        "False",
        trouble.reason if trouble else "Starting",
        trouble.message if trouble else "the gateway starts",
    )


def _route(observed: Observed, has_route: bool) -> Finding:
    aspect, applied = ConditionType.GATEWAY_READY, observed.applied
    if not has_route:
        return Finding(aspect, "False", "Starting", "no revision is ready yet")
    if applied.trouble:
        return Finding(aspect, "False", applied.trouble.reason, applied.trouble.message)
    if applied.generation is None:
        message = "no Gateway has said yet that it takes the HTTPRoute"
        return Finding(aspect, "False", "RouteUnanswered", message)
    return Finding(aspect, "True", "Programmed")


def progressing(decision: Decision) -> Finding:
    """A rollout is under way."""
    aspect = ConditionType.PROGRESSING
    state, waiting = decision.status, decision.waiting
    if state.canary_revision and waiting:
        share = (
            f"revision {state.canary_revision} gets {decision.weight} % of the new conversations; "
        )
        message = (share if decision.weight else "") + waiting.message
        return Finding(aspect, "True", waiting.reason, message)
    if state.failed_revision:
        message = (
            f"revision {state.failed_revision} was taken back ({state.failed_message}) and stays "
            f"out until the spec changes, or `kubectl chatagent retry`; "
            f"{state.stable_revision} serves"
        )
        return Finding(aspect, "False", state.failed_reason or "Failed", message)
    return Finding(aspect, "False", "Completed", f"revision {state.stable_revision} serves")


def paused(decision: Decision) -> Finding:
    """The rollout waits for a person, or for a time that a person has set."""
    waiting = decision.waiting
    if waiting and waiting.is_paused:
        return Finding(ConditionType.PAUSED, "True", waiting.reason, waiting.message)
    return Finding(ConditionType.PAUSED, "False", "NotPaused")


def for_tools(
    state: ChatAgentStatus, progressing: Finding, degraded: Finding, ready: Finding
) -> list[Finding]:
    """What kstatus reads, and Flux with it: one of the two, or neither where all is done."""
    if state.failed_revision:  # what the manifest asks for does not serve
        reason = progressing.reason
        return [Finding(ConditionType.STALLED, "True", reason, progressing.message)]
    if degraded.is_true:
        return [Finding(ConditionType.STALLED, "True", degraded.reason, degraded.message)]
    for finding in (progressing, ready):
        if finding.is_true == (finding is progressing):
            return [Finding(ConditionType.RECONCILING, "True", finding.reason, finding.message)]
    return []


def degraded(
    agent: Agent,
    decision: Decision,
    store: Finding,
    observed: Observed,
    rejected: Mapping[str, str],
    now: str,
    is_crowded: bool,
    lags: tuple[str, ...],
) -> Finding:
    """Something needs a person's attention."""
    aspect = ConditionType.DEGRADED
    for what, message in rejected.items():
        return Finding(aspect, "True", "Rejected", f"the API server refused {what}: {message}")
    if missing := missing_sources(agent, observed.sources):
        return Finding(aspect, "True", "ConfigMapNotFound", "; ".join(missing))
    state = decision.status
    if is_crowded and state.stable_revision:
        message = (
            f"no node has room for a pod of revision {state.canary_revision}, and none can make "
            "way for it; add a node, or set spec.rollout.strategy to recreate"
        )
        return Finding(aspect, "True", "InsufficientCapacity", message)
    ended_at = state.history[0].ended_at if state.history else None
    makes_room = is_making_room(agent, ended_at, now)
    for name in decision.live:
        trouble = trouble_of_revision(agent, name, observed)
        if trouble and trouble.is_no_room and (name == state.canary_revision or makes_room):
            continue  # those before it end, and then it has their room
        if trouble:
            return Finding(aspect, "True", trouble.reason, f"revision {name}: {trouble.message}")
    roles = names.ROLE_VECTOR_STORE, names.ROLE_INGESTION, names.ROLE_GATEWAY, names.ROLE_CACHE
    for role in roles:
        if trouble := next(_troubles(observed, role), None):
            return Finding(aspect, "True", trouble.reason, f"{role}: {trouble.message}")
    if lags:
        message = (
            f"gateway pods that do not follow the routes: {', '.join(lags)}. They may still send "
            "conversations by the weights of before; see the log of their container sync"
        )
        return Finding(aspect, "True", "GatewayLags", message)
    if decision.status.stable_revision and store.status == "False":
        return Finding(aspect, "True", store.reason, f"vector store: {store.message}")
    if state.stable_revision is None and state.rollout.waiting_since:
        seconds = agent.spec.rollout.progress_deadline_seconds
        if elapsed(state.rollout.waiting_since, now) > seconds:
            message = f"revision {state.canary_revision} is not ready after {seconds} s"
            return Finding(aspect, "True", "ProgressDeadlineExceeded", message)
    if state.failed_revision and state.failed_reason != "Aborted":
        message = f"revision {state.failed_revision} was taken back: {state.failed_message}"
        return Finding(aspect, "True", state.failed_reason or "Failed", message)
    return Finding(aspect, "False", "AsExpected")


def is_making_room(agent: Agent, since: str | None, now: str) -> bool:
    """Pods that were told to end at that time may still finish what they have begun."""
    grace = agent.spec.pod.termination_grace_period_seconds + 30
    return since is not None and elapsed(since, now) < grace


def is_unschedulable(revision: str | None, observed: Observed) -> bool:
    """A pod of the revision finds no node."""
    pods = observed.pods(names.ROLE_AGENT, revision) if revision else []
    return any(pod.trouble and pod.trouble.is_no_room for _, pod in pods)


def ready(
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


def trouble_of_index(revision: str, observed: Observed) -> Trouble | None:
    """What keeps the documents of a revision from being indexed, if anything is known."""
    pods = observed.pods(names.ROLE_INGESTION, revision)
    return next((pod.trouble for _, pod in pods if pod.trouble), None)


def _troubles(observed: Observed, *roles: str) -> Iterator[Trouble]:
    return (
        trouble
        for role in roles
        for child, pod in observed.pods(role)
        if (trouble := _trouble(child.name, pod, observed))
    )


def _trouble(pod_name: str, pod: PodFacts, observed: Observed) -> Trouble | None:
    if pod.trouble:
        return pod.trouble
    return None if pod.ready else observed.unready.get(pod_name)
