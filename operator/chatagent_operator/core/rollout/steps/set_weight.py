"""`setWeight`: send a share of the new conversations to the canary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chatagent_operator.core.rollout.context import RolloutContext, RolloutStep, StepResult
from chatagent_operator.core.rollout.pods import (
    approve_weight,
    wait_for_gateway,
    wait_for_pods,
    wait_for_weight,
)


@dataclass(frozen=True)
class SetWeightStep(RolloutStep):
    """A step that succeeds once the gateway has applied the weight."""

    value: int
    field: ClassVar[str] = "set_weight"
    skip_refusal: ClassVar[str | None] = (
        "the weight of this step is not applied yet; wait until it is, use `abort`, or use "
        "`promote --full` to skip all remaining steps"
    )

    @property
    def weight(self) -> int:
        """The weight that it approves."""
        return self.value

    @property
    def text(self) -> str:
        """A short description of the step."""
        return f"setWeight {self.value}%"

    def run(self, context: RolloutContext) -> StepResult:
        """Approve the weight once the canary can take it, then wait until it is applied."""
        if context.rollout.approved_weight >= self.value:
            waiting = None if context.seen.is_gateway_current else wait_for_weight(self.value)
            return context, waiting
        for wait in (wait_for_pods, wait_for_gateway):
            context, waiting = wait(context)
            if waiting:
                return context, waiting
        return approve_weight(context, self.value), wait_for_weight(self.value)
