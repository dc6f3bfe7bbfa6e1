"""How good a new revision's answers are beside the stable one's, from what a Job has counted. Pure.

The rule is one that a person can check with the counts in the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chatagent_operator.api.rollout import Evaluation
from chatagent_operator.api.status import QualityShares

NOISE = 2.71
"""Least of McNemar's statistic, (lost - gained)² / (lost + gained), that is no accident: one
comparison in twenty of two equally good revisions exceeds it. The 90th percentile of chi-squared
with one degree of freedom, as only one of both sides counts."""

Verdict = Literal["Passed", "Failed"]
_Count = Annotated[int, Field(ge=0)]


class _Read(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="ignore")


class Counts(_Read):
    """What both revisions got right of one measure."""

    new: _Count
    new_of: _Count
    baseline: _Count
    baseline_of: _Count
    compared: _Count
    """Of what both were asked and replied to."""
    lost: _Count
    """Right at the stable revision, wrong at the new one."""
    gained: _Count


class Measures(_Read):
    """All measures."""

    retrieval_hits: Counts
    groundedness: Counts
    facts: Counts
    refusals: Counts


class Failed(_Read):
    """Questions without a reply."""

    new: _Count
    baseline: _Count


class Worse(_Read):
    """A question that the new revision is worse at."""

    id: str
    lost: list[str]


class Summary(_Read):
    """The Job's termination message."""

    questions: Annotated[int, Field(ge=1)]
    measures: Measures
    failed: Failed
    error: str | None = None
    """What the new revision said most often in place of a reply."""
    worse: list[Worse] = []


def judge(measures: Measures, limits: Evaluation) -> tuple[Verdict, str]:
    """Whether the new revision is good enough, and why, with the counts.

    It is not where a share is under its `min`, or where both hold: it lost, less what it gained,
    more than `maxDecrease` of what was compared; and that is no accident, by McNemar's test or
    because nothing of two or more is right any more.
    """
    found = [
        (label, counts, _fault(counts, minimum, limits.max_decrease))
        for label, counts, minimum in (
            ("retrieval hits", measures.retrieval_hits, limits.min.retrieval_hits),
            ("groundedness", measures.groundedness, limits.min.groundedness),
            ("facts", measures.facts, limits.min.facts),
            ("refusals", measures.refusals, limits.min.refusals),
        )
    ]
    faults = [f"{label} {_said(counts)}: {fault}" for label, counts, fault in found if fault]
    if faults:
        return "Failed", "; ".join(faults)
    if not any(counts.compared for _, counts, _ in found):
        return "Failed", "nothing could be compared: neither revision shows what it is asked for"
    return "Passed", ", ".join(
        f"{label} {_said(counts)}" for label, counts, _ in found if counts.new_of
    )


def _fault(counts: Counts, minimum: float | None, max_decrease: float) -> str | None:
    reached = _share(counts.new, counts.new_of)
    if minimum is not None and (reached is None or reached < minimum):
        return f"less than min {minimum:g}"
    if counts.baseline_of and not counts.new_of:
        return "the new revision does not show it, so that it cannot be compared"
    lost = counts.lost - counts.gained
    if lost <= max_decrease * counts.compared + 1e-9:
        return None
    proved = lost * lost > NOISE * (counts.lost + counts.gained)
    if not proved and not (counts.new == 0 and counts.lost >= 2):
        return None
    return (
        f"lost {counts.lost} and gained {counts.gained} of {counts.compared}, "
        f"more than maxDecrease {max_decrease:g}"
    )


def _said(counts: Counts) -> str:
    new = _share(counts.new, counts.new_of)
    stable = _share(counts.baseline, counts.baseline_of)
    said = "not seen" if new is None else f"{new:.3g}"
    return f"{said} (stable revision {stable:.3g})" if stable is not None else said


def shares(measures: Measures) -> tuple[QualityShares, QualityShares]:
    """Those of the new and of the stable revision."""
    return (
        _shares(measures, lambda counts: _share(counts.new, counts.new_of)),
        _shares(measures, lambda counts: _share(counts.baseline, counts.baseline_of)),
    )


def _shares(measures: Measures, share: Callable[[Counts], float | None]) -> QualityShares:
    return QualityShares(
        retrieval_hits=share(measures.retrieval_hits),
        groundedness=share(measures.groundedness),
        facts=share(measures.facts),
        refusals=share(measures.refusals),
    )


def _share(right: int, all_: int) -> float | None:
    return right / all_ if all_ else None
