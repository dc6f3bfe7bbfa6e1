"""Weighted reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

K = 5
"""How much a first rank is worth against a later one. The paper's 60 is for rankings of thousands;
for five passages of a question it makes the first and the tenth nearly equal. Chosen on the dev
questions, where 3 to 10 did as well."""


def fuse(
    rankings: Sequence[Sequence[str]], limit: int, weights: Sequence[float] | None = None
) -> list[tuple[str, float]]:
    """Merge rankings of ids, best first, into one of at most `limit`.

    An id scores the sum of weight / (K + rank) over the rankings it is in, ranks from 1. Ties keep
    the order of first appearance.

    Args:
        rankings: the rankings.
        limit: most ids to return.
        weights: one for each ranking; absent: all count the same.
    """
    scores: defaultdict[str, float] = defaultdict(float)
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, id in enumerate(ranking, 1):
            scores[id] += weight / (K + rank)
    return sorted(scores.items(), key=lambda item: -item[1])[:limit]
