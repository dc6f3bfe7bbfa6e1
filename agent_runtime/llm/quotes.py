"""A passage taken apart: which stretches of it could be quoted, and what is known of each.

A question in the text is quoted together with what follows, a table's header never alone, and a
sentence that gives orders to the reader not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from agent_runtime.domain import Chunk, IndexedChunk, Matrix, Span
from agent_runtime.llm.amounts import held
from agent_runtime.text.injection import injected
from agent_runtime.text.terms import Unit, is_han

ALIKE = 0.5
"""What a Chinese word is worth of which all characters occur, though not together."""
SYNONYM = 0.85
"""What another word of the same group is worth."""

_QUESTION = re.compile(r"[?？][”’」』）)\"'*_]*$")
_RULE = re.compile(r"\|\s*:?-{2,}")


@dataclass(frozen=True, slots=True)
class Words:
    """A text and its terms, to look a question's units up in."""

    text: str
    terms: frozenset[str]

    def holds(self, unit: Unit) -> float:
        """Return 1 for what is there, less for a synonym or for a word's characters."""
        if not unit.words:
            return 1.0 if not self.terms.isdisjoint(unit.concepts) else 0.0
        found = sum(map(self._holds, unit.words)) / len(unit.words)
        if found < SYNONYM and not self.terms.isdisjoint(unit.concepts):
            return SYNONYM
        return found

    def _holds(self, word: str) -> float:
        if word in self.terms:
            return 1.0
        if len(word) > 1 and is_han(word):
            return ALIKE * sum(each in self.text for each in word) / len(word)
        return 0.0


@dataclass(frozen=True, slots=True)
class Quotable:
    """A stretch of a passage that may stand in an answer."""

    span: Span
    words: Words
    above: Words
    """Title, headings and, for a row, the header of its table."""
    amounts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Taken:
    """A passage taken apart."""

    chunk: Chunk
    quotes: tuple[Quotable, ...]
    whole: Words
    vectors: Matrix
    """One unit row for each quote. Shape [quotes, dimension]."""
    mean: Matrix
    """Of all sentences, length 1. Shape [dimension]."""


def take_apart(indexed: IndexedChunk, terms: Callable[[str], list[str]]) -> Taken:
    """Take a passage apart. The result is worth keeping: it costs milliseconds."""
    chunk = indexed.chunk
    rows = indexed.sentence_vectors.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    headings = "\n".join(dict.fromkeys((chunk.title, *chunk.headings)))
    above = Words(headings, frozenset(terms(headings)))
    quotes: list[Quotable] = []
    vectors: list[Matrix] = []
    for first, last, header in _stretches(chunk):
        span = (chunk.sentences[first][0], chunk.sentences[last][1])
        text = chunk.text[slice(*span)]
        over = above
        if header:
            over = Words(f"{headings}\n{header}", above.terms.union(terms(header)))
        quotes.append(Quotable(span, Words(text, frozenset(terms(text))), over, held(text)))
        vectors.append(rows[first : last + 1].max(axis=0) if last > first else rows[first])
    inside = above.terms.union(*(q.words.terms | q.above.terms for q in quotes))
    whole = Words(f"{headings}\n{chunk.text}", inside)
    stacked = np.stack(vectors) if vectors else rows[:0]
    return Taken(chunk, tuple(quotes), whole, _unit(stacked), _unit(rows.mean(axis=0)))


def _stretches(chunk: Chunk) -> Iterator[tuple[int, int, str]]:
    """Yield first and last sentence of each stretch, with the header above a row."""
    texts = [chunk.text[start:end] for start, end in chunk.sentences]
    bad = injected(texts)
    header, begin = "", 0
    for at, text in enumerate(texts):
        last = at + 1 == len(texts)
        between = "" if last else chunk.text[chunk.sentences[at][1] : chunk.sentences[at + 1][0]]
        if not text.startswith("|"):
            header = ""
        elif _RULE.search(between):
            header, begin = text, at + 1
            continue
        if bad[at]:
            begin = at + 1
        elif not _QUESTION.search(text) or last:
            if not _QUESTION.search(text):
                yield begin, at, header
            begin = at + 1


def _unit(rows: Matrix) -> Matrix:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)
