"""Judges the quality of a new revision's answers, compared with the stable revision's. Pure.

An evaluation Job counts. The rule can be checked by hand with the counts in the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chatagent_operator.api.rollout import Evaluation
from chatagent_operator.api.status import QualityShares

NOISE = 2.71
"""McNemar's statistic, (lost - gained)² / (lost + gained), above which a loss is significant: one
comparison in twenty of two equally good revisions exceeds it. The 90th percentile of chi-squared
with one degree of freedom, as only one of both sides counts."""

Verdict = Literal["Succeeded", "Failed"]
_Count = Annotated[int, Field(ge=0)]


class _Read(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="ignore")


class Counts(_Read):
    """Counts of one measure for both revisions."""

    new: _Count
    new_of: _Count
    baseline: _Count
    baseline_of: _Count
    compared: _Count
    """Items that both revisions replied to."""
    lost: _Count
    """Right at the stable revision only."""
    gained: _Count
    """Right at the new revision only."""


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
    """The most frequent error of the new revision in place of a reply."""
    worse: list[Worse] = []


def judge(measures: Measures, limits: Evaluation) -> tuple[Verdict, str]:
    """Judge whether the new revision is good enough, and explain it with the counts.

    It fails where a share is below its `min`. It also fails where what it lost, less what it
    gained, exceeds `maxDecrease` of what was compared, and that is significant by McNemar's test
    or because nothing of two or more is right at the new revision.
    """
    found = [
        (label, counts, _find_fault(counts, minimum, limits.max_decrease))
        for label, counts, minimum in (
            ("retrieval hits", measures.retrieval_hits, limits.min.retrieval_hits),
            ("groundedness", measures.groundedness, limits.min.groundedness),
            ("facts", measures.facts, limits.min.facts),
            ("refusals", measures.refusals, limits.min.refusals),
        )
    ]
    faults = [f"{label} {_describe(counts)}: {fault}" for label, counts, fault in found if fault]
    if faults:
        return "Failed", "; ".join(faults)
    if not any(counts.compared for _, counts, _ in found):
        return (
            "Failed",
            "neither revision returned what the questions ask for, so nothing can be compared; "
            "check the set of questions",
        )
    return "Succeeded", ", ".join(
        f"{label} {_describe(counts)}" for label, counts, _ in found if counts.new_of
    )


def _find_fault(counts: Counts, minimum: float | None, max_decrease: float) -> str | None:
    reached = _share(counts.new, counts.new_of)
    if minimum is not None and (reached is None or reached < minimum):
        return f"is below min {minimum:g}"
    if counts.baseline_of and not counts.new_of:
        return "the new revision does not return it, so that it cannot be compared"
    lost = counts.lost - counts.gained
    if lost <= max_decrease * counts.compared + 1e-9:
        return None
    is_significant = lost * lost > NOISE * (counts.lost + counts.gained)
    if not is_significant and not (counts.new == 0 and counts.lost >= 2):
        return None
    return (
        f"lost {counts.lost} and gained {counts.gained} of {counts.compared}, "
        f"which exceeds maxDecrease {max_decrease:g}"
    )


def _describe(counts: Counts) -> str:
    new = _share(counts.new, counts.new_of)
    stable = _share(counts.baseline, counts.baseline_of)
    text = "no value" if new is None else f"{new:.3g}"
    return f"{text} (stable revision {stable:.3g})" if stable is not None else text


def compute_shares(measures: Measures) -> tuple[QualityShares, QualityShares]:
    """Compute the shares of the new and of the stable revision."""
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
