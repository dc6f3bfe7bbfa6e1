"""How well a stretch of text answers a question, and how sure it is that any does. Pure.

Two linear models of a handful of numbers each, fitted by bench/fit_extractive.py to the dev half of
the quickstart's questions and to more that tell only whether there is an answer. MATCH ranks
stretches against each other; CONFIDENCE, asked about the best of them only, decides between an
answer and a refusal: the best of a bad lot is no answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_runtime.domain import Evidence, Vector
from agent_runtime.llm.amounts import asked
from agent_runtime.llm.quotes import Taken
from agent_runtime.text.terms import Unit

MATCH = {
    "here": 5.7,  # share of the question's weight that the stretch holds
    "above": 2.8,  # what its title, headings and table header hold besides
    "cosine": 2.0,  # with the question, where the model reads its language
    "kind": 1.5,  # 1: holds the kind of amount asked for; -1: does not; 0: none was asked for
    "rank": 2.9,  # 1 for the first passage of the retrieval, 1/2 for the second, …
}
CONFIDENCE = {
    "match": 2.8,  # of the best stretch, by MATCH, of STRONG
    "covered": 3.7,  # here and above of the stretch among the best that holds most
    "missing": -2.9,  # greatest share of one word that its whole passage lacks
    "scattered": -1.8,  # 0: all passages are of one document; 1: each of another
    "length": 3.4,  # words of the question, of LONG: a long one is never held as a whole
    "cosine": 1.4,  # greatest of a passage with the question
    "semantic": -0.8,  # whether there are cosines
    "bias": -3.9,
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
    missing: float
    cosine: float
    """Of the whole passage, 0 where it means nothing."""

    def covered(self, at: int) -> float:
        """Return the share of the question that a stretch holds with what stands above it."""
        return float(self.table[at, 0] + self.table[at, 1])


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
        row[0] = here @ shares
        row[1] = np.maximum(over - here, 0) @ shares
        if question.kinds:
            row[3] = -1 if question.kinds.isdisjoint(quote.amounts) else 1
    cosine = 0.0
    if question.semantic:
        table[:, 2] = np.maximum(taken.vectors @ question.vector, 0)
        cosine = max(float(taken.mean @ question.vector), 0.0)
    table[:, 4] = 1 / (1 + rank)
    return Views(table, float((question.shares * (1 - whole)).max(initial=0)), cosine)


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
    covered, missing = max(
        (seen[rank].covered(at), seen[rank].missing) for _, rank, at in looked_at
    )
    documents = {(each.chunk.key.source, each.chunk.key.path) for each in taken}
    return [
        best[0][0] / STRONG,
        covered,
        missing,
        (len(documents) - 1) / max(1, len(taken) - 1),
        min(len(question.units), LONG) / LONG,
        max(each.cosine for each in seen),
        float(question.semantic),
        1.0,
    ]


def confidence(numbers: Sequence[float]) -> float:
    """Return how sure it is that the best stretches answer the question, 0 to 1."""
    total = sum(a * b for a, b in zip(CONFIDENCE.values(), numbers, strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))
