"""Steps of a person's own: from YAML to an object, and back."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Literal, NamedTuple, cast

from pydantic import BaseModel

from agent_runtime.config import CustomStepConfig
from agent_runtime.domain import Step
from agent_runtime.errors import InvalidConfigError

After = Literal["dialogue", "retrieval", "tools", "llm"]


class OwnStep(NamedTuple):
    """A step and the one that it follows."""

    after: After
    step: Step


def load(config: CustomStepConfig) -> OwnStep:
    """Make a step. Raises InvalidConfigError, which says what is wrong with it."""
    module, _, name = config.python.partition(":")
    try:
        made = importlib.import_module(module)
        for part in name.split("."):
            made = getattr(made, part)
        step = cast(Any, made)(**config.parameters)
    except Exception as error:  # whatever the class itself raises
        raise InvalidConfigError(
            f"pipeline.steps: {config.python!r} cannot be made: {type(error).__name__}: {error}"
        ) from error
    if not callable(step):
        raise InvalidConfigError(f"pipeline.steps: {config.python!r} cannot be called")
    return OwnStep(config.after, cast(Step, step))


def describe(own: OwnStep) -> CustomStepConfig:
    """Return the configuration that makes a step. Raises InvalidConfigError where none does."""
    kind = type(own.step)
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise InvalidConfigError(
            f"the step {kind.__qualname__} cannot be named in YAML: its class has to stand in a "
            "module that can be imported"
        )
    return CustomStepConfig(
        python=f"{kind.__module__}:{kind.__qualname__}",
        after=own.after,
        parameters=_parameters(own.step),
    )


def _parameters(step: Step) -> dict[str, Any]:
    if isinstance(step, BaseModel):
        return step.model_dump(mode="json", exclude_unset=True)
    if dataclasses.is_dataclass(step):
        return {
            field.name: getattr(step, field.name)
            for field in dataclasses.fields(step)
            if field.init
        }
    return {}
