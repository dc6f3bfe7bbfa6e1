"""Lexical search in memory with BM25 (bm25s), over terms of both languages.

Built once from all chunks and never changed: a new version of the collection gets a new index.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
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
        terms = [self._analyzer.terms(text) for text in texts.values()]
        self._frequencies = Counter(term for found in terms for term in set(found))
        self._bm25 = bm25s.BM25(method="lucene")
        if self._frequencies:
            self._bm25.index(terms, show_progress=False)

    def terms(self, question: str) -> dict[str, float]:
        """Return the terms of a question, each with what it counts: cuts of words count less."""
        words = {word for unit in self._analyzer.units(question) for word in unit.words}
        return {
            term: CUT if is_han(term) and term not in words else 1.0
            for term in self._analyzer.terms(question)
        }

    def weights(self, question: str) -> dict[str, float]:
        """Return the inverse document frequency of the question's words and concepts, greatest
        for what occurs nowhere."""
        units = self._analyzer.units(question)
        terms = dict.fromkeys(term for unit in units for term in (*unit.words, *unit.concepts))
        total = len(self._ids)
        return {
            term: math.log(1 + (total - (n := self._frequencies[term]) + 0.5) / (n + 0.5))
            for term in terms
        }

    def search(self, terms: Mapping[str, float], limit: int) -> list[str]:
        """Return ids of chunks that hold any of the terms, best first."""
        scores = np.zeros(len(self._ids), np.float32)
        for term, weight in terms.items():
            if term in self._frequencies:
                rows, values = self._column(term)
                scores[rows] += weight * values
        best = np.argsort(-scores, kind="stable")[:limit]
        return [self._ids[row] for row in best if scores[row] > 0]

    def _column(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the chunks that hold a term, and how much it counts in each."""
        matrix = cast(Mapping[str, NDArray[Any]], self._bm25.scores)
        column = self._bm25.vocab_dict[term]
        part = slice(*matrix["indptr"][column : column + 2])
        return matrix["indices"][part], matrix["data"][part]
