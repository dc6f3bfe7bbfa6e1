"""The view of an agent: one document of the resource, its revisions and their pods. Pure.

It contains timestamps and no ages, so that it changes only when the agent does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pydantic

from agent_runtime.config import ConfigModel
from chatagent_operator.api.rollout import Rollout
from chatagent_operator.api.status import (
    AnalysisStatus,
    ChatAgentStatus,
    Condition,
    EvaluationStatus,
    RolloutStatus,
)
from chatagent_operator.cli.errors import NO_ANSWER, CommandError
from chatagent_operator.cli.revisions import StoredRevision, read_revisions
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.names import REVISION_LABEL
from chatagent_operator.core.rollout.context import RolloutStep
from chatagent_operator.core.rollout.steps import create_steps

Role = Literal["stable", "canary", "draining", "previous", "failed"]

ABNORMAL = frozenset({"Degraded", "Stalled"})
"""Conditions whose healthy status is False."""
NEUTRAL = frozenset({"Progressing", "Reconciling", "Paused"})
"""Conditions that report progress and are neither healthy nor unhealthy."""


class Pods(ConfigModel):
    """Number of pods of a revision."""

    ready: int
    desired: int


class RevisionView(ConfigModel):
    """One revision that has pods, or is rolled back."""

    revision: str
    number: int | None
    image: str | None
    role: Role
    weight: int | None
    """Share of new conversations, in percent."""
    pods: Pods | None
    since: str | None = None
    """When it was replaced as the stable revision, if it is draining, or kept for a rollback."""
    message: str | None = None
    """Why it is rolled back, if it failed."""


class StepView(ConfigModel):
    """One step of the rollout."""

    text: str
    state: Literal["done", "current", "ahead"]


class AgentView(ConfigModel):
    """One agent."""

    namespace: str
    name: str
    created_at: str | None
    generation: int
    observed_generation: int | None
    phase: str | None
    url: str | None
    strategy: str
    revisions: tuple[RevisionView, ...]
    steps: tuple[StepView, ...]
    rollout: RolloutStatus
    analysis: AnalysisStatus
    evaluation: EvaluationStatus
    conditions: tuple[Condition, ...]

    @property
    def problems(self) -> list[Condition]:
        """The unhealthy conditions."""
        return [
            each
            for each in self.conditions
            if each.type not in NEUTRAL
            and each.status != ("False" if each.type in ABNORMAL else "True")
        ]

    @property
    def rollout_reason(self) -> str | None:
        """What the rollout waits for or how it ended, in one word."""
        return next((each.reason for each in self.conditions if each.type == "Progressing"), None)

    @property
    def is_current(self) -> bool:
        """Whether the operator has reconciled the current spec."""
        return self.observed_generation == self.generation


def read_status(agent: Manifest) -> ChatAgentStatus:
    """Read the status of an agent.

    Raises:
        CommandError: this version of the program cannot read it.
    """
    try:
        return ChatAgentStatus.model_validate(agent.get("status") or {})
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        raise CommandError(
            f"status.{place} cannot be read: {found['msg']}; "
            "use the version of this program that belongs to the operator",
            NO_ANSWER,
        ) from None


def build_view(
    agent: Manifest,
    revisions: Sequence[Manifest] = (),
    deployments: Sequence[Manifest] = (),
) -> AgentView:
    """Build the view of an agent from its ControllerRevisions and Deployments."""
    metadata, status = agent["metadata"], read_status(agent)
    rollout, replicas = _read_rollout(agent)
    return AgentView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        created_at=metadata.get("creationTimestamp"),
        generation=metadata.get("generation", 0),
        observed_generation=status.observed_generation,
        phase=status.phase,
        url=status.url,
        strategy=rollout.strategy,
        revisions=_build_revisions(status, read_revisions(revisions), deployments),
        steps=_build_steps(status, create_steps(rollout, replicas)),
        rollout=status.rollout,
        analysis=status.analysis,
        evaluation=status.evaluation,
        conditions=status.conditions,
    )


def _read_rollout(agent: Manifest) -> tuple[Rollout, int]:
    """Read `spec.rollout` and the replicas, or the defaults if the spec is invalid, which the
    condition Accepted reports."""
    spec = agent.get("spec") or {}
    try:
        return Rollout.model_validate(spec.get("rollout") or {}), int(spec.get("replicas") or 1)
    except (pydantic.ValidationError, TypeError, ValueError):
        return Rollout(), 1


def _build_revisions(
    status: ChatAgentStatus, stored: Sequence[StoredRevision], deployments: Sequence[Manifest]
) -> tuple[RevisionView, ...]:
    by_name = {each.revision: each for each in stored}
    pods = {
        body["metadata"].get("labels", {}).get(REVISION_LABEL): _read_pods(body)
        for body in deployments
    }

    def one(name: str, role: Role, weight: int | None, **more: Any) -> RevisionView:
        known = by_name.get(name)
        return RevisionView(
            revision=name,
            number=known.number if known else None,
            image=known.image if known else None,
            role=role,
            weight=weight,
            pods=pods.get(name),
            **more,
        )

    found: list[RevisionView] = []
    if status.stable_revision:
        weight = 100 - status.rollout.weight if status.canary_revision else 100
        found.append(one(status.stable_revision, "stable", weight))
    if status.canary_revision:
        found.append(one(status.canary_revision, "canary", status.rollout.weight))
    found += [one(each.revision, "draining", 0, since=each.since) for each in status.draining]
    if (kept := status.previous) and kept.revision not in {each.revision for each in found}:
        found.append(one(kept.revision, "previous", 0, since=kept.since))
    if status.failed_revision:
        words = (status.failed_reason, status.failed_message)
        message = ": ".join(word for word in words if word) or None
        found.append(one(status.failed_revision, "failed", None, message=message))
    return tuple(found)


def _read_pods(deployment: Mapping[str, Any]) -> Pods:
    ready = (deployment.get("status") or {}).get("readyReplicas") or 0
    return Pods(ready=ready, desired=(deployment.get("spec") or {}).get("replicas", 1))


def _build_steps(status: ChatAgentStatus, steps: Sequence[RolloutStep]) -> tuple[StepView, ...]:
    """Build the steps of the rollout in progress; none if there is no canary."""
    current = status.rollout.step
    if not status.canary_revision or not status.stable_revision or current is None:
        return ()

    def state(index: int) -> Literal["done", "current", "ahead"]:
        return "done" if index < current else "current" if index == current else "ahead"

    return tuple(StepView(text=step.text, state=state(index)) for index, step in enumerate(steps))
