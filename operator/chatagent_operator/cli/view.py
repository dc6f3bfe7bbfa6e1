"""An agent as a person looks at it: a document of the resource and what belongs to it. Pure.

It holds times and no ages, so that it changes only where the agent does.
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
from chatagent_operator.cli.revisions import Kept, kept
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.names import REVISION_LABEL
from chatagent_operator.core.rollout.context import RolloutStep
from chatagent_operator.core.rollout.steps import create_steps

Role = Literal["stable", "canary", "draining", "failed"]

ABNORMAL = frozenset({"Degraded", "Stalled"})
"""Conditions that are good where they are not true."""
NEUTRAL = frozenset({"Progressing", "Reconciling", "Paused"})
"""Conditions that say what goes on, and neither good nor bad."""


class Pods(ConfigModel):
    """Pods of a revision."""

    ready: int
    wanted: int


class RevisionView(ConfigModel):
    """One revision that has pods, or was taken back."""

    revision: str
    number: int | None
    image: str | None
    role: Role
    weight: int | None
    """Percent of the new conversations."""
    pods: Pods | None
    since: str | None = None
    """Of a draining one: when the next one took its place."""
    message: str | None = None
    """Of a failed one: why."""


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
    def amiss(self) -> list[Condition]:
        """The conditions that are not as they should be."""
        return [
            each
            for each in self.conditions
            if each.type not in NEUTRAL
            and each.status != ("False" if each.type in ABNORMAL else "True")
        ]

    @property
    def is_current(self) -> bool:
        """The operator has seen the present spec."""
        return self.observed_generation == self.generation


def status_of(agent: Manifest) -> ChatAgentStatus:
    """The status of an agent.

    Raises:
        CommandError: it is not one that this program understands.
    """
    try:
        return ChatAgentStatus.model_validate(agent.get("status") or {})
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        raise CommandError(
            f"status.{place}: {found['msg']}; "
            "is the operator of another version than this program?",
            NO_ANSWER,
        ) from None


def view(
    agent: Manifest,
    revisions: Sequence[Manifest] = (),
    deployments: Sequence[Manifest] = (),
) -> AgentView:
    """An agent, with its ControllerRevisions and the Deployments of its revisions."""
    metadata, status = agent["metadata"], status_of(agent)
    rollout, replicas = _rollout(agent)
    return AgentView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        created_at=metadata.get("creationTimestamp"),
        generation=metadata.get("generation", 0),
        observed_generation=status.observed_generation,
        phase=status.phase,
        url=status.url,
        strategy=rollout.strategy,
        revisions=_revisions(status, kept(revisions), deployments),
        steps=_steps(status, create_steps(rollout, replicas)),
        rollout=status.rollout,
        analysis=status.analysis,
        evaluation=status.evaluation,
        conditions=status.conditions,
    )


def _rollout(agent: Manifest) -> tuple[Rollout, int]:
    """`spec.rollout` and the replicas; the defaults where the spec is not understood, which
    Accepted tells."""
    spec = agent.get("spec") or {}
    try:
        return Rollout.model_validate(spec.get("rollout") or {}), int(spec.get("replicas") or 1)
    except (pydantic.ValidationError, TypeError, ValueError):
        return Rollout(), 1


def _revisions(
    status: ChatAgentStatus, remembered: Sequence[Kept], deployments: Sequence[Manifest]
) -> tuple[RevisionView, ...]:
    by_name = {each.revision: each for each in remembered}
    pods = {
        body["metadata"].get("labels", {}).get(REVISION_LABEL): _pods(body) for body in deployments
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
    if status.failed_revision:
        words = (status.failed_reason, status.failed_message)
        message = ": ".join(word for word in words if word) or None
        found.append(one(status.failed_revision, "failed", None, message=message))
    return tuple(found)


def _pods(deployment: Mapping[str, Any]) -> Pods:
    ready = (deployment.get("status") or {}).get("readyReplicas") or 0
    return Pods(ready=ready, wanted=(deployment.get("spec") or {}).get("replicas", 1))


def _steps(status: ChatAgentStatus, steps: Sequence[RolloutStep]) -> tuple[StepView, ...]:
    """The steps of the rollout that is under way; none where no revision is tried."""
    current = status.rollout.step
    if not status.canary_revision or not status.stable_revision or current is None:
        return ()

    def state(index: int) -> Literal["done", "current", "ahead"]:
        return "done" if index < current else "current" if index == current else "ahead"

    return tuple(StepView(text=step.text, state=state(index)) for index, step in enumerate(steps))
