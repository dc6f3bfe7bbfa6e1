"""Chunks to be stored, and what a collection holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent_runtime.domain import Chunk, ChunkKey, EmbeddedChunk, IndexedChunk, Matrix
from agent_runtime.stores import Index

MODEL = "org/model"
DIMENSION = 64


def unit(rows: int, seed: int = 1) -> Matrix:
    """Return random unit rows."""
    drawn = np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def chunks(
    rows: Matrix, path: str = "a.md", fingerprint: str = "f1", text: str = "A first. Second 二！"
) -> list[EmbeddedChunk]:
    """Return the chunks of one document, one for each row."""
    quantized = np.random.default_rng(3).integers(-127, 127, (2, DIMENSION), dtype=np.int8)
    return [
        EmbeddedChunk(
            Chunk(
                key=ChunkKey(f"s/{path}#{fingerprint}-{number}", "s", path, fingerprint, len(rows)),
                title="题目 — “Title” 🛋",
                headings=("一", 'With "quotes", \\ and\nlines'),
                text=f"{text} {number}",
                start=7 * number,
                sentences=((0, 8), (9, len(text))),
            ),
            row,
            quantized,
        )
        for number, row in enumerate(rows)
    ]


async def published(
    index: Index, stored: Sequence[EmbeddedChunk], version: int = 1, page: int = 500
) -> None:
    """Create the collection if need be, add chunks and publish."""
    await index.open(MODEL, DIMENSION)
    await index.begin()
    for start in range(0, len(stored), page):
        await index.upsert(stored[start : start + page])
    await index.publish(version, 1)


async def read(index: Index) -> dict[str, IndexedChunk]:
    """Return all chunks by id; none comes twice."""
    found = [each async for page in index.read() for each in page]
    by_id = {each.chunk.key.id: each for each in found}
    assert len(by_id) == len(found)
    return by_id
