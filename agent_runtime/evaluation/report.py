"""Figures over judged questions: by language, kind, split and tag; as Markdown, as JSON, against
bounds. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from agent_runtime.errors import InvalidConfigError
from agent_runtime.evaluation.judging import Judged

MEASURES = {
    "hit5": "hit@5",
    "mrr": "MRR",
    "cited": "cited right",
    "facts": "facts",
    "grounded": "grounded",
    "refused": "refused",
    "injected": "injected",
    "p50": "p50 ms",
    "p95": "p95 ms",
}
AT_MOST = frozenset({"injected", "failed", "p50", "p95"})
"""Measures of which less is better."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares from 0 to 1, None where no question of the group has one; times in milliseconds."""

    questions: int
    failed: int
    hit5: float | None
    mrr: float | None
    cited: float | None
    facts: float | None
    grounded: float | None
    refused: float | None
    injected: int
    """Replies that hold a forbidden string."""
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of each group, `all` first, and what went wrong."""

    groups: Mapping[str, Figures]
    wrong: Sequence[Judged]

    @property
    def all(self) -> Figures:
        return self.groups["all"]


def summarize(judged: Sequence[Judged]) -> Report:
    """Summarize at least one judged question."""
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        question = each.question
        for group in (
            "all",
            question.lang,
            question.kind,
            question.split,
            f"{question.split} {question.lang}",
            # A tag may have the name of a kind.
            *(f"tag {tag}" for tag in dict.fromkeys(question.tags)),
        ):
            groups[group].append(each)
    order = sorted(
        groups, key=lambda name: (name != "all", name.startswith("tag "), len(name.split()), name)
    )
    return Report(
        {name: _figures(groups[name]) for name in order}, [each for each in judged if _wrong(each)]
    )


def as_markdown(report: Report) -> str:
    """Return a table with a row for each group, and the questions that went wrong."""
    head = ["", "questions", *MEASURES.values()]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for name, figures in report.groups.items():
        cells = [_cell(each, getattr(figures, each)) for each in MEASURES]
        lines.append(f"| {name} | {figures.questions} | {' | '.join(cells)} |")
    if report.wrong:
        lines += ["", "Wrong:", ""]
    lines += [
        f"- {each.question.id}: {each.question.question} ({_why(each)})" for each in report.wrong
    ]
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "groups": {name: asdict(figures) for name, figures in report.groups.items()},
        "wrong": [
            {"id": each.question.id, "question": each.question.question, "why": _why(each)}
            for each in report.wrong
        ],
    }


def bounds(given: Iterable[str]) -> dict[str, float]:
    """Read bounds such as `cited=0.9`. Raises InvalidConfigError."""
    found: dict[str, float] = {}
    for each in given:
        name, _, number = each.partition("=")
        if name not in MEASURES and name != "failed":
            known = ", ".join([*MEASURES, "failed"])
            raise InvalidConfigError(f"--fail-under {each!r}: {name!r} is none of {known}")
        try:
            found[name] = float(number)
        except ValueError:
            raise InvalidConfigError(f"--fail-under {each!r}: NAME=NUMBER is needed") from None
        if not math.isfinite(found[name]):
            raise InvalidConfigError(f"--fail-under {each!r}: a finite number is needed")
    return found


def shortfalls(report: Report, wanted: Mapping[str, float]) -> list[str]:
    """Say which bounds are missed, over all questions; a measure that nobody has is missed."""
    missed: list[str] = []
    for name, bound in wanted.items():
        reached = getattr(report.all, name)
        good = reached is not None and (reached <= bound if name in AT_MOST else reached >= bound)
        if not good:
            side = "at most" if name in AT_MOST else "at least"
            missed.append(f"{name}: {_cell(name, reached)}, wanted {side} {bound:g}")
    return missed


def _figures(judged: Sequence[Judged]) -> Figures:
    citations = sum(each.citations for each in judged)
    times = sorted(each.seconds * 1000 for each in judged)
    return Figures(
        questions=len(judged),
        failed=sum(each.error is not None for each in judged),
        hit5=_mean(each.hit for each in judged),
        mrr=_mean(each.reciprocal_rank for each in judged),
        cited=_mean(each.cited for each in judged),
        facts=_mean(each.facts for each in judged),
        grounded=sum(each.grounded for each in judged) / citations if citations else None,
        refused=_mean(each.refused for each in judged),
        injected=sum(each.injected for each in judged),
        p50=_quantile(times, 0.5),
        p95=_quantile(times, 0.95),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that a share of all does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _wrong(each: Judged) -> bool:
    return bool(_why(each))


def _why(each: Judged) -> str:
    reasons = [
        (f"no reply: {each.error}", each.error is not None),
        ("not retrieved", each.hit is False),
        ("right source not cited", each.cited is False and each.error is None),
        ("fact missing", bool(each.cited) and each.facts is False),
        ("answered", each.refused is False and each.error is None),
        ("followed an instruction", each.injected),
        ("quote not word for word", each.grounded < each.citations),
    ]
    return ", ".join(reason for reason, holds in reasons if holds)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name in ("injected", "failed"):
        return str(int(value))
    return f"{value:.0f}" if name in ("p50", "p95") else f"{value:.3f}"
