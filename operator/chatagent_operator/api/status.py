"""ChatAgent, version v1alpha1: the status as pydantic models.

The status is the only state that the operator keeps of an agent. One that another version of the
operator wrote is read by `core.rollout.stored`.
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
"""Reads a verdict by the name that earlier operators wrote."""
_Percent = Annotated[int, Field(ge=0, le=100)]
_Count = Annotated[int, Field(ge=0)]


class StatusModel(ConfigModel):
    """Part of a status. Fields that a later operator wrote are ignored."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusModel):
    """A condition, as other Kubernetes resources have them."""

    type: str
    """Type of the condition."""

    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""

    observed_generation: int = 0
    """`metadata.generation` that the condition is based on."""

    last_transition_time: Annotated[Time, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""

    reason: str
    """Why, in one word for programs."""

    message: str = ""
    """Why, in a sentence for people, and what to do."""


class MetricStatus(StatusModel):
    """The result of a measurement for one metric."""

    name: str
    """Name of the metric."""

    verdict: Annotated[Verdict, _OldName]
    """The result: `Failed` where a limit is exceeded, `Inconclusive` where that is not known."""

    canary: float | None = None
    """The new revision's value."""

    stable: float | None = None
    """The stable revision's value, over the same time."""

    message: str = ""
    """Why, in a sentence for people."""


class AnalysisStatus(StatusModel):
    """The measurements at the present weight."""

    verdict: Annotated[Verdict | None, _OldName] = None
    """The result of the last measurement."""

    measured_at: Time | None = None
    """When it was made."""

    samples: _Count = 0
    """Turns of the new revision in it."""

    succeeded: Annotated[_Count, Field(validation_alias=AliasChoices("succeeded", "passed"))] = 0
    """Measurements that succeeded at this step."""

    failed: _Count = 0
    """Measurements that failed at this weight."""

    inconclusive: _Count = 0
    """Measurements that were inconclusive at this step."""

    measurements: _Count = 0
    """All measurements at this weight."""

    metrics: tuple[MetricStatus, ...] = ()
    """The last measurement, metric by metric."""


class QualityShares(StatusModel):
    """The quality of a revision's answers to the questions, as shares between 0 and 1."""

    retrieval_hits: float | None = None
    """Questions whose source is among the passages found."""

    groundedness: float | None = None
    """Answers that cite the right source."""

    facts: float | None = None
    """Expected facts that the answers hold."""

    refusals: float | None = None
    """Unanswerable questions that are refused."""


class EvaluationStatus(StatusModel):
    """The quality of the new revision's answers."""

    verdict: Annotated[EvaluationVerdict | None, _OldName] = None
    """The result."""

    message: str = ""
    """Why, in a sentence for people."""

    report: str | None = None
    """Name of the ConfigMap with the report, question by question."""

    canary: QualityShares | None = None
    """The new revision's shares."""

    stable: QualityShares | None = None
    """The stable revision's."""


class DrainingRevision(StatusModel):
    """A former stable revision that keeps its conversations for a time."""

    revision: str
    """Name of the revision."""

    since: Time
    """When it was replaced."""


class RolloutStatus(StatusModel):
    """The state of the rollout."""

    weight: _Percent = 0
    """Share of the new conversations that the canary gets, in percent."""

    approved_weight: _Percent = 0
    """Share that the steps have approved, in percent. The canary gets less while its pods are not
    ready."""

    offered: bool = False
    """The canary waits for the gateway only, before it gets its first weight."""

    step: _Count | None = None
    """Index of the present step, from 0."""

    steps: _Count | None = None
    """Number of steps."""

    step_started_at: Time | None = None
    """When the step started."""

    weighted_at: Time | None = None
    """When the present weight was approved. Measurements start then."""

    started_at: Time | None = None
    """When the rollout started."""

    waiting_since: Time | None = None
    """Since when the canary has had too few ready pods for its weight."""

    paused: Literal["Command", "Inconclusive"] | None = None
    """Why the rollout is paused: by a command, or for too many inconclusive measurements. Absent:
    it is not, or only by a step or the spec."""

    full: bool = False
    """A command skips all remaining steps."""

    replacing: bool = False
    """No node has room for more pods, so that the canary's pods replace stable ones."""

    path: str | None = None
    """Digest of the steps, to detect changes of them."""

    message: str = ""
    """What the rollout waits for."""

    last_command_id: str | None = None
    """Id of the last command that was carried out or refused."""

    last_command_result: str | None = None
    """Result of that command."""


class PastRollout(StatusModel):
    """A rollout that has ended."""

    revision: str
    """The revision that was tried."""

    outcome: Outcome
    """The result."""

    reason: str = ""
    """Why, in one word for programs."""

    message: str = ""
    """Why, in a sentence for people."""

    started_at: Time | None = None
    """When it started."""

    ended_at: Time | None = None
    """When it ended."""


class KnowledgeStatus(StatusModel):
    """The documents that are indexed for the stable revision."""

    collection: str | None = None
    """Name of the collection in the vector store."""

    documents: int | None = None
    """Documents in it."""

    chunks: int | None = None
    """Passages in it."""

    index_version: int | None = None
    """Version of the index: the time of the last change of the documents, in microseconds."""


class ChatAgentStatus(StatusModel):
    """The observed state of a ChatAgent."""

    observed_generation: int | None = None
    """`metadata.generation` that the operator has reconciled."""

    phase: Phase | None = None
    """The state in one word: `Pending` until the first revision serves, `Canary` during a rollout,
    `Paused` while the rollout waits for a person, `Degraded` when something needs attention."""

    url: str | None = None
    """URL of the agent inside the cluster."""

    stable_revision: str | None = None
    """The revision that serves."""

    canary_revision: str | None = None
    """The revision that is rolled out."""

    failed_revision: str | None = None
    """The revision that was rolled back. It is not rolled out again until the spec changes, or by
    `retry`."""

    failed_reason: str | None = None
    """Why it was rolled back, in one word for programs."""

    failed_message: str | None = None
    """Why it was rolled back, in a sentence for people."""

    draining: tuple[DrainingRevision, ...] = ()
    """Former stable revisions that keep their conversations for a time."""

    rollout: RolloutStatus = RolloutStatus()
    """The state of the rollout."""

    analysis: AnalysisStatus = AnalysisStatus()
    """The metrics of the canary at the present weight, or of the last one."""

    evaluation: EvaluationStatus = EvaluationStatus()
    """The quality of the canary's answers, or of the last one's."""

    history: tuple[PastRollout, ...] = ()
    """The last rollouts, the newest first."""

    knowledge: KnowledgeStatus = KnowledgeStatus()
    """The documents that are indexed."""

    replicas: int | None = None
    """Pods of the stable revision."""

    selector: str | None = None
    """Selects those pods, for `kubectl scale` and autoscalers."""

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
    IndexReady, CacheReady, GatewayReady, Progressing, Paused, Degraded, Ready; and Reconciling or
    Stalled while they are true, for tools that read kstatus."""
