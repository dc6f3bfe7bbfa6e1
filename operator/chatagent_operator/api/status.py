"""ChatAgent, version v1alpha1: the status as pydantic models.

The status is the only state that the operator keeps of an agent. `core.rollout.stored` reads a
status that another version of the operator has written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, ConfigDict, Field

from agent_runtime.config import ConfigModel

Phase = Literal["Pending", "Ready", "Canary", "Paused", "Degraded", "Suspended"]


Outcome = Literal["Promoted", "Failed", "Aborted", "Withdrawn"]
Verdict = Literal["Succeeded", "Failed", "Inconclusive"]
EvaluationVerdict = Literal["Running", "Succeeded", "Failed"]


def _check_time(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("must have a time zone, such as 2026-01-01T00:00:00Z")
    return text


def _renamed(verdict: object) -> object:
    return "Succeeded" if verdict == "Passed" else verdict


Time = Annotated[str, AfterValidator(_check_time)]
"""RFC 3339."""
_OldName = BeforeValidator(_renamed)
"""Accepts the name of a verdict that earlier operators wrote."""
_Percent = Annotated[int, Field(ge=0, le=100)]
_Count = Annotated[int, Field(ge=0)]


class StatusModel(ConfigModel):
    """Part of a status. Fields that a later operator wrote are ignored."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusModel):
    """A condition, as in other Kubernetes resources."""

    type: str
    """Type of the condition."""

    status: Literal["True", "False", "Unknown"]
    """Status of the condition."""

    observed_generation: int = 0
    """`metadata.generation` that the condition was computed from."""

    last_transition_time: Annotated[Time, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""

    reason: str
    """Machine-readable reason, in one word."""

    message: str = ""
    """Human-readable message: what is wrong, and what to do."""


class MetricStatus(StatusModel):
    """The result of a measurement for one metric."""

    name: str
    """Name of the metric."""

    verdict: Annotated[Verdict, _OldName]
    """Result: `Failed` if a limit is exceeded, `Inconclusive` if it is unknown whether one is."""

    canary: float | None = None
    """Value of the canary."""

    stable: float | None = None
    """Value of the stable revision over the same time."""

    message: str = ""
    """Human-readable message."""


class AnalysisStatus(StatusModel):
    """The measurements at the current weight."""

    verdict: Annotated[Verdict | None, _OldName] = None
    """Result of the last measurement."""

    measured_at: Time | None = None
    """Time of the last measurement."""

    samples: _Count = 0
    """Number of turns of the canary in the last measurement."""

    succeeded: Annotated[_Count, Field(validation_alias=AliasChoices("succeeded", "passed"))] = 0
    """Number of measurements that succeeded at the current step."""

    failed: _Count = 0
    """Number of measurements that failed at the current weight."""

    inconclusive: _Count = 0
    """Number of measurements that were inconclusive at the current step."""

    measurements: _Count = 0
    """Number of all measurements at the current weight."""

    metrics: tuple[MetricStatus, ...] = ()
    """Results of the last measurement for each metric."""


class QualityShares(StatusModel):
    """The quality of a revision's answers to the questions, as shares between 0 and 1."""

    retrieval_hits: float | None = None
    """Share of questions whose source is among the retrieved passages."""

    groundedness: float | None = None
    """Share of answers that cite the right source."""

    facts: float | None = None
    """Share of expected facts that the answers contain."""

    refusals: float | None = None
    """Share of unanswerable questions that are refused."""


class EvaluationStatus(StatusModel):
    """The evaluation of the canary's answers."""

    verdict: Annotated[EvaluationVerdict | None, _OldName] = None
    """Result of the evaluation."""

    message: str = ""
    """Human-readable message."""

    report: str | None = None
    """Name of the ConfigMap with the report, which lists every question."""

    canary: QualityShares | None = None
    """Shares of the canary."""

    stable: QualityShares | None = None
    """Shares of the stable revision."""


class DrainingRevision(StatusModel):
    """A previous stable revision that is being drained."""

    revision: str
    """Name of the revision."""

    since: Time
    """When the drain started."""


class PreviousRevision(StatusModel):
    """The previous stable revision, whose pods are kept for a rollback."""

    revision: str
    """Name of the revision."""

    since: Time
    """When it was replaced as the stable revision."""


class CounterStatus(StatusModel):
    """The value of a counter."""

    name: str
    """Name of the counter, with the bound of a histogram."""

    value: float
    """Value of the counter."""


class WindowCounters(StatusModel):
    """The state of a revision's counters at the start of a window."""

    processes: tuple[str, ...] = ()
    """The processes of its pods: digests of their addresses and start times."""

    counters: tuple[CounterStatus, ...] = ()
    """What these processes have counted that is not part of the window. Negative where processes
    that have ended are part of it. Counters of 0 are left out, except for those of histograms."""


class WindowStatus(StatusModel):
    """The start of the measurements at the current weight, with which another replica of the
    operator continues them."""

    began_at: Time
    """When the operator began to count."""

    canary: WindowCounters | None = None
    """The counters of the canary. Unset with a Prometheus, which stores them."""

    stable: WindowCounters | None = None
    """The counters of the stable revision."""


class RolloutStatus(StatusModel):
    """The state of the rollout."""

    weight: _Percent = 0
    """Share of the new conversations that the canary gets, in percent."""

    approved_weight: _Percent = 0
    """Weight that the steps have approved, in percent. The canary gets less while its pods are not
    ready."""

    offered: bool = False
    """Whether the canary waits only for the gateway before it gets its first weight."""

    step: _Count | None = None
    """Index of the current step, from 0."""

    steps: _Count | None = None
    """Number of steps."""

    step_started_at: Time | None = None
    """When the current step started."""

    weighted_at: Time | None = None
    """When the current weight was approved. Measurements start then."""

    window: WindowStatus | None = None
    """The start of the measurements at the current weight."""

    started_at: Time | None = None
    """When the rollout started."""

    restarts: _Count = 0
    """How often pods of the canary restarted or lost readiness since it got its first weight, or,
    where no step sets one, since they were ready."""

    restarted_at: Time | None = None
    """Since when they are counted: when one last did, or, where no step sets a weight, when the
    canary's pods were ready."""

    waiting_since: Time | None = None
    """Time since which the canary has had too few ready pods for its weight."""

    stable_unavailable_since: Time | None = None
    """Time since which the stable revision has no available pod or no Service, during the rollout.
    A canary that is ready takes over after 30 s."""

    paused: Literal["Command", "Inconclusive"] | None = None
    """Why the rollout is paused: by a command, or because of too many inconclusive measurements.
    Unset while it is not paused, or is paused by a step or by the spec only."""

    full: bool = False
    """Whether a command has skipped all remaining steps."""

    replicas: _Count | None = None
    """`spec.replicas` when the rollout started or the last weight was approved. Pods that were
    added since and are unschedulable do not count against the canary."""

    replacing: bool = False
    """Whether pods of the canary replace stable ones, because more pods are unschedulable."""

    path: str | None = None
    """Digest of the steps, to detect changes."""

    message: str = ""
    """What the rollout waits for."""

    last_command_id: str | None = None
    """ID of the last command that was carried out or refused."""

    last_command_result: str | None = None
    """Result of the last command."""


class PastRollout(StatusModel):
    """A rollout that has ended."""

    revision: str
    """The revision that was rolled out."""

    outcome: Outcome
    """Result of the rollout."""

    reason: str = ""
    """Machine-readable reason, in one word."""

    message: str = ""
    """Human-readable message."""

    started_at: Time | None = None
    """When the rollout started."""

    ended_at: Time | None = None
    """When the rollout ended."""


class KnowledgeStatus(StatusModel):
    """The documents that are indexed for the stable revision."""

    collection: str | None = None
    """Name of the collection in the vector store."""

    documents: int | None = None
    """Number of documents in the collection."""

    chunks: int | None = None
    """Number of passages in the collection."""

    index_version: int | None = None
    """Version of the index: the time of the last change of the documents, in microseconds."""

    rebuilds: int = 0
    """How often the index was lost and built again lately. Each further time waits longer."""

    rebuilt_at: Time | None = None
    """When it was last built again, RFC 3339."""


class ChatAgentStatus(StatusModel):
    """The observed state of a ChatAgent."""

    observed_generation: int | None = None
    """The `metadata.generation` that was last reconciled."""

    operator: str | None = None
    """The operator that reconciles the agent, as namespace and name of its Lease."""

    phase: Phase | None = None
    """Summary of the state: `Pending` until the first revision serves, `Canary` during a rollout,
    `Paused` while a rollout is paused or waits for approval, `Degraded` while a problem needs
    attention, `Suspended` while `spec.suspend` is true, otherwise `Ready`."""

    url: str | None = None
    """URL of the agent: of its Service inside the cluster, or of its HTTPRoute."""

    stable_revision: str | None = None
    """The stable revision, which serves."""

    canary_revision: str | None = None
    """The revision that is being rolled out."""

    failed_revision: str | None = None
    """The revision that was rolled back. It is not rolled out again until the spec changes or
    `kubectl chatagent retry` is run."""

    failed_reason: str | None = None
    """Machine-readable reason of the rollback, in one word."""

    failed_message: str | None = None
    """Human-readable message of the rollback."""

    draining: tuple[DrainingRevision, ...] = ()
    """Previous stable revisions that are being drained."""

    previous: PreviousRevision | None = None
    """The previous stable revision, while its pods are kept for a rollback."""

    rollout: RolloutStatus = RolloutStatus()
    """The state of the rollout."""

    analysis: AnalysisStatus = AnalysisStatus()
    """The measurements of the current canary, or of the last one."""

    evaluation: EvaluationStatus = EvaluationStatus()
    """The evaluation of the answers of the current canary, or of the last one."""

    history: tuple[PastRollout, ...] = ()
    """The last ten rollouts, the newest first."""

    knowledge: KnowledgeStatus = KnowledgeStatus()
    """The documents that are indexed for the stable revision."""

    replicas: int | None = None
    """Number of available pods of the stable revision."""

    selector: str | None = None
    """Label selector of the pods of the stable revision, for `kubectl scale` and autoscalers."""

    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            }
        ),
    ] = ()
    """Conditions of the agent: Accepted, ResolvedRefs, WorkloadsReady, VectorStoreReady,
    IndexReady, CacheReady, GatewayReady, Progressing, Promoted, Paused, Degraded, Ready; and
    Reconciling or Stalled while they are true, for tools that read kstatus."""
