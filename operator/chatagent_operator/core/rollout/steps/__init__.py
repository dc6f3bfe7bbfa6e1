"""The types of steps, each a class in its own file. A new one is added to `STEP_TYPES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatagent_operator.api.rollout import Rollout, Step
from chatagent_operator.core.rollout.context import RolloutStep
from chatagent_operator.core.rollout.steps.analysis import AnalysisStep
from chatagent_operator.core.rollout.steps.pause import PauseStep
from chatagent_operator.core.rollout.steps.set_weight import SetWeightStep

STEP_TYPES: dict[str, Callable[[Any], RolloutStep]] = {
    SetWeightStep.field: SetWeightStep,
    PauseStep.field: PauseStep,
    AnalysisStep.field: AnalysisStep,
}
"""Each type by the name of its field in `api.rollout.Step`."""


class UnknownStepError(Exception):
    """A step has a type that this operator does not support."""


def create_step(step: Step) -> RolloutStep:
    """Create the step that the spec describes.

    Raises:
        UnknownStepError: no type of that name is registered.
    """
    create = STEP_TYPES.get(step.type)
    if create is None:
        known = ", ".join(Step.model_fields[name].alias or name for name in STEP_TYPES)
        raise UnknownStepError(
            f"spec.rollout.steps: the step type {step.type!r} is unknown to this operator; "
            f"use one of {known}, or an operator that supports it"
        )
    return create(getattr(step, step.type))


def create_steps(settings: Rollout, replicas: int) -> tuple[RolloutStep, ...]:
    """Create the steps of a rollout before its promotion."""
    return tuple(create_step(step) for step in list_steps(settings, replicas))


def list_steps(settings: Rollout, replicas: int) -> tuple[Step, ...]:
    """List the steps of a rollout as the spec describes them, for each strategy."""
    match settings.strategy:
        case "canary":
            return settings.effective_steps()
        case "rolling":
            shares = dict.fromkeys(100 * n // replicas for n in range(1, replicas))
            return tuple(Step(set_weight=share) for share in shares if share)
        case "blueGreen" | "recreate":
            return ()
