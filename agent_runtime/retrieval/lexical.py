"""Lexical search in memory with BM25 (bm25s), over terms of both languages.

Built once from all chunks and never changed: a new version of the collection gets a new index.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import bm25s
import numpy as np
from numpy.typing import NDArray

from agent_runtime.text.terms import Analyzer, is_han

CUT = 0.6
"""What a character or a pair of them counts against a whole Chinese word."""


class LexicalIndex:
    """BM25 (Lucene's variant, k1 1.5, b 0.75) over one text for each id."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._ids = list(texts)
        self._analyzer = Analyzer()
        # A question is taken apart once, for the search and for its weights.
        self._units = lru_cache(16)(self._analyzer.units)
        terms = [self._analyzer.terms(text) for text in texts.values()]
        self._frequencies = Counter(term for found in terms for term in set(found))
        bm25 = bm25s.BM25(method="lucene")
        if self._frequencies:
            bm25.index(terms, show_progress=False)
        matrix = cast(Mapping[str, NDArray[Any]], bm25.scores if self._frequencies else _EMPTY)
        starts: list[int] = matrix["indptr"].tolist()
        self._rows: NDArray[np.int32] = matrix["indices"]
        """Chunks that hold a term, one term's after the other's."""
        self._values: NDArray[np.float32] = matrix["data"]
        """How much the term counts in each."""
        self._parts = {
            term: slice(starts[column], starts[column + 1])
            for term in self._frequencies
            for column in (bm25.vocab_dict[term],)
        }

    def terms(self, question: str) -> dict[str, float]:
        """Return the terms of a question, each with what it counts: cuts of words count less."""
        words = {word for unit in self._units(question) for word in unit.words}
        return {
            term: CUT if is_han(term) and term not in words else 1.0
            for term in self._analyzer.terms(question)
        }

    def weights(self, question: str) -> dict[str, float]:
        """Return the inverse document frequency of the question's words and concepts, greatest
        for what occurs nowhere."""
        units = self._units(question)
        terms = dict.fromkeys(term for unit in units for term in (*unit.words, *unit.concepts))
        total = len(self._ids)
        return {
            term: math.log(1 + (total - (n := self._frequencies[term]) + 0.5) / (n + 0.5))
            for term in terms
        }

    def search(self, terms: Mapping[str, float], limit: int) -> list[str]:
        """Return ids of chunks that hold any of the terms, best first."""
        found = [(p, weight) for term, weight in terms.items() if (p := self._parts.get(term))]
        if not found:
            return []
        # Summed in one call: a call for each term takes three times as long.
        rows = np.concatenate([self._rows[part] for part, _ in found])
        values = np.concatenate([self._values[part] for part, _ in found])
        lengths = [part.stop - part.start for part, _ in found]
        values *= np.repeat(np.array([weight for _, weight in found], np.float32), lengths)
        scores: NDArray[np.float64] = np.bincount(rows, values, len(self._ids))  # pyright: ignore[reportAssignmentType]
        return [self._ids[row] for row in _best(scores, limit).tolist()]


_EMPTY = {"indptr": np.zeros(1), "indices": np.zeros(0, np.int32), "data": np.zeros(0, np.float32)}


def _best(scores: NDArray[np.float64], limit: int) -> NDArray[np.intp]:
    """Return the rows with the highest scores above 0, best first, of equals the first ones.

    Sorting all of them would take milliseconds where there are tens of thousands.
    """
    rows = np.flatnonzero(scores)
    if len(rows) > limit:
        found = scores[rows]
        rows = rows[found >= np.partition(found, -limit)[-limit]]
    return rows[np.argsort(-scores[rows], kind="stable")][:limit]
