"""Citations for what a model wrote: each sentence of the reply with the sentence that bears it out.

A model may name passages ([1]); that is believed only as far as the passage says it. Likeness is
the greater of the cosine (where the embedding model reads the language) and the share of the
sentence's terms that the passage's sentence holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent_runtime.domain import Citation, Evidence, Passage, Span
from agent_runtime.ports import Vectors
from agent_runtime.text.sentences import sentence_spans
from agent_runtime.text.terms import Analyzer

LIKENESS = 0.55
"""Lowest likeness that counts where the model names no passage."""
NAMED = 0.35
"""The same for a passage that the model names."""
_MARK = re.compile(r"\[(\d{1,2})\]")


@dataclass(frozen=True, slots=True)
class _Said:
    """A sentence of the reply."""

    span: Span
    text: str
    named: frozenset[int]
    """Places of the passages that it names, from 0."""


class Attribution:
    """Finds where sentences come from."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._analyzer = Analyzer()

    async def cite(self, reply: str, evidence: Evidence) -> list[Citation]:
        """Return at most one citation for each sentence of a reply, in its order."""
        said = _sentences(reply, len(evidence.passages))
        if not said or not evidence.passages:
            return []
        rows = None
        if evidence.semantic:
            # What was said is compared with sentences of passages, and says what they say.
            rows = await self._vectors.embed([each.text for each in said], "passage")
        found = [
            self._best(each, evidence.passages, None if rows is None else rows[at])
            for at, each in enumerate(said)
        ]
        return [citation for citation in found if citation]

    def _best(
        self, said: _Said, passages: Sequence[Passage], row: np.ndarray | None
    ) -> Citation | None:
        terms = self._terms(said.text)
        best: Citation | None = None
        for at, passage in enumerate(passages):
            if said.named and at not in said.named:
                continue
            chunk = passage.indexed.chunk
            quotes = [chunk.text[start:end] for start, end in chunk.sentences]
            scores = np.array([self._held(terms, quote) for quote in quotes])
            if row is not None:
                vectors = passage.indexed.sentence_vectors.astype(np.float32)
                vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
                scores = np.maximum(scores, vectors @ row)
            top = int(scores.argmax())
            if best is None or scores[top] > best.score:
                best = Citation(*said.span, quotes[top], float(scores[top]), chunk)
        lowest = NAMED if said.named else LIKENESS
        return best if best and best.score >= lowest else None

    def _terms(self, text: str) -> frozenset[str]:
        """Return the terms of a sentence, none where it states nothing: every passage with a "not"
        in it would bear out "I do not know."."""
        states = any(
            unit.worth == 1 or any(map(str.isdecimal, unit.words))
            for unit in self._analyzer.units(text)
        )
        return frozenset(self._analyzer.terms(text)) if states else frozenset()

    def _held(self, terms: frozenset[str], quote: str) -> float:
        return len(terms.intersection(self._analyzer.terms(quote))) / max(1, len(terms))


def _sentences(reply: str, passages: int) -> list[_Said]:
    found: list[_Said] = []
    for start, end in sentence_spans(reply, 0, len(reply)):
        # A mark behind the full stop belongs to the sentence before it.
        marks = re.match(r"(?:\s*\[\d{1,2}\])+", reply[start:end])
        if marks and found:
            before = found.pop()
            found.append(_said(reply, (before.span[0], start + marks.end()), passages))
            start += marks.end()
        if reply[start:end].strip():
            found.append(_said(reply, (start, end), passages))
    return [each for each in found if each.text]


def _said(reply: str, span: Span, passages: int) -> _Said:
    text = reply[slice(*span)]
    named = {int(number) - 1 for number in _MARK.findall(text)}
    start = span[0] + len(text) - len(text.lstrip())
    plain = _MARK.sub("", text).strip()
    return _Said((start, span[1]), plain, frozenset(n for n in named if 0 <= n < passages))
