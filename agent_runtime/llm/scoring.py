"""How well a stretch of text answers a question, and how sure it is that any does. Pure.

Two linear models of a handful of numbers each, fitted by bench/fit_extractive.py to the dev half of
the quickstart's questions and to more that tell only whether there is an answer. MATCH ranks
stretches against each other; CONFIDENCE, asked about the best of them only, decides between an
answer and a refusal: the best of a bad lot is no answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_runtime.domain import Evidence, Vector
from agent_runtime.llm.amounts import asked
from agent_runtime.llm.quotes import Taken
from agent_runtime.text.terms import Unit

MATCH = {
    "covered": 6.1,  # share of the question that the stretch holds, or what stands above it
    "cosine": 3.0,  # with the question, where the model reads its language
    "kind": 1.6,  # 1: holds a kind of amount asked for; -1: does not; 0: none was asked for
    "rank": 2.4,  # 1 for the first passage of the retrieval, 1/2 for the second, …
}
CONFIDENCE = {
    "match": 2.3,  # of the best stretch, by MATCH, of STRONG
    "held": 2.3,  # words that the stretch among the best which covers most holds, of LONG
    "found": 2.8,  # words that the passage which holds most holds, of LONG
    "lacking": -2.8,  # share of the question that the covering stretch's passage lacks
    "scattered": -2.0,  # 0: all passages are of one document; 1: each of another
    "divided": -0.9,  # documents that the best stretches are of, of BEST
    "length": 2.4,  # words of the question, of LONG: a long one is never held as a whole
    "cosine": 1.7,  # of the first passage with the question
    "semantic": -0.6,  # whether there are cosines
    "bias": -1.6,
}
STRONG = 10
LONG = 8
BEST = 3
"""How many of the best stretches are looked at for CONFIDENCE."""

_MATCH = np.array(list(MATCH.values()), np.float32)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question taken apart."""

    units: tuple[Unit, ...]
    shares: NDArray[np.float32]
    """What each unit weighs, of 1. Shape [units]."""
    vector: Vector
    semantic: bool
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Views:
    """What is known of a passage's stretches, with the question in view."""

    table: NDArray[np.float32]
    """Shape [quotes, MATCH]."""
    held: float
    """Share of the question that the whole passage holds."""
    cosine: float
    """Of the whole passage, 0 where it means nothing."""

    def covered(self, at: int) -> float:
        """Return the share of the question that a stretch holds with what stands above it."""
        return float(self.table[at, 0])


def ask(evidence: Evidence, units: Sequence[Unit]) -> Asked:
    """Weigh a question's units: each by its own worth and its rarest use among its synonyms."""
    weights = [unit.worth * _weight(unit, evidence.weights) for unit in units]
    total = sum(weights)
    shares = np.array([each / total if total else 0.0 for each in weights], np.float32)
    kinds = asked(evidence.question)
    return Asked(tuple(units), shares, evidence.vector, evidence.semantic, kinds)


def _weight(unit: Unit, weights: Mapping[str, float]) -> float:
    # A word is as common as all that mean the same: "couch" is not rare where sofas are sold.
    return min((weights.get(term, 0.0) for term in unit.concepts or unit.words), default=0.0)


def views(taken: Taken, question: Asked, rank: int) -> Views:
    """Compare a passage with the question; `rank` counts from 0."""
    whole = np.array([taken.whole.holds(unit) for unit in question.units], np.float32)
    # What the passage lacks, none of its stretches holds.
    there = np.flatnonzero(whole)
    units, shares = [question.units[at] for at in there], question.shares[there]
    above: dict[int, NDArray[np.float32]] = {}
    table = np.zeros((len(taken.quotes), len(MATCH)), np.float32)
    for row, quote in zip(table, taken.quotes, strict=True):
        here = np.array([quote.words.holds(unit) for unit in units], np.float32)
        if (over := above.get(id(quote.above))) is None:
            over = np.array([quote.above.holds(unit) for unit in units], np.float32)
            above[id(quote.above)] = over
        row[0] = np.maximum(here, over) @ shares
        if question.kinds:
            row[2] = -1 if question.kinds.isdisjoint(quote.amounts) else 1
    cosine = 0.0
    if question.semantic:
        table[:, 1] = np.maximum(taken.vectors @ question.vector, 0)
        cosine = max(float(taken.mean @ question.vector), 0.0)
    table[:, 3] = 1 / (1 + rank)
    return Views(table, float(whole @ question.shares), cosine)


def ranked(seen: Sequence[Views]) -> list[tuple[float, int, int]]:
    """Return all stretches, best first: a number of which only differences mean anything, which
    passage, which of its stretches."""
    found = [
        (score, rank, at)
        for rank, each in enumerate(seen)
        for at, score in enumerate((each.table @ _MATCH).tolist())
    ]
    return sorted(found, key=lambda each: (-each[0], each[1], each[2]))


def sureness(
    question: Asked,
    taken: Sequence[Taken],
    seen: Sequence[Views],
    best: Sequence[tuple[float, int, int]],
) -> list[float]:
    """Return the numbers that CONFIDENCE weighs.

    Args:
        question: the question.
        taken: the passages.
        seen: the same with the question in view.
        best: what `ranked` makes of them, at least one.
    """
    looked_at = best[:BEST]
    covered, covering = max((seen[rank].covered(at), rank) for _, rank, at in looked_at)
    length = min(len(question.units), LONG) / LONG
    return [
        best[0][0] / STRONG,
        covered * length,
        max(each.held for each in seen) * length,
        1 - seen[covering].held,
        (_documents(taken) - 1) / max(1, len(taken) - 1),
        _documents(taken[rank] for _, rank, _ in looked_at) / BEST,
        length,
        seen[0].cosine,
        float(question.semantic),
        1.0,
    ]


def _documents(taken: Iterable[Taken]) -> int:
    return len({(each.chunk.key.source, each.chunk.key.path) for each in taken})


def confidence(numbers: Sequence[float]) -> float:
    """Return how sure it is that the best stretches answer the question, 0 to 1."""
    total = sum(a * b for a, b in zip(CONFIDENCE.values(), numbers, strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))
