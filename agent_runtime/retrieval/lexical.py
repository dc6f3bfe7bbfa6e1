"""Lexical search in memory with BM25 (bm25s), over terms of both languages.

Built once from all chunks and never changed: a new version of the collection gets a new index.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import bm25s
import numpy as np

from agent_runtime.text.terms import Analyzer


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

    def terms(self, text: str) -> list[str]:
        """Return the terms of a question, each once, in order."""
        return list(dict.fromkeys(self._analyzer.terms(text)))

    def weights(self, question: str) -> dict[str, float]:
        """Return the inverse document frequency of each word, greatest where it occurs nowhere."""
        total = len(self._ids)
        return {
            word: math.log(1 + (total - (n := self._frequencies[word]) + 0.5) / (n + 0.5))
            for word in self._analyzer.words(question)
        }

    def search(self, terms: Sequence[str], limit: int) -> list[str]:
        """Return ids of chunks that hold any of the terms, best first."""
        known = [term for term in terms if term in self._frequencies]
        if not known:
            return []
        scores = self._bm25.get_scores(known)
        best = np.argsort(-scores, kind="stable")[:limit]
        return [self._ids[row] for row in best if scores[row] > 0]
