"""The desired state of an agent: live revisions, their pods, the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chatagent_operator.api.conditions import ConditionType
from chatagent_operator.api.status import ChatAgentStatus, EvaluationStatus
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.observed.facts import DataFacts
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.revision import Revision
from chatagent_operator.core.rollout import capacity
from chatagent_operator.core.rollout.decision import Decision
from chatagent_operator.core.rollout.takeover import is_stable_lost
from chatagent_operator.core.rollout.times import elapsed
from chatagent_operator.core.routing.routes import Routes
from chatagent_operator.core.servers import find_managed_store
from chatagent_operator.core.view.evaluations import (
    Evaluation,
    UnstoredReport,
    find_unstored_report,
)
from chatagent_operator.core.view.ingestions import Ingestion, find_rebuild_delay
from chatagent_operator.core.view.view import View

RECONNECT_SECONDS = 10.0
"""Time within which a pod reconnects to a vector store that is available again."""


@dataclass(frozen=True)
class DesiredState:
    """The view, and the decision on the rollout that follows from it."""

    view: View
    decision: Decision

    @property
    def agent(self) -> Agent:
        """The agent."""
        return self.view.agent

    @property
    def observed(self) -> Observed:
        """The observed state of the agent."""
        return self.view.observed

    @cached_property
    def reported(self) -> Observed:
        """The observed state for conditions, without the troubles of pods that wait for a managed
        vector store: one that is unavailable, or that they have not reconnected to yet."""
        if find_managed_store(self.agent) is None or self._has_store:
            return self.observed
        return self.observed.without(lambda trouble: trouble.is_store)

    @property
    def _has_store(self) -> bool:
        return self._store_since is not None and self.count_reconnect_left() <= 0

    @property
    def _store_since(self) -> str | None:
        """When the vector store became available; None while it is not."""
        name, aspect = names.vector_store(self.agent.name), ConditionType.VECTOR_STORE_READY
        found = self.observed.workload("StatefulSet", name)
        previous = next((c for c in self.view.previous.conditions if c.type == aspect), None)
        if not (found and found.available):
            return None
        if previous and previous.status == "True":
            return previous.last_transition_time
        return self.view.now

    def count_reconnect_left(self) -> float:
        """Return the seconds within which pods reconnect to a store that is available again."""
        since = self._store_since
        return RECONNECT_SECONDS + 1 - elapsed(since, self.view.now) if since else 0

    @property
    def status(self) -> ChatAgentStatus:
        """The status after the rollout has advanced."""
        return self.decision.status

    @property
    def serving(self) -> str:
        """Name of the stable revision, or of the first one before it is ready."""
        return self.status.stable_revision or self.status.canary_revision or ""

    @cached_property
    def live(self) -> tuple[Revision, ...]:
        """Revisions that should have pods, the stable one first."""
        found = (self.view.find_revision(name) for name in self.decision.live)
        return tuple(each for each in found if each)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Revisions that should have pods, of which only the name is known."""
        known = {each.name for each in self.live}
        return tuple(name for name in self.decision.live if name not in known)

    @cached_property
    def replicas(self) -> Mapping[str, int]:
        """Desired number of pods of each live revision."""
        spec, waiting = self.agent.spec, self.decision.waiting
        return capacity.compute_replicas(
            self.status,
            spec.rollout,
            spec.replicas,
            self.view.replicas,
            self.view.count_available(self.status.canary_revision),
            is_held=bool(waiting and (waiting.is_paused or waiting.reason == "WaitingForIndex")),
            is_stable_lost=is_stable_lost(self.status, self.view.now),
        )

    @cached_property
    def ingestions(self) -> tuple[Ingestion, ...]:
        """Ingestions that the live revisions need."""
        return self.view.find_ingestions(self.live)

    @cached_property
    def lost(self) -> tuple[Ingestion, ...]:
        """Ingestions whose collection existed and does not any more."""
        return tuple(each for each in self.ingestions if self.view.is_lost(each))

    @cached_property
    def rebuilt(self) -> tuple[Ingestion, ...]:
        """Of them, those whose complete Job is to be run again now."""
        if self.rebuild_delay > 0:
            return ()
        return tuple(each for each in self.lost if each.find_complete_job(self.observed))

    @property
    def rebuild_delay(self) -> float:
        """Seconds until a lost index may be built again."""
        is_served = self.view.count_available(self.serving) > 0
        return find_rebuild_delay(self.view.previous.knowledge, self.view.now, is_served=is_served)

    @cached_property
    def routes(self) -> Routes:
        """The routes that the gateway should apply."""
        return self.view.find_routes(self.status)

    @property
    def is_in_force(self) -> bool:
        """Whether the gateway has applied these routes."""
        return self.routes.generation == self.observed.applied.generation

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Number of each revision, in ascending order of creation."""
        numbers = {
            child.revision: child.facts.revision
            for child in self.observed.list_children("ControllerRevision")
            if child.revision and isinstance(child.facts, DataFacts)
        }
        for each in self.live:
            numbers.setdefault(each.name, max(numbers.values(), default=0) + 1)
        return numbers

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The evaluation whose Job should exist."""
        evaluation = self.view.evaluation
        if (
            evaluation is None
            or evaluation.missing
            or self.status.canary_revision != evaluation.canary
        ):
            return None
        if self.observed.get("Job", evaluation.job):
            return evaluation  # it is not deleted because a pod became unready
        can_reply = evaluation.canary in self.view.ready and self.view.count_available(
            evaluation.stable.name
        )
        return evaluation if can_reply and not self.status.rollout.approved_weight else None

    @property
    def quality(self) -> EvaluationStatus:
        """The result of the current evaluation, or of the last one."""
        return self.view.quality or self.view.previous.evaluation

    @cached_property
    def unstored_report(self) -> UnstoredReport | None:
        """A report that is to be stored before its Job may be deleted."""
        return find_unstored_report(self.quality, self.observed)

    @property
    def lacks_capacity(self) -> bool:
        """Whether the canary is unschedulable and cannot replace a stable pod."""
        revisions = self.status.canary_revision, self.status.stable_revision
        return all(revisions) and self.view.lacks_capacity
