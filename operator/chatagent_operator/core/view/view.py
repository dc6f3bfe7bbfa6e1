"""The view of one agent before its rollout advances: each fact is derived once, when it is used.

Decisions use the view and not the observed state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pydantic

from chatagent_operator.api.rollout import Capacity
from chatagent_operator.api.status import ChatAgentStatus, EvaluationStatus
from chatagent_operator.core import names
from chatagent_operator.core import revision as revisions
from chatagent_operator.core.agent import Agent, Platform
from chatagent_operator.core.judging.analysis import Measurement, judge
from chatagent_operator.core.observed.facts import (
    DataFacts,
    SecretFacts,
    ServiceFacts,
    WorkloadFacts,
)
from chatagent_operator.core.observed.objects import Child, Observed
from chatagent_operator.core.observed.refusals import Refusal, Refusals
from chatagent_operator.core.observed.trouble import Interruption, Trouble
from chatagent_operator.core.revision import Revision
from chatagent_operator.core.rollout import capacity
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.context import Seen
from chatagent_operator.core.rollout.takeover import is_stable_lost
from chatagent_operator.core.rollout.times import elapsed
from chatagent_operator.core.routing.routes import (
    ROUTES_KEY,
    Routes,
    RoutesError,
    parse_routes,
)
from chatagent_operator.core.servers import Servers, find_servers
from chatagent_operator.core.view import troubles
from chatagent_operator.core.view.evaluations import (
    Evaluation,
    find_evaluation,
    find_missing_questions,
    read_result,
)
from chatagent_operator.core.view.ingestions import (
    REPORT_SECONDS,
    Ingestion,
    find_ingestions,
    find_missing_sources,
)
from chatagent_operator.core.view.routes import find_routes


@dataclass(frozen=True)
class View:
    """The input of a reconciliation of one agent, and the facts derived from it."""

    agent: Agent
    previous: ChatAgentStatus
    """The status as last written."""

    everything: Observed
    """The observed state, with transient troubles."""

    command: Command | Unreadable | None
    """The command in its annotation, whether new or not."""

    platform: Platform
    now: str
    """RFC 3339, UTC."""

    refusals: Refusals = field(default_factory=dict[tuple[str, str], Refusal])
    """Writes that failed, by kind and name."""

    @cached_property
    def observed(self) -> Observed:
        """The observed state, without transient troubles."""
        return self.everything.without_transient_troubles(self.now)

    @cached_property
    def servers(self) -> Servers:
        """Addresses of the vector store and of Redis."""
        return find_servers(self.agent, self.platform)

    # Revisions

    @cached_property
    def target(self) -> Revision:
        """The revision that the spec desires."""
        return self.agent.revision

    def find_revision(self, name: str | None) -> Revision | None:
        """Return a revision by its name; None if it does not exist or is invalid."""
        if name == self.target.name:
            return self.target
        return find_revision(self.agent.name, name, self.observed) if name else None

    @cached_property
    def stable(self) -> Revision | None:
        """The stable revision; None if it does not exist or is invalid."""
        return self.find_revision(self.previous.stable_revision)

    @cached_property
    def lost(self) -> frozenset[str]:
        """Revisions of the status that can have no pod any more: neither pods nor content exist."""
        stable, draining = self.previous.stable_revision, self.previous.draining
        named = {stable, *(each.revision for each in draining)}
        return frozenset(name for name in named if name and self._is_lost(name))

    def _is_lost(self, revision: str) -> bool:
        if self.find_revision(revision) or self.find_deployment(revision):
            return False
        return not self.observed.pods(names.ROLE_AGENT, revision)

    @cached_property
    def candidates(self) -> tuple[Revision, ...]:
        """Revisions that may serve: the stable one and the desired one."""
        found = (self.stable, self.target)
        return tuple({each.name: each for each in found if each}.values())

    @cached_property
    def is_first_weight_due(self) -> bool:
        """Whether the canary has had no weight yet."""
        return not self.previous.rollout.approved_weight

    # Documents

    @cached_property
    def missing_sources(self) -> tuple[str, ...]:
        """Messages on missing ConfigMaps with documents."""
        return find_missing_sources(self.agent, self.observed.sources)

    @cached_property
    def missing_questions(self) -> str | None:
        """Message on a missing ConfigMap with the evaluation's questions."""
        return find_missing_questions(self.agent, self.observed.sources)

    def find_ingestions(self, live: tuple[Revision, ...]) -> tuple[Ingestion, ...]:
        """Return the ingestions that these revisions need; none while sources are missing."""
        if self.missing_sources:
            return ()
        return find_ingestions(self.agent, live, self.observed.sources, self.servers.store)

    @cached_property
    def ingestions(self) -> tuple[Ingestion, ...]:
        """Ingestions that the candidates need."""
        return self.find_ingestions(self.candidates)

    def find_collection(self, revision: Revision) -> str:
        """Return the name of the collection that a revision reads."""
        return revisions.name_collection(self.agent.namespace, self.agent.name, revision)

    def is_indexed(self, revision: Revision) -> bool:
        """Return whether the documents of a revision are indexed."""
        place = self.find_collection(revision)
        if self.missing_sources:
            # The previous index continues to serve, and no other.
            return self.stable is not None and place == self.find_collection(self.stable)
        return all(self.is_complete(each) for each in self.ingestions if each.collection == place)

    @cached_property
    def missing_collections(self) -> frozenset[str]:
        """Collections that do not exist, as pods of their revisions report."""
        pods = self.observed.pods(names.ROLE_AGENT)
        return self._find_collections(
            child.revision for child, _ in pods if self._lacks_index(child.name)
        )

    def is_complete(self, ingestion: Ingestion) -> bool:
        """Return whether a collection exists and has this content."""
        job = ingestion.find_complete_job(self.observed)
        return job is not None and ingestion.collection not in self.missing_collections

    def is_lost(self, ingestion: Ingestion) -> bool:
        """Return whether a collection existed and does not any more: its Job is complete, or a pod
        serves, which began with it."""
        if ingestion.collection not in self.missing_collections:
            return False
        if job := ingestion.find_complete_job(self.observed):
            return not job.completed_at or elapsed(job.completed_at, self.now) > REPORT_SECONDS
        pods = self.observed.pods(names.ROLE_AGENT)
        return ingestion.collection in self._find_collections(
            child.revision for child, pod in pods if pod.ready and self._lacks_index(child.name)
        )

    def _lacks_index(self, pod: str) -> bool:
        found = self.observed.reports.get(pod)
        return found is not None and found.is_index

    def _find_collections(self, names: Iterable[str | None]) -> frozenset[str]:
        found = (self.find_revision(name) for name in names)
        return frozenset(self.find_collection(each) for each in found if each)

    # Pods and addresses

    def count_available(self, revision: str | None) -> int:
        """Return the number of available pods of a revision."""
        workload = self.find_deployment(revision)
        return workload.available if workload else 0

    def is_available(self, revision: str | None) -> bool:
        """Return whether a pod of a revision is available, and its Service has an address."""
        has_address = revision is not None and self.find_address(revision) is not None
        return has_address and self.count_available(revision) > 0

    def find_new_password(self, kind: str, name: str) -> str | None:
        """Return when the password of the managed Redis was written, if that is not the one that
        the pods of a workload began with: its Secret was lost, or edited."""
        redis = self.observed.get("StatefulSet", names.redis(self.agent.name))
        child, workload = self.observed.get(kind, name), self.observed.workload(kind, name)
        if child is None or workload is None or (written := self.password_written_at) is None:
            return None
        # One that is younger than the workload, but not than Redis, is its first one.
        is_later = redis is not None and written > max(redis.created, child.created)
        return written if is_later or workload.password == written else None

    @property
    def password_written_at(self) -> str | None:
        """When the password of the managed Redis was written; None if there is no Secret."""
        secret = self.observed.get("Secret", names.redis(self.agent.name))
        is_ours = secret is not None and secret.owner == self.agent.uid
        facts = secret.facts if secret and is_ours else None
        return facts.written_at if isinstance(facts, SecretFacts) else None

    def _find_own(self, kind: str, name: str) -> Child | None:
        """Return an object of the agent, or an orphan that it adopts. None: it is missing, or of a
        deleted agent, for example, and deleted soon."""
        child = self.observed.get(kind, name)
        is_own = child is not None and child.owner in (None, self.agent.uid)
        return child if is_own else None

    def find_deployment(self, revision: str | None) -> WorkloadFacts | None:
        """Return the facts of a revision's Deployment."""
        name = names.revision(self.agent.name, revision or "")
        return self.observed.workload("Deployment", name)

    @cached_property
    def replicas(self) -> Mapping[str, int]:
        """Number of pods that the Deployment of each revision requests."""
        return {
            child.revision: child.facts.replicas
            for child in self.observed.list_children("Deployment")
            if child.revision and isinstance(child.facts, WorkloadFacts)
        }

    def find_address(self, revision: str) -> str | None:
        """Return the ClusterIP of a revision's Service."""
        child = self.observed.get("Service", names.revision(self.agent.name, revision))
        return child.facts.cluster_ip if child and isinstance(child.facts, ServiceFacts) else None

    @cached_property
    def ready(self) -> frozenset[str]:
        """Candidates that can serve: a pod is available, the address known, the index complete."""
        return frozenset(each.name for each in self.candidates if self._can_serve(each))

    def _can_serve(self, revision: Revision) -> bool:
        if not self.is_available(revision.name):
            return False
        # A canary with weight continues with its previous index: its pods report a lost one.
        serves = revision.name == self.previous.canary_revision and not self.is_first_weight_due
        return serves or self.is_indexed(revision)

    @cached_property
    def index_trouble(self) -> Trouble | None:
        """What keeps the documents of the desired revision from being indexed."""
        return troubles.find_trouble_of_index(self.target.name, self.observed)

    def find_trouble(self, revision: str) -> Trouble | None:
        """Return what keeps pods of a revision from being ready."""
        return troubles.find_trouble_of_revision(self.agent.name, revision, self.observed)

    # Capacity

    def is_unschedulable(self, revision: str | None) -> bool:
        """Return whether a pod of the revision is unschedulable."""
        return troubles.is_unschedulable(revision, self.observed)

    def lacks_room(self, revision: str | None) -> bool:
        """Return whether a pod of the revision is unschedulable or cannot be created."""
        found = self.find_deployment(revision)
        return self.is_unschedulable(revision) or bool(found and found.failure)

    def is_terminating(self, since: str | None) -> bool:
        """Return whether pods that were deleted at that time may still be terminating."""
        return self.count_grace_left(since) > 0

    def count_grace_left(self, since: str | None) -> float:
        """Return the seconds for which pods that were deleted at that time may be terminating."""
        grace = self.agent.spec.pod.termination_grace_period_seconds + 30
        # A time in the future is of a clock that was set back since.
        return grace - abs(elapsed(since, self.now)) if since else 0

    @cached_property
    def lacks_capacity(self) -> bool:
        """Whether the canary is unschedulable and cannot replace a stable pod."""
        rollout, usual = self.agent.spec.rollout, self.agent.spec.replicas
        is_canary = self.target.name == self.previous.canary_revision
        if not is_canary or not self.is_unschedulable(self.target.name):
            return False
        if rollout.strategy == "recreate":
            return not self.is_terminating(self.previous.rollout.started_at)
        if self._is_scaling_down:
            return False  # it is replacing one of the stable pods
        is_lost = is_stable_lost(self.previous, self.now)
        return capacity.cannot_replace_pods(self.previous, rollout, usual, is_stable_lost=is_lost)

    @cached_property
    def _is_scaling_down(self) -> bool:
        stable = self.previous.stable_revision
        workload = self.find_deployment(stable)
        pods = self.observed.pods(names.ROLE_AGENT, stable) if stable else []
        return workload is not None and len(pods) > workload.replicas

    @cached_property
    def may_replace(self) -> bool:
        """Whether pods of the canary may replace stable ones."""
        settings: Capacity = self.agent.spec.rollout.capacity
        is_last = self.agent.spec.replicas == 1 and not is_stable_lost(self.previous, self.now)
        return settings.mode != "surge" and not is_last

    # The gateway

    @cached_property
    def routes(self) -> Routes:
        """The routes as last written."""
        return read_routes(self.agent.name, self.observed)

    @property
    def routed(self) -> str | None:
        """The stable revision of the routes as last written, if it can be reached."""
        stable, agent = self.routes.stable, self.agent.name
        if stable is None or not self.is_available(stable):
            return None
        own = ("ConfigMap", names.routes(agent)), ("Deployment", names.revision(agent, stable))
        return stable if all(self._find_own(*each) for each in own) else None

    @property
    def is_applied(self) -> bool:
        """Whether the gateway has applied the routes as last written."""
        return self.routes.generation == self.observed.applied.generation

    def find_routes(self, status: ChatAgentStatus) -> Routes:
        """Return the routes for a state of the rollout."""
        rollout = status.rollout
        return find_routes(
            self.routes,
            stable=status.stable_revision,
            canary=status.canary_revision,
            weight=rollout.weight,
            is_offered=rollout.offered and not rollout.approved_weight,
            draining=[each.revision for each in status.draining],
            is_applied=self.is_applied,
            address=self.find_address,
        )

    @cached_property
    def is_settled(self) -> bool:
        """Whether the gateway has applied the weights of the previous status."""
        return self.find_routes(self.previous) == self.routes and self.is_applied

    # Judging

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The evaluation of the canary, once its rollout has started. None: there is none."""
        if self.previous.canary_revision != self.target.name or self.stable is None:
            return None
        if self.agent.spec.rollout.strategy not in ("canary", "blueGreen"):
            return None
        attempt = self.previous.rollout.started_at or ""
        return find_evaluation(self.agent, self.target, self.stable, self.observed.sources, attempt)

    @cached_property
    def quality(self) -> EvaluationStatus | None:
        """The result of the evaluation so far; None if there is none."""
        previous, target = self.previous, self.target.name
        if not self.is_first_weight_due and target == previous.canary_revision:
            return None  # it has been judged before its first weight
        if asked := self.evaluation:
            found = read_result(asked, self.observed, previous.evaluation)
            refusal = self.refusals.get(("Job", asked.job))
            if refusal and found.verdict == "Running":
                return found.model_copy(update={"message": refusal.message})
            if (
                self.count_available(asked.stable.name)
                or found.verdict != "Running"
                or self.observed.get("Job", asked.job)
            ):
                return found
            message = (
                f"revision {asked.stable.name} has no ready pod to compare with; "
                "`promote --full` continues without the comparison"
            )
            return found.model_copy(update={"message": message})
        command = self.command
        is_retried = command is not None and command.id != previous.rollout.last_command_id
        is_new = target not in (previous.canary_revision, previous.stable_revision) and (
            target != previous.failed_revision or is_retried
        )
        if self.agent.spec.rollout.analysis.evaluation and is_new and previous.stable_revision:
            return EvaluationStatus(verdict="Running")  # the next reconciliation creates its Job
        return None

    @cached_property
    def measurement(self) -> Measurement | None:
        """The newest measurement at the current weight."""
        reading = self.observed.reading
        if reading is None or reading.window != self.previous.rollout.weighted_at:
            return None
        number = self.previous.analysis.measurements + 1
        return judge(self.agent.spec.rollout.analysis, reading, number)

    @cached_property
    def interruptions(self) -> tuple[Interruption, ...]:
        """How pods of the desired revision were last interrupted, if it may be its fault.

        It is not where the vector store does not respond, nor a loss of readiness while stable
        pods are unready too.
        """
        stable = self.observed.pods(names.ROLE_AGENT, self.previous.stable_revision or "")
        is_alone = all(pod.ready for _, pod in stable if pod.running)
        return tuple(
            each
            for child, pod in self.observed.pods(names.ROLE_AGENT, self.target.name)
            for each in pod.interruptions
            if not (each.is_store or self._lacks_store(child.name))
            and (each.is_restart or is_alone)
        )

    def _lacks_store(self, pod: str) -> bool:
        found = self.everything.reports.get(pod)
        return found is not None and found.is_store

    # The rollout

    @cached_property
    def seen(self) -> Seen:
        """The input of the rollout."""
        desired, spec, previous = self.target.name, self.agent.spec, self.previous
        available = self.count_available(desired)
        refused = (each for each in self.refusals.values() if each.revision == desired)
        trouble = self.find_trouble(desired) or self.index_trouble or next(refused, None)
        return Seen(
            desired=desired,
            now=self.now,
            ready=self.ready,
            is_indexed=self.is_indexed(self.target),
            has_indexing_failed=self.index_trouble is not None,
            is_stable_available=self.is_available(previous.stable_revision),
            capacity=capacity.compute_capacity(available, previous, spec.rollout, spec.replicas),
            capacity_before=capacity.compute_capacity(
                available, previous, spec.rollout, previous.rollout.replicas or spec.replicas
            ),
            problem=trouble.message if trouble else "",
            lacks_room=any(self.lacks_room(name) for name in (desired, previous.stable_revision)),
            is_unschedulable=self.lacks_capacity,
            is_reachable=desired in self.observed.applied.reached,
            is_gateway_current=self.is_settled,
            interruptions=self.interruptions,
            measurement=self.measurement,
            window=self.observed.window,
            evaluation=self.quality,
            command=self.command,
            routed=self.routed,
            lost=self.lost,
        )


def find_revision(agent: str, name: str, observed: Observed) -> Revision | None:
    """Return a revision from its ControllerRevision, or from its ConfigMap where that is gone."""
    stored = names.revision(agent, name)
    child = observed.get("ControllerRevision", stored) or observed.deleted_revisions.get(stored)
    if child and isinstance(child.facts, DataFacts):
        content: Any = dict(child.facts.data)
    else:  # it was deleted by hand before this operator started
        child = observed.get("ConfigMap", stored)
        if child is None or not isinstance(child.facts, DataFacts):
            return None
        content = _parse_json(child.facts.data.get(names.CONTENT_KEY))
    try:
        return revisions.restore_revision(name, content)
    except pydantic.ValidationError:
        return None  # a later operator wrote it; its objects are not changed


def _parse_json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def read_routes(agent: str, observed: Observed) -> Routes:
    """Return the routes as last written."""
    child = observed.get("ConfigMap", names.routes(agent))
    if child and isinstance(child.facts, DataFacts):
        try:
            return parse_routes(child.facts.data.get(ROUTES_KEY, ""))
        except RoutesError:
            pass  # it was edited by hand, and is overwritten
    return Routes(generation=0)
