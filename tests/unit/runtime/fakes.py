"""Stand-ins for a model and a store, for tests of what is around them."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agent_runtime.domain import (
    Chunk,
    ChunkKey,
    EmbeddedChunk,
    Hit,
    IndexedChunk,
    IndexInfo,
    Matrix,
    TextKind,
    Vector,
)
from agent_runtime.errors import VectorStoreUnavailableError


class HashingEmbedder:
    """Each word is a direction: texts with the same words are near each other."""

    model = "org/hashing"
    dimension = 64
    max_tokens = 256
    passage_prompt = ""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def reads(self, language: str) -> bool:
        return language == "en"

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        self.embedded += texts
        rows = np.full((len(texts), self.dimension), 1e-3, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % self.dimension] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class HashingVectors:
    """The same for the event loop."""

    model = HashingEmbedder.model

    def __init__(self) -> None:
        self.embedder = HashingEmbedder()

    def reads(self, language: str) -> bool:
        return self.embedder.reads(language)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        return self.embedder.embed(texts, kind)


class MemoryStore:
    """A collection in memory. `fail_after` calls that change it, it is killed like a process."""

    local = False

    def __init__(self) -> None:
        self.chunks: dict[str, EmbeddedChunk] = {}
        self.info: IndexInfo | None = None
        self.away = False
        self.fail_after: int | None = None
        self.searches = 0
        self.copied: list[str] = []
        """The ids that vectors were asked for."""

    async def describe(self) -> IndexInfo | None:
        if self.away:
            raise VectorStoreUnavailableError("away")
        return self.info

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        self.searches += 1
        if self.away:
            raise VectorStoreUnavailableError("away")
        hits = [Hit(id, float(each.vector @ vector)) for id, each in self.chunks.items()]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def read(self) -> AsyncIterator[list[IndexedChunk]]:
        yield [IndexedChunk(each.chunk, each.sentence_vectors) for each in self.chunks.values()]

    async def vectors(self, ids: Sequence[str]) -> AsyncIterator[tuple[Sequence[str], Matrix]]:
        self.copied += ids
        for id in ids:
            if id in self.chunks:
                yield [id], self.chunks[id].vector[None]

    async def stored_keys(
        self, source: str | None = None, path: str | None = None
    ) -> AsyncIterator[list[ChunkKey]]:
        keys = [each.chunk.key for each in self.chunks.values()]
        yield [key for key in keys if source in (None, key.source) and path in (None, key.path)]

    async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
        self.info = self.info or IndexInfo("c", "1", embedding_model, dimension, 0, 0, False)
        return self.info

    async def begin(self) -> None:
        self._change(pending=True)

    async def publish(self, version: int, documents: int, sources: str | None = None) -> None:
        changed = {} if sources is None else {"sources": sources}
        self._change(version=version, documents=documents, pending=False, **changed)

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
        for each in chunks:
            self._tick()
            self.chunks[each.chunk.key.id] = each

    async def delete(self, ids: Sequence[str]) -> None:
        for id in ids:
            self._tick()
            del self.chunks[id]

    def _change(self, **changed: Any) -> None:
        self._tick()
        assert self.info is not None
        self.info = replace(self.info, **changed)

    def _tick(self) -> None:
        if self.fail_after is not None:
            if self.fail_after == 0:
                raise KilledError
            self.fail_after -= 1


class KilledError(BaseException):
    """The process ends here."""


def indexed(
    text: str,
    path: str = "a.md",
    *,
    title: str = "Title",
    headings: tuple[str, ...] = (),
    fingerprint: str = "f",
    ordinal: int = 0,
    total: int = 1,
) -> IndexedChunk:
    """A chunk with one sentence for each line of a text."""
    spans: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    key = ChunkKey(f"s/{path}#{fingerprint}-{ordinal}", "s", path, fingerprint, total)
    chunk = Chunk(key, title, headings, text, 0, tuple(spans))
    vectors = HashingEmbedder().embed([text[a:b] for a, b in spans], "passage")
    return IndexedChunk(chunk, np.rint(vectors * 127).astype(np.int8))
