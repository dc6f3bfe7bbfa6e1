"""How well a sentence answers a question, 0 to 1. Pure.

Two views: which of the question's terms the sentence holds, weighted by how rare they are, and
the cosine of the two embeddings. MiniLM reads no Chinese, so there the terms decide alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent_runtime.domain import SentenceVectors, Vector

ABOVE = 0.8
"""What a term is worth that stands in the title or a heading above the sentence."""
NEAR = 0.6
"""What a term is worth that stands elsewhere in the passage."""
COSINE_SHARE = 0.5
"""Weight of the cosine against the terms, for English."""


def coverage(
    weights: Mapping[str, float],
    sentence: Collection[str],
    above: Collection[str],
    near: Collection[str],
) -> float:
    """Return the share of the question's weight that the sentence and its surroundings hold."""
    total = sum(weights.values())
    if not total:
        return 0.0
    held = sum(weight * _worth(term, sentence, above, near) for term, weight in weights.items())
    return held / total


def _worth(
    term: str, sentence: Collection[str], above: Collection[str], near: Collection[str]
) -> float:
    if term in sentence:
        return 1.0
    if term in above:
        return ABOVE
    return NEAR if term in near else 0.0


def cosines(vector: Vector, sentences: SentenceVectors) -> NDArray[np.float32]:
    """Return the cosine of each sentence with the question. Shape [sentences]."""
    rows = sentences.astype(np.float32)
    return (rows @ vector) / np.maximum(np.linalg.norm(rows, axis=1), 1e-9)


def combine(
    covered: Sequence[float], cosine: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """Mix both views into one score for each sentence. Negative cosines count as none."""
    terms = np.asarray(covered, np.float32)
    return np.clip((1 - share) * terms + share * np.maximum(cosine, 0.0), 0.0, 1.0)
