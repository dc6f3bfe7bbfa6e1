"""Two agents' replies to the same questions, side by side: what one of them lost or gained. Pure.

It only counts. Whether a difference is too much is for whoever reads the summary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_runtime.evaluation.judging import Judged, holds

Marks = tuple[bool, ...] | None
"""What is right and wrong of a reply, in a fixed order. None: it cannot be seen."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What became of a question at both agents."""

    new: Judged
    baseline: Judged
    marks: Mapping[str, tuple[Marks, Marks]]
    """By measure, those of the new agent and of the baseline."""

    def lost(self) -> list[str]:
        """Measures in which the new agent is worse."""
        return [name for name in self.marks if self._net(name) < 0]

    def gained(self) -> list[str]:
        """Measures in which it is better."""
        return [name for name in self.marks if self._net(name) > 0]

    def _net(self, name: str) -> int:
        new, baseline = self.marks[name]
        return 0 if new is None or baseline is None else sum(new) - sum(baseline)


def pair(new: Sequence[Judged], baseline: Sequence[Judged]) -> list[Pair]:
    """Put replies to the same questions, in the same order, side by side.

    A question without a reply is wrong at the new agent, and is not compared where the baseline
    has none: it must not look worse than it is.
    """
    shown = any(each.hit is not None for each in new)
    return [
        Pair(
            ours,
            theirs,
            {
                name: (read(ours, shown), None if theirs.error else read(theirs, True))
                for name, read in MEASURES.items()
            },
        )
        for ours, theirs in zip(new, baseline, strict=True)
    ]


def summary(pairs: Sequence[Pair]) -> dict[str, object]:
    """Return the counts, and which questions the new agent is worse at, the worst first.

    By measure: `new` right of `newOf`, `baseline` right of `baselineOf`, and of what both were
    asked, how much was `lost` (right before, wrong now) and `gained`.
    """
    errors = [each.new.error for each in pairs if each.new.error]
    baselines = [each.baseline.error for each in pairs if each.baseline.error]
    return {
        "questions": len(pairs),
        "measures": {name: _counts(name, pairs) for name in MEASURES},
        "failed": {"new": len(errors), "baseline": len(baselines)},
        "error": max(errors, key=errors.count)[:300] if errors else None,
        "worse": [
            {"id": each.new.question.id[:80], "lost": each.lost()}
            for each in worst_first(pairs)
            if each.lost()
        ],
    }


def worst_first(pairs: Sequence[Pair]) -> list[Pair]:
    """Return those that lost most first, then those that gained, then the rest as they were."""
    return sorted(pairs, key=lambda each: (-len(each.lost()), -len(each.gained())))


def lines(pairs: Sequence[Pair]) -> Iterator[dict[str, object]]:
    """Give an object for each question, the worst first, with both replies."""
    for each in worst_first(pairs):
        question = each.new.question
        yield {
            "id": question.id,
            "kind": question.kind,
            "question": question.question,
            "source": list(question.sources) or None,
            "facts": list(question.facts),
            "lost": each.lost(),
            "gained": each.gained(),
            "new": _shown(each.new, {name: marks[0] for name, marks in each.marks.items()}),
            "baseline": _shown(
                each.baseline, {name: marks[1] for name, marks in each.marks.items()}
            ),
        }


def _hit(judged: Judged, shown: bool) -> Marks:
    if judged.error:
        # What a follow-up was searched for is never seen.
        seen = shown and judged.question.sources and not judged.question.history
        return (False,) if seen else None
    return None if judged.hit is None else (judged.hit,)


def _cited(judged: Judged, shown: bool) -> Marks:
    return None if judged.cited is None else (judged.cited,)


def _facts(judged: Judged, shown: bool) -> Marks:
    return tuple(holds(judged.text, fact) for fact in judged.question.facts) or None


def _refused(judged: Judged, shown: bool) -> Marks:
    return None if judged.refused is None else (judged.refused,)


MEASURES: Mapping[str, Callable[[Judged, bool], Marks]] = {
    "retrievalHits": _hit,
    "groundedness": _cited,
    "facts": _facts,
    "refusals": _refused,
}


def _counts(name: str, pairs: Sequence[Pair]) -> dict[str, int]:
    marks = [each.marks[name] for each in pairs]
    new = [mark for ours, _ in marks for mark in ours or ()]
    baseline = [mark for _, theirs in marks for mark in theirs or ()]
    both = [
        mark
        for ours, theirs in marks
        if ours is not None and theirs is not None
        for mark in zip(ours, theirs, strict=True)
    ]
    return {
        "new": sum(new),
        "newOf": len(new),
        "baseline": sum(baseline),
        "baselineOf": len(baseline),
        "compared": len(both),
        "lost": both.count((False, True)),
        "gained": both.count((True, False)),
    }


def _shown(judged: Judged, marks: Mapping[str, Marks]) -> dict[str, object]:
    reply: dict[str, object] = {"error": judged.error} if judged.error else {"reply": judged.text}
    seen: dict[str, object] = {
        name: (list(mark) if name == "facts" else all(mark))
        for name, mark in marks.items()
        if mark is not None
    }
    return reply | {"seconds": round(judged.seconds, 3)} | seen
