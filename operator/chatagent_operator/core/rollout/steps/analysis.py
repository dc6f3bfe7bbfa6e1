"""`analysis`: wait until enough measurements have succeeded.

A failed measurement rolls the canary back at any step, see `limits`. Too many inconclusive ones
pause the rollout here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chatagent_operator.api import rollout as api
from chatagent_operator.api.status import AnalysisStatus
from chatagent_operator.core.judging.analysis import summarize
from chatagent_operator.core.rollout.context import RolloutContext, RolloutStep, StepResult
from chatagent_operator.core.rollout.decision import Waiting


@dataclass(frozen=True)
class AnalysisStep(RolloutStep):
    """A step that succeeds once enough measurements have, or if the canary has no weight."""

    value: api.AnalysisStep
    field: ClassVar[str] = "analysis"
    counts_measurements: ClassVar[bool] = True

    @property
    def text(self) -> str:
        """A short description of the step."""
        return f"analysis, {self.value.count} measurements" if self.value.count else "analysis"

    def run(self, context: RolloutContext) -> StepResult:
        """Compare the counts of measurements with the limits."""
        found, settings = context.status.analysis, context.settings.analysis
        needed = self.value.count or settings.count
        if found.succeeded >= needed or not context.rollout.approved_weight:
            # Without a weight there are no conversations to measure. A pause for inconclusive
            # measurements ends once enough later ones have succeeded.
            return context.update_rollout(paused=None), None
        if context.rollout.paused == "Inconclusive":
            return context, _too_many_inconclusive(found, needed)
        if found.inconclusive > settings.inconclusive_limit:
            waiting = _too_many_inconclusive(found, needed)
            context = context.update_rollout(paused="Inconclusive")
            return context.add_event("Warning", "Inconclusive", waiting.message), waiting
        message = f"{found.succeeded} of {needed} measurements succeeded"
        if found.metrics and found.verdict != "Succeeded":
            message += f"; the last one did not: {_explain(found)}"
        return context, Waiting("Analysing", message)


def _too_many_inconclusive(found: AnalysisStatus, needed: int) -> Waiting:
    why = _explain(found)
    message = (
        f"too many measurements were inconclusive{f': {why}' if why else ''}; the rollout "
        f"continues once {needed} succeed; use `promote` to continue without them"
    )
    return Waiting("Inconclusive", message, is_paused=True)


def _explain(analysis: AnalysisStatus) -> str:
    """Return why the last measurement did not succeed."""
    if analysis.verdict == "Succeeded":
        return ""
    return summarize(analysis.metrics, analysis.verdict)
