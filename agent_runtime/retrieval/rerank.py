"""A second look at the best passages: a cross-encoder's scores put them in order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent_runtime.domain import Passage
from agent_runtime.retrieval.snapshot import searchable


def texts_of(passages: Sequence[Passage]) -> list[str]:
    """Return what the cross-encoder reads of each passage: title, headings and text."""
    return [searchable(passage.indexed.chunk) for passage in passages]


def reordered(
    passages: Sequence[Passage], scores: NDArray[np.float32], limit: int
) -> list[Passage]:
    """Return at most `limit` passages by falling score; equal ones keep their order.

    Args:
        passages: as the fused ranking has them, best first.
        scores: one for each, shape [n]. A score that is no number counts as the worst.
        limit: how many are wanted.
    """
    if len(scores) != len(passages):
        raise ValueError(f"{len(scores)} scores for {len(passages)} passages")
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:limit]
    return [replace(passages[row], score=float(scores[row])) for row in order]
