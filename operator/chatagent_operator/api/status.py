"""ChatAgent, version v1alpha1: the status as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from agent_runtime.config import ConfigModel

Phase = Literal["Pending", "Ready", "Canary", "Degraded", "Suspended"]


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


class RolloutStatus(StatusModel):
    """Where the rollout stands."""

    weight: int = 0
    """Share of the new conversations that the canary gets, in percent."""

    started_at: str | None = None
    """When the canary was made."""

    message: str = ""
    """What it waits for."""

    last_command_id: str | None = None
    """Id of the last command that was carried out or turned down."""

    last_command_result: str | None = None
    """What came of it."""


class KnowledgeStatus(StatusModel):
    """What is indexed for the stable revision."""

    collection: str | None = None
    """Collection in the vector store."""

    documents: int | None = None
    """Documents in it."""

    chunks: int | None = None
    """Passages in it."""

    index_version: int | None = None
    """Counts up with every change of the documents."""


class ChatAgentStatus(StatusModel):
    """What the operator found and did."""

    observed_generation: int | None = None
    """`metadata.generation` that the operator has acted on."""

    phase: Phase | None = None
    """The state in one word: `Pending` until the first revision serves, `Canary` while a second
    one does, `Degraded` when something needs attention."""

    url: str | None = None
    """Where the agent answers inside the cluster."""

    stable_revision: str | None = None
    """The revision that serves."""

    canary_revision: str | None = None
    """The revision that is being tried."""

    failed_revision: str | None = None
    """The revision that was aborted. It stays so until the spec changes."""

    rollout: RolloutStatus = RolloutStatus()
    """Where the rollout stands."""

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
    IndexReady, CacheReady, GatewayReady, Progressing, Degraded, Ready."""
