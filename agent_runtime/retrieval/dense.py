"""A copy of a collection's vectors, searched exhaustively in memory: exact, and there whatever
becomes of the store. Never changed: a new version of the collection gets a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from agent_runtime.domain import Hit, Matrix, Vector
from agent_runtime.errors import IndexMismatchError

COPY_BYTES = 64 * 2**20
"""Most that a copy takes: 43,000 passages of 384 dimensions. The passages themselves, which every
agent holds, take a few times as much."""
QUICK_ROWS = 5_000
"""Most rows that the event loop searches itself: about 0.5 ms at 384 dimensions."""

FetchVectors = Callable[[Sequence[str]], AsyncIterator[tuple[Sequence[str], Matrix]]]
"""Yields the vectors of chunks by their ids, in pages; of those that are there."""


class DenseCopy:
    """The vectors of a snapshot's chunks; row n is that of ids[n]."""

    def __init__(self, ids: list[str], rows: Matrix) -> None:
        self._ids = ids
        self._rows = rows
        self._row_of = {id: row for row, id in enumerate(ids)}

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        """Return the nearest chunks by cosine, best first."""
        if len(self._ids) <= QUICK_ROWS:
            return self._nearest(vector, limit)
        return await asyncio.to_thread(self._nearest, vector, limit)

    def pick(self, ids: Sequence[str]) -> tuple[list[str], Matrix]:
        """Return those of the ids that are here, with their vectors."""
        known = [id for id in ids if id in self._row_of]
        return known, self._rows[[self._row_of[id] for id in known]]

    def _nearest(self, vector: Vector, limit: int) -> list[Hit]:
        scores = self._rows @ vector
        if limit < len(scores):
            rows = np.argpartition(-scores, limit)[:limit]
            rows = rows[np.argsort(-scores[rows], kind="stable")]
        else:
            rows = np.argsort(-scores, kind="stable")
        return [Hit(self._ids[row], float(scores[row])) for row in rows.tolist()]


def fits(passages: int, dimension: int, most_bytes: int) -> bool:
    """Tell whether a copy of so many vectors may be held."""
    return passages * dimension * np.dtype(np.float32).itemsize <= most_bytes


async def copy_vectors(
    ids: Sequence[str], dimension: int, fetch: FetchVectors, before: DenseCopy | None
) -> DenseCopy | None:
    """Copy the vectors of chunks. What the copy of the version before holds is not read again:
    an id names one text of one document. None where the store does not have them all, as while
    another changes it: half a copy would find less than the store.

    Raises IndexMismatchError where they have another dimension, and what `fetch` raises.
    """
    rows = np.empty((len(ids), dimension), np.float32)
    found, known = before.pick(ids) if before else ([], rows[:0])
    rows[: len(found)] = known
    held = set(found)
    async for page, vectors in fetch([id for id in ids if id not in held]):
        if vectors.shape[1] != dimension:
            raise IndexMismatchError(
                f"the collection holds vectors of {vectors.shape[1]} dimensions, and the embedding "
                f"model's have {dimension}: index the documents again"
            )
        rows[len(found) : len(found) + len(page)] = vectors
        found += page
    return DenseCopy(found, rows) if len(found) == len(ids) else None
