"""`plan(agent, status, observed, now)`: what to write now, and what to say of it.

Pure: whole rollouts run through it in unit tests. Nothing is weighed before it has been seen ready,
and nothing is taken away before the weights and the status say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import pydantic

from chatagent_operator.api.status import ChatAgentStatus, EvaluationStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec, VersionedSpec
from chatagent_operator.core import names, revision
from chatagent_operator.core.agent import PORT, Agent, Manifest, Platform
from chatagent_operator.core.children import cache, evaluation, vector_store
from chatagent_operator.core.children.evaluation import Evaluation, Unread
from chatagent_operator.core.children.ingestion import Ingestion, ingestions, missing_sources
from chatagent_operator.core.desired import Desired, objects
from chatagent_operator.core.judging.analysis import Measurement, judge
from chatagent_operator.core.observed.objects import (
    DataFacts,
    Observed,
    ServiceFacts,
    WorkloadFacts,
)
from chatagent_operator.core.reporting import conditions as findings
from chatagent_operator.core.reporting import status
from chatagent_operator.core.revision import Revision
from chatagent_operator.core.rollout import capacity
from chatagent_operator.core.rollout.advance import advance
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.context import Seen
from chatagent_operator.core.rollout.decision import Decision, EventRecord
from chatagent_operator.core.rollout.state import update_rollout
from chatagent_operator.core.routing.routes import (
    ROUTES_KEY,
    Backend,
    BackendState,
    Routes,
    RoutesError,
    assign_slots,
    parse_routes,
)

_DELETED = (
    "Job",
    "Deployment",
    "Service",
    "ConfigMap",
    "StatefulSet",
    "PodDisruptionBudget",
    "HTTPRoute",
)
_VERSIONED = frozenset(VersionedSpec.model_fields)
_MOST_WRONG = 10
"""Rounds in which a spec is freed of what cannot be read: fields first, then what they lack."""
POLL_SECONDS = 2.0
"""How often pods that run but are not ready are asked why."""
SETTLE_SECONDS = 0.1
"""How often the gateway is asked whether it does what it was told."""
LAG_SECONDS = 5.0
"""After which a gateway pod that does not follow is a trouble. It takes some 30 ms."""
SILENT_SECONDS = 1.0
"""How often while none of it answers."""

ROUTE_SECONDS = 30.0
"""How often a Gateway of the cluster's own is asked whether it still takes the route."""
DRAIN_SECONDS = 60.0
"""How often it is seen whether former revisions had their time."""


@dataclass(frozen=True)
class Apply:
    """Make an object, or change it to what it should be."""

    desired: Desired
    is_ours: bool
    """Known as the agent's own. Another one's object of that name is not taken over."""


@dataclass(frozen=True)
class Scale:
    """Change the replicas of a Deployment and nothing else of it."""

    name: str
    replicas: int


@dataclass(frozen=True)
class Delete:
    """Take an object away, with what belongs to it."""

    kind: str
    name: str


@dataclass(frozen=True)
class Make:
    """Make an object with a secret in it that nobody knows. One that is there already stays."""

    kind: str
    name: str
    render: Callable[[str], Manifest]


Write = Apply | Make | Scale | Delete


@dataclass(frozen=True)
class Plan:
    """What one look came to."""

    writes: tuple[Write, ...]
    """Weights first, for an abort waits for nothing."""

    deletions: tuple[Delete, ...]
    """Only once the writes and the status are stored: a crash before that must not leave an agent
    whose status names a revision that is gone."""

    status: ChatAgentStatus
    notices: tuple[EventRecord, ...] = ()
    window: str | None = None
    """The canary takes conversations since then, and is to be measured. None: it takes none."""

    is_in_force: bool = False
    """The gateway does what this look says."""

    unread: Unread | None = None
    """An evaluation's report that is to be kept. Its Job goes only then."""

    requeue_after: float | None = None
    """Look again after so many seconds even if nothing is reported."""


def plan(
    agent: Agent,
    previous: ChatAgentStatus,
    observed: Observed,
    command: Command | Unreadable | None,
    platform: Platform,
    now: str,
    rejected: Mapping[str, str] | None = None,
) -> Plan:
    """Decide on one agent.

    Args:
        previous: its status as last written.
        command: the command in its annotation, whether new or not.
        now: RFC 3339, UTC.
        rejected: what the API server said of objects that it would not take, by kind and name.
    """
    if agent.spec.suspend:
        return Plan((), (), status.suspended(agent, previous, command, now))
    seen = observed
    observed = seen.without_passing_trouble(now)
    target = revision.of(agent.spec.versioned())
    known = _known(observed) | {target.name: target}
    candidates = [known[n] for n in (previous.stable_revision, target.name) if n and n in known]
    store = vector_store.address(agent, platform)
    indexing = ingestions(agent, candidates, observed.sources, store)
    stable = known.get(previous.stable_revision or "")
    place = revision.collection(agent.namespace, agent.name, stable) if stable else None
    ready = frozenset(
        candidate.name
        for candidate in candidates
        if _is_up(agent, candidate, observed)
        and (
            # Once it serves, what was indexed before goes on serving: its pods say if it is gone.
            (previous.rollout.approved_weight > 0 and candidate.name == previous.canary_revision)
            or _is_indexed(agent, candidate, indexing, place, observed)
        )
    )
    asked = _evaluation(agent, previous, target, stable, observed)
    quality = _quality(agent, previous, target.name, asked, command, observed)
    stuck = findings.trouble_of_index(target.name, observed)
    trouble = findings.trouble_of_revision(agent, target.name, observed) or stuck
    seen_now = Seen(
        desired=target.name,
        now=now,
        ready=ready,
        is_indexed=_is_indexed(agent, target, indexing, place, observed),
        has_indexing_failed=stuck is not None,
        capacity=capacity.capacity_percent(
            _available(agent, target.name, observed),
            previous,
            agent.spec.rollout,
            agent.spec.replicas,
        ),
        problem=trouble.message if trouble else "",
        is_unschedulable=_is_crowded(agent, previous, target.name, observed, now),
        is_reachable=target.name in observed.applied.reached,
        is_gateway_current=_is_settled(agent, previous, previous.rollout.weight, observed),
        measurement=_measured(agent, previous, observed),
        evaluation=quality,
        command=command,
    )
    decision = advance(previous, seen_now, agent.spec.rollout, agent.spec.replicas)
    if _may_replace(agent) and findings.is_unschedulable(decision.status.canary_revision, observed):
        decision = replace(decision, status=update_rollout(decision.status, replacing=True))
    waiting = decision.waiting
    live = [known[name] for name in decision.live if name in known]
    indexing = ingestions(agent, live, observed.sources, store)
    routes = _routes(agent, decision.status, decision.weight, observed)
    pods = capacity.desired_replicas(
        decision.status,
        agent.spec.rollout,
        agent.spec.replicas,
        _present(observed),
        _available(agent, decision.status.canary_revision or "", observed),
        is_held=bool(waiting and (waiting.is_paused or waiting.reason == "WaitingForIndex")),
    )
    numbers = _numbers(live, observed)
    questions = asked if _can_be_asked(agent, decision.status, asked, ready, observed) else None
    wanted = objects(agent, live, pods, indexing, questions, routes, numbers, platform)
    evaluated = quality or previous.evaluation
    unread = evaluation.unread(evaluated, observed)
    report = ("Job", unread.job) if unread else ("ConfigMap", evaluated.report or "")
    deletions = _deletions(agent, decision, wanted, report, observed)
    is_measured = agent.spec.rollout.strategy == "canary"
    in_force = routes.generation == observed.applied.generation
    routed = previous.stable_revision is not None and not in_force
    held = [gone for gone in deletions if routed and _serves(gone, observed)]
    held += [gone for gone in deletions if _is_only_gateway(agent, gone, in_force, observed)]
    # Until the gateway has let go of them, a request may still be on its way to their pods.
    deletions = [gone for gone in deletions if gone not in held]
    if not _has_moved_in(agent, live, indexing, observed):
        deletions = [gone for gone in deletions if gone.name != names.vector_store(agent.name)]
    written = status.after(
        agent,
        previous,
        decision,
        indexing,
        routes,
        pods,
        observed,
        rejected or {},
        now,
        is_crowded=decision.status.canary_revision is not None and seen_now.is_unschedulable,
        lags=tuple(
            pod for pod, seconds in observed.applied.behind.items() if seconds >= LAG_SECONDS
        ),
        quality=quality,
    )
    return Plan(
        _ordered(agent, _writes(agent, wanted, observed), _passwords(agent, observed)),
        tuple(deletions),
        written,
        decision.events + status.notices(previous, written),
        window=decision.status.rollout.weighted_at if decision.weight and is_measured else None,
        is_in_force=in_force,
        unread=unread,
        requeue_after=_next_look(
            agent,
            decision,
            observed,
            is_poll=observed != seen or _is_waiting(observed),
            is_held=bool(held),
        ),
    )


def last_readable(
    spec: Mapping[str, Any], previous: ChatAgentStatus, observed: Observed
) -> ChatAgentSpec | None:
    """The spec in place of one that cannot be read: with the revision that was asked for before,
    and where that is not enough, with a rollout that stands still, without those of its fields that
    cannot be read. What was accepted goes on, and can still be taken back. None: there is none."""
    name = previous.canary_revision or previous.failed_revision or previous.stable_revision
    present = _known(observed).get(name or "")
    if present is None:
        return None
    others = {key: value for key, value in spec.items() if key not in _VERSIONED}
    read = _read(others | present.content)
    # Another operator may have named it by other rules: then it would be a new revision.
    return read if read and revision.of(read.versioned()).name == name else None


def _read(spec: Mapping[str, Any]) -> ChatAgentSpec | None:
    """A spec without what of its rollout cannot be read. None: something else cannot either."""
    for _ in range(_MOST_WRONG):
        try:
            return ChatAgentSpec.model_validate(spec)
        except pydantic.ValidationError as error:
            wrong = [found["loc"] for found in error.errors(include_url=False)]
        if any(place[:1] != ("rollout",) for place in wrong):
            return None
        for place in wrong:
            spec = _without(spec, place)
        spec = {**spec, "rollout": {**spec.get("rollout", {}), "paused": True}}
    return None


def _without(fields: Mapping[str, Any], place: Sequence[str | int]) -> Mapping[str, Any]:
    """The fields without the one at this place; a list that it is in goes as a whole."""
    first, *rest = place
    inner = fields.get(str(first))
    if rest and isinstance(inner, dict) and rest[0] in inner:
        return {**fields, str(first): _without(cast(dict[str, Any], inner), rest)}
    return {key: value for key, value in fields.items() if key != first}


def present_routes(agent: Agent, observed: Observed) -> Routes:
    """What the gateway was last told."""
    child = observed.get("ConfigMap", names.routes(agent.name))
    if child and isinstance(child.facts, DataFacts):
        try:
            return parse_routes(child.facts.data.get(ROUTES_KEY, ""))
        except RoutesError:
            pass  # somebody wrote into it: it is written anew
    return Routes(generation=0)


def _known(observed: Observed) -> dict[str, Revision]:
    known: dict[str, Revision] = {}
    for child in observed.of_kind("ControllerRevision"):
        if child.revision and isinstance(child.facts, DataFacts):
            try:
                known[child.revision] = revision.restore(child.revision, dict(child.facts.data))
            except pydantic.ValidationError:
                continue  # a later operator wrote it; what runs of it is left as it is
    return known


def _numbers(live: list[Revision], observed: Observed) -> dict[str, int]:
    numbers = {
        child.revision: child.facts.revision
        for child in observed.of_kind("ControllerRevision")
        if child.revision and isinstance(child.facts, DataFacts)
    }
    for item in live:
        numbers.setdefault(item.name, max(numbers.values(), default=0) + 1)
    return numbers


def _is_up(agent: Agent, candidate: Revision, observed: Observed) -> bool:
    """A pod of it is ready, and its address is known."""
    return (
        _available(agent, candidate.name, observed) > 0
        and _cluster_ip(observed, names.of_revision(agent.name, candidate.name)) is not None
    )


def _is_indexed(
    agent: Agent,
    candidate: Revision,
    indexing: list[Ingestion],
    stable: str | None,
    observed: Observed,
) -> bool:
    place = revision.collection(agent.namespace, agent.name, candidate)
    if missing_sources(agent, observed.sources):
        return place == stable  # what was indexed before goes on serving, and nothing else
    return all(i.is_complete(observed) for i in indexing if i.collection == place)


def _present(observed: Observed) -> dict[str, int]:
    """Pods that each revision should have until now."""
    return {
        child.revision: child.facts.replicas
        for child in observed.of_kind("Deployment")
        if child.revision and isinstance(child.facts, WorkloadFacts)
    }


def _available(agent: Agent, name: str, observed: Observed) -> int:
    workload = observed.workload("Deployment", names.of_revision(agent.name, name))
    return workload.available if workload else 0


def _is_crowded(
    agent: Agent, state: ChatAgentStatus, target: str, observed: Observed, now: str
) -> bool:
    if target != state.canary_revision or not findings.is_unschedulable(target, observed):
        return False
    if agent.spec.rollout.strategy == "recreate":
        return not findings.is_making_room(agent, state.rollout.started_at, now)
    if _is_scaling_down(agent, state.stable_revision, observed):
        return False  # one of its pods makes way
    return capacity.cannot_free_room(state, agent.spec.rollout, agent.spec.replicas)


def _may_replace(agent: Agent) -> bool:
    return agent.spec.replicas > 1 and agent.spec.rollout.capacity.mode != "surge"


def _is_scaling_down(agent: Agent, stable: str | None, observed: Observed) -> bool:
    workload = observed.workload("Deployment", names.of_revision(agent.name, stable or ""))
    pods = observed.pods(names.ROLE_AGENT, stable) if stable else []
    return workload is not None and len(pods) > workload.replicas


def _is_settled(agent: Agent, state: ChatAgentStatus, weight: int, observed: Observed) -> bool:
    """The gateway does what was last decided."""
    present = present_routes(agent, observed)
    wanted = _routes(agent, state, weight, observed)
    return wanted == present and present.generation == observed.applied.generation


def _evaluation(
    agent: Agent,
    state: ChatAgentStatus,
    target: Revision,
    stable: Revision | None,
    observed: Observed,
) -> Evaluation | None:
    """What is asked of the canary and the stable revision, once the rollout has begun."""
    if state.canary_revision != target.name or stable is None:
        return None
    if agent.spec.rollout.strategy not in ("canary", "blueGreen"):
        return None
    attempt = state.rollout.started_at or ""
    return evaluation.wanted(agent, target, stable, observed.sources, attempt)


def _can_be_asked(
    agent: Agent,
    state: ChatAgentStatus,
    asked: Evaluation | None,
    ready: frozenset[str],
    observed: Observed,
) -> bool:
    """Both revisions answer, or the Job is there already: it comes and goes with no pod."""
    if asked is None or asked.missing or state.canary_revision != asked.canary:
        return False
    both = asked.canary in ready and _available(agent, asked.stable.name, observed) > 0
    return (both and not state.rollout.approved_weight) or observed.get(
        "Job", asked.job
    ) is not None


def _quality(
    agent: Agent,
    state: ChatAgentStatus,
    target: str,
    asked: Evaluation | None,
    command: Command | Unreadable | None,
    observed: Observed,
) -> EvaluationStatus | None:
    if state.rollout.approved_weight and target == state.canary_revision:
        return None  # it was judged before
    if asked:
        found = evaluation.result(asked, observed, state.evaluation)
        answers = _available(agent, asked.stable.name, observed)
        if answers or found.verdict != "Running" or observed.get("Job", asked.job):
            return found
        message = (
            f"revision {asked.stable.name} has no ready pod to compare with; "
            "`promote --full` goes on without"
        )
        return found.model_copy(update={"message": message})
    retried = command is not None and command.id != state.rollout.last_command_id
    is_new = target not in (state.canary_revision, state.stable_revision) and (
        target != state.failed_revision or retried
    )
    if agent.spec.rollout.analysis.evaluation and is_new and state.stable_revision:
        return EvaluationStatus(verdict="Running")  # the next look makes its Job
    return None


def _measured(agent: Agent, state: ChatAgentStatus, observed: Observed) -> Measurement | None:
    reading = observed.reading
    if reading is None or reading.window != state.rollout.weighted_at:
        return None
    return judge(agent.spec.rollout.analysis, reading, state.analysis.measurements + 1)


def _cluster_ip(observed: Observed, service: str) -> str | None:
    child = observed.get("Service", service)
    return child.facts.cluster_ip if child and isinstance(child.facts, ServiceFacts) else None


def _routes(agent: Agent, state: ChatAgentStatus, weight: int, observed: Observed) -> Routes:
    """The intent for the gateway, given what the canary gets."""
    present = present_routes(agent, observed)
    stable = state.stable_revision
    if stable and not _cluster_ip(observed, names.of_revision(agent.name, stable)):
        return present  # its Service was deleted and is being made again
    draining = [each.revision for each in state.draining]
    live = list(dict.fromkeys(name for name in (stable, state.canary_revision, *draining) if name))
    known = present.slots()
    if known and present.generation != observed.applied.generation:
        # A gateway that lags still tells the others of conversations in the slots of before.
        live = [name for name in live if name in known]
    slots = assign_slots(known, live if stable else ())
    found = {name: _cluster_ip(observed, names.of_revision(agent.name, name)) for name in slots}
    if not found.get(state.canary_revision or ""):
        weight = 0  # somebody deleted its Service
    backends: list[Backend] = []
    for name, slot in slots.items():
        address = found[name]
        if not address:
            continue
        share = {stable: 100 - weight, state.canary_revision: weight}.get(name, 0)
        # A canary drains just before its first weight, so that no gateway which has that weight a
        # moment before another one sees its conversations taken elsewhere by that one.
        is_next = (
            name == state.canary_revision
            and state.rollout.offered
            and not state.rollout.approved_weight
        )
        keeps = name in draining or name == stable or is_next
        kept: BackendState = "drain" if keeps else "maint"
        backends.append(
            Backend(
                slot=slot,
                revision=name,
                address=address,
                port=PORT,
                weight=share,
                state="ready" if share else kept,
            )
        )
    wanted = Routes(generation=present.generation, stable=stable, backends=tuple(backends))
    if wanted.to_json() == present.to_json():
        return present
    return wanted.model_copy(update={"generation": present.generation + 1})


def _writes(agent: Agent, wanted: list[Desired], observed: Observed) -> list[Write]:
    actions: list[Write] = []
    for item in wanted:
        child = observed.get(item.kind, item.name)
        if child is None or child.owner != agent.uid:
            actions.append(Apply(item, is_ours=child is not None))
        elif item.frozen:
            continue
        elif item.replaceable:
            if child.applied != item.digest and not _is_complete(item, observed):
                actions.append(Delete(item.kind, item.name))
        elif child.applied != item.digest:
            actions.append(Apply(item, is_ours=True))
        elif item.replicas is not None:
            workload = observed.workload(item.kind, item.name)
            if workload and workload.replicas != item.replicas:
                actions.append(Scale(item.name, item.replicas))
    return actions


def _passwords(agent: Agent, observed: Observed) -> list[Make]:
    """The password of a new Redis, or of one whose Secret is gone. Secrets cannot be seen."""
    if cache.managed(agent) is None:
        return []
    name = names.redis(agent.name)
    child = observed.get("StatefulSet", name)
    is_new = child is None or child.owner != agent.uid
    is_gone = any(
        pod.trouble and pod.trouble.is_reference for _, pod in observed.pods(names.ROLE_CACHE)
    )
    return [Make("Secret", name, partial(cache.secret, agent))] if is_new or is_gone else []


def _ordered(agent: Agent, writes: list[Write], passwords: list[Make]) -> tuple[Write, ...]:
    """The weights, then the passwords, before any pod asks for one."""
    weights = {("ConfigMap", names.routes(agent.name)), ("HTTPRoute", agent.name)}
    first = [
        each
        for each in writes
        if isinstance(each, Apply) and (each.desired.kind, each.desired.name) in weights
    ]
    return (*first, *passwords, *(each for each in writes if each not in first))


def _has_moved_in(
    agent: Agent, live: list[Revision], indexing: list[Ingestion], observed: Observed
) -> bool:
    """The present store holds the documents, and every pod reads from it."""
    deployments = [
        observed.workload("Deployment", names.of_revision(agent.name, item.name)) for item in live
    ]
    return all(i.is_complete(observed) for i in indexing) and all(
        workload and workload.settled and workload.available for workload in deployments
    )


def _is_complete(item: Desired, observed: Observed) -> bool:
    child = observed.get(item.kind, item.name)
    return bool(child and getattr(child.facts, "complete", False))


def _deletions(
    agent: Agent,
    decision: Decision,
    wanted: list[Desired],
    report: tuple[str, str],
    observed: Observed,
) -> list[Delete]:
    # The report says why the last canary was taken back.
    keep = {report} | {(item.kind, item.name) for item in wanted}
    live = set(decision.live)
    doomed: list[Delete] = []
    for kind in _DELETED:
        for child in observed.of_kind(kind):
            if (kind, child.name) in keep or (kind != "Job" and child.revision in live):
                continue
            if child.owner != agent.uid:
                continue  # somebody's copy, with our labels
            if kind == "Job" and missing_sources(agent, observed.sources):
                continue  # what it indexed is all that there is
            if (
                child.role == names.ROLE_EVALUATION
                and child.revision == decision.status.canary_revision
            ):
                continue  # its report may not be read yet
            doomed.append(Delete(kind, child.name))
    return doomed + _forgotten(agent, live, observed)


def _forgotten(agent: Agent, live: set[str], observed: Observed) -> list[Delete]:
    history = sorted(
        (
            (child.facts.revision, child.name)
            for child in observed.of_kind("ControllerRevision")
            if child.revision not in live and isinstance(child.facts, DataFacts)
        ),
        reverse=True,
    )
    limit = agent.spec.rollout.revision_history_limit
    return [Delete("ControllerRevision", name) for _, name in history[limit:]]


def _is_only_gateway(agent: Agent, gone: Delete, in_force: bool, observed: Observed) -> bool:
    """It belongs to the gateway of before, and the one that is asked for does not work yet."""
    child = observed.get(gone.kind, gone.name)
    if child is None or child.role != names.ROLE_GATEWAY:
        return False
    if agent.spec.gateway.provider == "gateway-api":
        return not in_force
    workload = observed.workload("StatefulSet", names.gateway(agent.name))
    return not (workload and workload.available)


def _serves(gone: Delete, observed: Observed) -> bool:
    """It belongs to a revision that took conversations."""
    child = observed.get(gone.kind, gone.name)
    return bool(child and child.revision and child.serves)


def _next_look(
    agent: Agent, decision: Decision, observed: Observed, is_poll: bool, is_held: bool
) -> float | None:
    waiting = decision.waiting
    due = [POLL_SECONDS] if is_poll else []
    if is_held or (waiting and waiting.reason == "WaitingForGateway"):
        answers = observed.applied.generation is not None
        due.append(SETTLE_SECONDS if answers else SILENT_SECONDS)
    if waiting and waiting.due is not None:
        due.append(max(waiting.due, SETTLE_SECONDS))
    if agent.spec.gateway.provider == "gateway-api":
        # It is read and not watched: not every cluster has that API.
        due.append(SILENT_SECONDS if observed.applied.generation is None else ROUTE_SECONDS)
    elif observed.applied.trouble:
        due.append(ROUTE_SECONDS)  # whether there is a route from before is not known yet
    if observed.applied.behind:
        due.append(SILENT_SECONDS)
    if decision.status.draining:
        due.append(DRAIN_SECONDS)
    return min(due, default=None)


def _is_waiting(observed: Observed) -> bool:
    if any(pod.running and not pod.ready for _, pod in observed.pods(names.ROLE_AGENT)):
        return True
    # What an earlier try failed of is taken to have passed after a while.
    return any(pod.running and pod.trouble for _, pod in observed.pods(names.ROLE_INGESTION))
