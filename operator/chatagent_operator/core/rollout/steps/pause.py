"""`pause`: wait for approval, or for a duration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chatagent_operator.api.rollout import Pause, seconds
from chatagent_operator.core.rollout.context import RolloutContext, RolloutStep, StepResult
from chatagent_operator.core.rollout.decision import Waiting
from chatagent_operator.core.rollout.times import elapsed


@dataclass(frozen=True)
class PauseStep(RolloutStep):
    """A step that succeeds once its duration has expired; without a duration, only by a command."""

    value: Pause
    field: ClassVar[str] = "pause"
    waits_for_approval: ClassVar[bool] = True

    @property
    def text(self) -> str:
        """A short description of the step."""
        return f"pause {self.value.duration or 'until resumed'}"

    def run(self, context: RolloutContext) -> StepResult:
        """Wait for the rest of the duration, or for approval."""
        rollout, duration = context.rollout, self.value.duration
        number = (rollout.step or 0) + 1
        if duration is None:
            message = f"step {number} waits for approval; use `promote` or `abort`"
            return context, Waiting("PausedAtStep", message, is_paused=True)
        left = seconds(duration) - elapsed(rollout.step_started_at or "", context.seen.now)
        if left <= 0:
            return context, None
        message = f"step {number} pauses for {duration}"
        return context, Waiting("PausedAtStep", message, is_paused=True, due=left)
