"""How well a stretch of text answers a question, and how sure it is that any does. Pure.

Two linear models of a handful of numbers each, fitted to the dev half of the quickstart's questions
by bench/fit_extractive.py. MATCH ranks stretches against each other; CONFIDENCE, asked about the
best of them only, decides between an answer and a refusal: the best of a bad lot is no answer.
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
    "here": 5.9,  # share of the question's weight that the stretch holds
    "above": 2.6,  # what its title, headings and table header hold besides
    "cosine": 1.9,  # with the question, where the model reads its language
    "kind": 1.5,  # 1: holds the kind of amount asked for; -1: does not; 0: none was asked for
    "rank": 3.0,  # 1 for the first passage of the retrieval, 1/2 for the second, …
}
CONFIDENCE = {
    "covered": 4.8,  # here and above of the stretch among the best that holds most
    "missing": -2.7,  # greatest share of one word that its whole passage lacks
    "unlike": -2.1,  # 1 where an amount was asked for and the best stretch holds none of its kind
    "scattered": -2.4,  # 0: all passages are of one document; 1: each of another
    "length": 3.3,  # words of the question, of LONG: a long one is never held as a whole
    "cosine": 1.5,  # greatest of a passage with the question
    "semantic": -0.8,  # whether there are cosines
    "bias": -2.3,
}
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
    units, shares = question.units, question.shares
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
    whole = np.array([taken.whole.holds(unit) for unit in units], np.float32)
    return Views(table, float((shares * (1 - whole)).max(initial=0)), cosine)


def match(seen: Views) -> list[float]:
    """Return a number for each stretch, the greater the better; only differences mean anything."""
    return (seen.table @ _MATCH).tolist()


def sureness(
    question: Asked, seen: Sequence[Views], best: Sequence[tuple[int, int]], scattered: float
) -> list[float]:
    """Return the numbers that CONFIDENCE weighs.

    Args:
        question: the question.
        seen: the passages.
        best: the best stretches, best first: which passage, and which of its stretches.
        scattered: 0 where all passages are of one document, 1 where each is of another.
    """
    looked_at = best[:BEST]
    covered, missing = max((seen[rank].covered(at), seen[rank].missing) for rank, at in looked_at)
    rank, at = best[0]
    return [
        covered,
        missing,
        float(seen[rank].table[at, 3] < 0),
        scattered,
        min(len(question.units), LONG) / LONG,
        max(each.cosine for each in seen),
        float(question.semantic),
        1.0,
    ]


def confidence(numbers: Sequence[float]) -> float:
    """Return how sure it is that the best stretches answer the question, 0 to 1."""
    total = sum(a * b for a, b in zip(CONFIDENCE.values(), numbers, strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))
