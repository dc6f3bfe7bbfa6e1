"""The view of one agent before its rollout advances: each fact is derived once, when it is used.

Decisions use the view and not the observed state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pydantic

from chatagent_operator.api.rollout import Capacity
from chatagent_operator.api.status import ChatAgentStatus, EvaluationStatus
from chatagent_operator.core import names
from chatagent_operator.core import revision as revisions
from chatagent_operator.core.agent import Agent, Platform
from chatagent_operator.core.judging.analysis import Measurement, judge
from chatagent_operator.core.observed.facts import DataFacts, ServiceFacts, WorkloadFacts
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.refusals import Refusal, Refusals
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.revision import Revision
from chatagent_operator.core.rollout import capacity
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.context import Seen
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
        return all(i.is_complete(self.observed) for i in self.ingestions if i.collection == place)

    # Pods and addresses

    def count_available(self, revision: str | None) -> int:
        """Return the number of available pods of a revision."""
        workload = self.find_deployment(revision)
        return workload.available if workload else 0

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
        if not self.count_available(revision.name) or self.find_address(revision.name) is None:
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

    def is_terminating(self, since: str | None) -> bool:
        """Return whether pods that were deleted at that time may still be terminating."""
        grace = self.agent.spec.pod.termination_grace_period_seconds + 30
        return since is not None and elapsed(since, self.now) < grace

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
        return capacity.cannot_replace_pods(self.previous, rollout, usual)

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
        return self.agent.spec.replicas > 1 and settings.mode != "surge"

    # The gateway

    @cached_property
    def routes(self) -> Routes:
        """The routes as last written."""
        return read_routes(self.agent.name, self.observed)

    @property
    def is_in_force(self) -> bool:
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
            is_in_force=self.is_in_force,
            address=self.find_address,
        )

    @cached_property
    def is_settled(self) -> bool:
        """Whether the gateway has applied the weights of the previous status."""
        return self.find_routes(self.previous) == self.routes and self.is_in_force

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

    # The rollout

    @cached_property
    def seen(self) -> Seen:
        """The input of the rollout."""
        desired, spec = self.target.name, self.agent.spec
        trouble = self.find_trouble(desired) or self.index_trouble
        return Seen(
            desired=desired,
            now=self.now,
            ready=self.ready,
            is_indexed=self.is_indexed(self.target),
            has_indexing_failed=self.index_trouble is not None,
            capacity=capacity.compute_capacity(
                self.count_available(desired), self.previous, spec.rollout, spec.replicas
            ),
            problem=trouble.message if trouble else "",
            is_unschedulable=self.lacks_capacity,
            is_reachable=desired in self.observed.applied.reached,
            is_gateway_current=self.is_settled,
            measurement=self.measurement,
            evaluation=self.quality,
            command=self.command,
        )


def find_revision(agent: str, name: str, observed: Observed) -> Revision | None:
    """Return a revision from its ControllerRevision."""
    child = observed.get("ControllerRevision", names.revision(agent, name))
    if child is None or not isinstance(child.facts, DataFacts):
        return None
    try:
        return revisions.restore_revision(name, dict(child.facts.data))
    except pydantic.ValidationError:
        return None  # a later operator wrote it; its objects are not changed


def read_routes(agent: str, observed: Observed) -> Routes:
    """Return the routes as last written."""
    child = observed.get("ConfigMap", names.routes(agent))
    if child and isinstance(child.facts, DataFacts):
        try:
            return parse_routes(child.facts.data.get(ROUTES_KEY, ""))
        except RoutesError:
            pass  # it was edited by hand, and is overwritten
    return Routes(generation=0)
