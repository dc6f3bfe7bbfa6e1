"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

K = 60
"""Of the paper: how much a first rank is worth against a later one."""


def fuse(rankings: Sequence[Sequence[str]], limit: int) -> list[tuple[str, float]]:
    """Merge rankings of ids, best first, into one of at most `limit`.

    An id scores the sum of 1 / (K + rank) over the rankings it is in, ranks from 1. Ties keep the
    order of first appearance.
    """
    scores: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, id in enumerate(ranking, 1):
            scores[id] += 1.0 / (K + rank)
    return sorted(scores.items(), key=lambda item: -item[1])[:limit]
