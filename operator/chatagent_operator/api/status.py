"""ChatAgent, version v1alpha1: the status as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from agent_runtime.config import ConfigModel

Phase = Literal["Pending", "Ready", "Canary", "Paused", "Degraded", "Suspended"]


class StatusModel(ConfigModel):
    """Part of a status. One that a later operator wrote may have fields that are unknown here."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusModel):
    """One aspect of the agent's state, as everywhere in Kubernetes."""

    type: str
    """Which aspect."""

    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""

    observed_generation: int = 0
    """`metadata.generation` that this was said of."""

    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""

    reason: str
    """Why, in one word for programs."""

    message: str = ""
    """Why, in a sentence for people, and what to do."""


Verdict = Literal["Passed", "Failed", "Inconclusive"]


class MetricStatus(StatusModel):
    """What a measurement found of one metric."""

    name: str
    """Name of the metric."""

    verdict: Verdict
    """What came of it."""

    canary: float | None = None
    """The new revision's value."""

    stable: float | None = None
    """The stable revision's, over the same time."""

    message: str = ""
    """Why, in a sentence for people."""


class AnalysisStatus(StatusModel):
    """The measurements at the present weight."""

    verdict: Verdict | None = None
    """What came of the last one."""

    measured_at: str | None = None
    """When it was made."""

    samples: int = 0
    """Turns of the new revision in it."""

    passed: int = 0
    """Measurements that passed at this step."""

    failed: int = 0
    """Measurements that failed at this weight."""

    inconclusive: int = 0
    """Measurements at this step that said nothing."""

    measurements: int = 0
    """All measurements at this weight."""

    metrics: tuple[MetricStatus, ...] = ()
    """What the last one found, metric by metric."""


class QualityShares(StatusModel):
    """How good a revision's answers to the questions were, as shares between 0 and 1."""

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

    verdict: Literal["Running", "Passed", "Failed"] | None = None
    """What came of it."""

    message: str = ""
    """Why, in a sentence for people."""

    report: str | None = None
    """Name of the ConfigMap that holds the report, question by question."""

    canary: QualityShares | None = None
    """The new revision's shares."""

    stable: QualityShares | None = None
    """The stable revision's."""


class DrainingRevision(StatusModel):
    """A former stable revision that still has conversations."""

    revision: str
    """Its name."""

    since: str
    """When the next one took its place."""


class RolloutStatus(StatusModel):
    """Where the rollout stands."""

    weight: int = 0
    """Share of the new conversations that the canary gets, in percent."""

    approved_weight: int = 0
    """Share that the steps have come to. The canary gets less while it has no pods for it."""

    offered: bool = False
    """Nothing but the gateway keeps the canary from its first weight."""

    step: int | None = None
    """Which step is under way, from 0."""

    steps: int | None = None
    """How many steps there are."""

    step_started_at: str | None = None
    """When the step began."""

    weighted_at: str | None = None
    """When the present weight was decided. Measurements begin with it."""

    started_at: str | None = None
    """When the canary was made."""

    waiting_since: str | None = None
    """Since when it has had too few ready pods for what it should take."""

    paused: Literal["Command", "Inconclusive"] | None = None
    """Why the steps do not go on, if they do not."""

    full: bool = False
    """Somebody asked to skip all steps that are left."""

    replacing: bool = False
    """There was no room for more pods: the canary's take the place of stable ones."""

    path: str | None = None
    """Digest of the steps, so that a change of them is seen."""

    message: str = ""
    """What it waits for."""

    last_command_id: str | None = None
    """Id of the last command that was carried out or turned down."""

    last_command_result: str | None = None
    """What came of it."""


class PastRollout(StatusModel):
    """A rollout that has ended."""

    revision: str
    """The revision that was tried."""

    outcome: Literal["Promoted", "Failed", "Aborted", "Withdrawn"]
    """What became of it."""

    reason: str = ""
    """Why, in one word for programs."""

    message: str = ""
    """Why, in a sentence for people."""

    started_at: str | None = None
    """When it began."""

    ended_at: str | None = None
    """When it ended."""


class KnowledgeStatus(StatusModel):
    """What is indexed for the stable revision."""

    collection: str | None = None
    """Collection in the vector store."""

    documents: int | None = None
    """Documents in it."""

    chunks: int | None = None
    """Passages in it."""

    index_version: int | None = None
    """Rises with every change of the documents, to the microseconds of its time."""


class ChatAgentStatus(StatusModel):
    """What the operator found and did."""

    observed_generation: int | None = None
    """`metadata.generation` that the operator has acted on."""

    phase: Phase | None = None
    """The state in one word: `Pending` until the first revision serves, `Canary` while a second
    one is tried, `Paused` while that waits for a person, `Degraded` when something needs
    attention."""

    url: str | None = None
    """Where the agent answers inside the cluster."""

    stable_revision: str | None = None
    """The revision that serves."""

    canary_revision: str | None = None
    """The revision that is being tried."""

    failed_revision: str | None = None
    """The revision that was taken back. It stays so until the spec changes, or a `retry`."""

    failed_reason: str | None = None
    """Why it was taken back, in one word for programs."""

    failed_message: str | None = None
    """Why it was taken back, in a sentence for people."""

    draining: tuple[DrainingRevision, ...] = ()
    """Former stable revisions that still have conversations."""

    rollout: RolloutStatus = RolloutStatus()
    """Where the rollout stands."""

    analysis: AnalysisStatus = AnalysisStatus()
    """The metrics of the canary at the present weight, or of the last one."""

    evaluation: EvaluationStatus = EvaluationStatus()
    """The quality of the canary's answers, or of the last one's."""

    history: tuple[PastRollout, ...] = ()
    """The last rollouts, the newest first."""

    knowledge: KnowledgeStatus = KnowledgeStatus()
    """What is indexed."""

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
    """The aspects of the state: Accepted, ResolvedRefs, WorkloadsReady, VectorStoreReady,
    IndexReady, CacheReady, GatewayReady, Progressing, Paused, Degraded, Ready; and while they hold
    Reconciling or Stalled, for tools that read kstatus."""
