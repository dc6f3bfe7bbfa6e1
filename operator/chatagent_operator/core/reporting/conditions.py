"""The conditions of the whole agent. Each component computes its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.core import names
from chatagent_operator.core.children import COMPONENTS
from chatagent_operator.core.children.component import Component
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.rollout.decision import Decision
from chatagent_operator.core.rollout.times import elapsed
from chatagent_operator.core.view.troubles import find_trouble_of_revision, find_troubles

LAG_SECONDS = 5.0
"""Time after which a gateway pod that has not applied the routes is reported. It usually takes
30 ms."""

_PARTS = ("Deployment", "StatefulSet", "Job", "HTTPRoute")
"""Kinds of which the parts of an agent consist."""
_EVICTION = "PodDisruptionBudget"


def find_conditions(state: DesiredState) -> list[Finding]:
    """Return the conditions, in the order in which they are listed."""
    found = [condition for each in COMPONENTS if (condition := _find_condition(each, state))]
    of = {condition.type: condition for condition in found}
    progressing = _add_unreadable(find_progressing(state.decision), state)
    degraded = find_degraded(state, of[ConditionType.VECTOR_STORE_READY])
    ready = _find_ready(
        state,
        of[ConditionType.WORKLOADS_READY],
        of[ConditionType.INDEX_READY],
        of[ConditionType.GATEWAY_READY],
    )
    accepted = Finding(ConditionType.ACCEPTED, "True", "Accepted")
    found += _find_kstatus(state, progressing, degraded, ready, found)
    found += [accepted, _find_references(state), progressing, _find_promoted(state, progressing)]
    found += [find_paused(state.decision), degraded, ready]
    order = list(ConditionType)
    return sorted(found, key=lambda condition: order.index(condition.type))


def _find_condition(component: Component, state: DesiredState) -> Finding | None:
    """Return a component's condition. It is False while the Service by which others reach it does
    not exist and cannot be created. A write that is refused explains why it is False."""
    found = component.find_condition(state)
    for identity, refusal in state.view.refusals.items():
        kind, _ = identity
        is_serving = kind == "Job" or refusal.revision in (None, state.serving)
        if not found or refusal.role != component.role or not is_serving:
            continue
        may_explain = kind in _PARTS or refusal.reason == "NameTaken"
        if (found.status == "False" and may_explain) or _is_unreachable(identity, state):
            return Finding(found.type, "False", refusal.reason, refusal.message)
    return found


def _is_unreachable(identity: tuple[str, str], state: DesiredState) -> bool:
    """Return whether an object is a Service that is missing and that clients or pods need."""
    agent = state.agent.name
    needed = (
        agent,
        names.vector_store(agent),
        names.redis(agent),
        names.revision(agent, state.serving),
    )
    kind, name = identity
    return kind == "Service" and name in needed and state.observed.get(kind, name) is None


def _find_references(state: DesiredState) -> Finding:
    """Return whether all objects that the spec refers to exist."""
    aspect = ConditionType.RESOLVED_REFS
    missing = [*state.view.missing_sources]
    if questions := state.view.missing_questions:
        missing.append(questions)
    if missing:
        return Finding(aspect, "False", "ConfigMapNotFound", "; ".join(missing))
    for trouble in find_troubles(state.observed, names.ROLE_AGENT, names.ROLE_INGESTION):
        if trouble.is_reference:
            return Finding(aspect, "False", trouble.reason, f"{trouble.message}; create it")
    return Finding(aspect, "True", "Resolved")


def find_progressing(decision: Decision) -> Finding:
    """Return whether a rollout is in progress."""
    aspect = ConditionType.PROGRESSING
    status, waiting = decision.status, decision.waiting
    if status.canary_revision and waiting:
        share = (
            f"revision {status.canary_revision} gets {decision.weight} % of the new conversations; "
        )
        message = (share if decision.weight else "") + waiting.message
        return Finding(aspect, "True", waiting.reason, message)
    if status.failed_revision:
        message = (
            f"revision {status.failed_revision} was rolled back ({status.failed_message}); "
            f"revision {status.stable_revision} serves until the spec changes or "
            "`kubectl chatagent retry` is run"
        )
        return Finding(aspect, "False", status.failed_reason or "Failed", message)
    return Finding(aspect, "False", "Completed", f"revision {status.stable_revision} serves")


def _find_promoted(state: DesiredState, progressing: Finding) -> Finding:
    """Return whether the desired revision is the stable one: the outcome of a rollout. Unknown
    while one is in progress."""
    status = state.status
    if status.failed_revision:
        outcome = "False"
    elif status.canary_revision:
        outcome = "Unknown"
    else:
        outcome = "True"
    return Finding(ConditionType.PROMOTED, outcome, progressing.reason, progressing.message)


def find_paused(decision: Decision) -> Finding:
    """Return whether the rollout waits for approval, or for a configured duration."""
    waiting = decision.waiting
    if waiting and waiting.is_paused:
        return Finding(ConditionType.PAUSED, "True", waiting.reason, waiting.message)
    return Finding(ConditionType.PAUSED, "False", "NotPaused")


def find_degraded(state: DesiredState, store: Finding) -> Finding:
    """Return whether a problem needs attention; if there are several, the most urgent one."""
    found = next(_find_faults(state, store), None)
    if found is None:
        return Finding(ConditionType.DEGRADED, "False", "AsExpected")
    return Finding(ConditionType.DEGRADED, "True", *found)


def _find_faults(state: DesiredState, store: Finding) -> Iterator[tuple[str, str]]:
    """Return reason and message of each problem, the most urgent first."""
    refusals = state.view.refusals.items()
    for (kind, _), refusal in refusals:
        if kind != _EVICTION:
            yield refusal.reason, refusal.message
    if state.view.missing_sources:
        yield "ConfigMapNotFound", "; ".join(state.view.missing_sources)
    waiting, questions = state.decision.waiting, state.view.missing_questions
    if questions and waiting and waiting.reason == "Evaluating":
        yield "ConfigMapNotFound", questions
    if state.lacks_capacity:
        yield "InsufficientCapacity", _describe_capacity(state)
    for name in state.unreadable:
        if name in state.decision.routed:
            cause, action = _explain_unreadable(state, name)
            message = (
                f"revision {name}: {cause}; its pods are kept as they are, and only their number "
                f"is changed; {action}, or roll out another revision"
            )
            yield "RevisionUnreadable", message
    yield from _find_faults_of_revisions(state)
    for component in COMPONENTS:
        if component.reports_trouble and (trouble := component.find_trouble(state)):
            yield trouble.reason, f"{component.role}: {trouble.message}"
    behind = state.observed.applied.behind.items()
    if lagging := [pod for pod, seconds in behind if seconds >= LAG_SECONDS]:
        yield (
            "GatewayLags",
            f"gateway pods {', '.join(lagging)} have not applied the routes and may still use the "
            "previous weights; check the logs of their sync containers",
        )
    if state.status.stable_revision and store.status == "False":
        yield store.reason, f"vector store: {store.message}"
    yield from _find_faults_of_rollout(state)
    for (kind, _), refusal in refusals:  # nothing else needs it, and it must not hide the others
        if kind == _EVICTION:
            yield refusal.reason, refusal.message


def _describe_capacity(state: DesiredState) -> str:
    cause, other = "no stable pod can be replaced by one", "set spec.rollout.strategy to recreate"
    if state.agent.spec.rollout.strategy == "recreate":
        cause, other = "the stable pods have been deleted", "use `abort` to go back"
    if state.agent.spec.replicas > (state.status.rollout.replicas or 0):
        other = "lower spec.replicas"
    return (
        f"pods of revision {state.status.canary_revision} are unschedulable, and {cause}; "
        f"add a node, or {other}"
    )


def _add_unreadable(progressing: Finding, state: DesiredState) -> Finding:
    """Say of a revision that cannot be read, and is only kept for a rollback, what a rollback to it
    needs. Nothing that serves lacks anything."""
    message = progressing.message
    for name in state.unreadable:
        if name not in state.decision.routed:
            cause, action = _explain_unreadable(state, name)
            message += (
                f"; revision {name}, whose pods are kept for a rollback: {cause}; to roll back to "
                f"it, {action}, or apply its manifest"
            )
    return replace(progressing, message=message)


def _explain_unreadable(state: DesiredState, revision: str) -> tuple[str, str]:
    """Return why a revision cannot be read, and what to do."""
    name = names.revision(state.agent.name, revision)
    if state.observed.get("ControllerRevision", name):
        cause = f"ControllerRevision {name} cannot be read, since a later operator wrote it"
        return cause, "upgrade the operator"
    cause = f"ControllerRevision {name} was deleted and is not known any more"
    return cause, "restore it from a backup"


def _find_faults_of_revisions(state: DesiredState) -> Iterator[tuple[str, str]]:
    history = state.status.history
    is_terminating = state.view.is_terminating(history[0].ended_at if history else None)
    for name in state.decision.routed:
        trouble = find_trouble_of_revision(state.agent.name, name, state.reported)
        if trouble is None:
            continue
        if trouble.is_unschedulable and (name == state.status.canary_revision or is_terminating):
            continue  # the pods that it replaces are terminating
        yield trouble.reason, f"revision {name}: {trouble.message}"


def _find_faults_of_rollout(state: DesiredState) -> Iterator[tuple[str, str]]:
    status, waiting_since = state.status, state.status.rollout.waiting_since
    if status.stable_revision is None and waiting_since:
        limit = state.agent.spec.rollout.progress_deadline_seconds
        if elapsed(waiting_since, state.view.now) > limit:
            message = (
                f"revision {status.canary_revision} exceeded the progress deadline of {limit} s; "
                "see the conditions WorkloadsReady and IndexReady"
            )
            yield "ProgressDeadlineExceeded", message
    if status.failed_revision and status.failed_reason != "Aborted":
        message = f"revision {status.failed_revision} was rolled back: {status.failed_message}"
        yield status.failed_reason or "Failed", message


def _find_ready(
    state: DesiredState, workloads: Finding, index: Finding, gateway: Finding
) -> Finding:
    """Return whether the agent serves: one pod and the gateway suffice, with a previous index."""
    stable = state.status.stable_revision
    # The one with the most conversations: all go to the canary before its promotion.
    serving = state.status.canary_revision if state.decision.weight == 100 else stable
    needed = (workloads, index, gateway)
    if stable:
        needed = (gateway,) if state.view.is_available(serving) else (workloads, gateway)
    for finding in needed:
        if not finding.is_true:
            return Finding(ConditionType.READY, "False", finding.reason, finding.message)
    if not stable or not any(backend.state == "ready" for backend in state.routes.backends):
        message = "no revision has a Service address yet"
        return Finding(ConditionType.READY, "False", "NoRoute", message)
    return Finding(ConditionType.READY, "True", "Serving", f"revision {serving} serves")


def _find_kstatus(
    state: DesiredState,
    progressing: Finding,
    degraded: Finding,
    ready: Finding,
    components: Iterable[Finding],
) -> list[Finding]:
    """Return Reconciling or Stalled for kstatus; neither if the agent is as desired."""
    if state.status.failed_revision:  # the desired revision does not serve
        return [Finding(ConditionType.STALLED, "True", progressing.reason, progressing.message)]
    if degraded.is_true:
        return [Finding(ConditionType.STALLED, "True", degraded.reason, degraded.message)]
    if progressing.is_true:
        unfinished = progressing
    else:  # an agent that serves may lack some of its pods or documents, or its cache
        unfinished = next((each for each in (ready, *components) if each.status == "False"), None)
    if unfinished is None:
        return []
    return [Finding(ConditionType.RECONCILING, "True", unfinished.reason, unfinished.message)]
