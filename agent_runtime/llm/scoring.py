"""How well a sentence answers a question, 0 to 1. Pure.

Three views: which of the question's words stand in or around the sentence, weighted by how rare
they are; the cosine of sentence and passage with the question; and whether it holds an amount
where one was asked for. The shares were chosen on examples/quickstart/questions.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_runtime.domain import SentenceVectors, Vector
from agent_runtime.text.terms import is_han

ABOVE = 0.8
"""What a word is worth that stands in the title or a heading above the sentence."""
NEAR = 0.3
"""What a word is worth that stands elsewhere in the passage."""
ALIKE = 0.7
"""What a Chinese word is worth of which all characters occur, though not together."""
COSINE_SHARE = 0.8
"""Share of the cosines in the match, the rest being words, where the model reads the language."""
FOREIGN_SHARE = 0.15
"""The same where it does not."""
PASSAGE_SHARE = 0.3
"""Share of the passage's cosine in that of its sentence."""
AMOUNT = 0.1
"""What is added for an amount that was asked for, and taken away where it is missing."""
SCALE = 1.2
"""Brings the match into the range of `minScore`, whose default divides the answerable from the
rest: no sentence that merely mentions everything reaches 1."""


@dataclass(frozen=True, slots=True)
class Words:
    """A text and its terms, to look words up in."""

    text: str
    terms: frozenset[str]

    def holds(self, word: str) -> float:
        """Return 1 for a word that is there, less for one of which the characters are."""
        if word in self.terms:
            return 1.0
        if len(word) > 1 and is_han(word):
            return ALIKE * sum(each in self.text for each in word) / len(word)
        return 0.0


def coverage(weights: Mapping[str, float], sentence: Words, above: Words, around: Words) -> float:
    """Return the share of the question's weight that the sentence and its surroundings hold.

    Args:
        weights: inverse document frequency of each of the question's words.
        sentence: the sentence itself.
        above: title and headings.
        around: the whole passage with its headings.
    """
    total = sum(weights.values())
    if not total:
        return 0.0
    held = 0.0
    for word, weight in weights.items():
        here, over, near = (place.holds(word) for place in (sentence, above, around))
        worth = here + ABOVE * max(0.0, over - here) + NEAR * max(0.0, near - max(here, over))
        held += weight * worth
    return held / total


def cosines(vector: Vector, sentences: SentenceVectors) -> NDArray[np.float32]:
    """Return each sentence's cosine with the question, mixed with their mean's. Shape [n]."""
    rows = sentences.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    mean = rows.mean(axis=0)
    passage = float(mean @ vector) / max(float(np.linalg.norm(mean)), 1e-9)
    return (1 - PASSAGE_SHARE) * np.maximum(rows @ vector, 0.0) + PASSAGE_SHARE * max(passage, 0.0)


def combine(
    covered: Sequence[float], cosine: NDArray[np.float32], amounts: Sequence[int], semantic: bool
) -> list[float]:
    """Mix the views into one score for each sentence.

    Args:
        covered: `coverage` of each sentence.
        cosine: `cosines` of the passage.
        amounts: 1 for an amount that was asked for, -1 where it is missing, 0 if none was.
        semantic: whether the cosines mean something in the question's language.
    """
    share = COSINE_SHARE if semantic else FOREIGN_SHARE
    match = (1 - share) * np.asarray(covered) + share * cosine + AMOUNT * np.asarray(amounts)
    return np.clip(match / SCALE, 0.0, 1.0).tolist()
