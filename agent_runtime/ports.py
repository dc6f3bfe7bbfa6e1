"""What the pipeline needs from the outside, as Protocols; adapters live in models/ and stores/.

No adapter is imported here. Only `wiring` chooses one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from agent_runtime.domain import (
    ChunkKey,
    EmbeddedChunk,
    Evidence,
    Hit,
    IndexedChunk,
    IndexInfo,
    Matrix,
    Piece,
    Vector,
)


class Embedder(Protocol):
    """A sentence-embedding model. Its methods block: call them in a thread."""

    @property
    def model(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longest text it reads, in tokens; the rest is cut off."""
        ...

    def reads(self, language: str) -> bool:
        """Tell whether the model was trained on a language (ISO 639-1)."""
        ...

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return one unit row of float32 for each text."""
        ...

    def count_tokens(self, text: str) -> int:
        """Count tokens without the special ones, with no limit on the length."""
        ...


class IndexReader(Protocol):
    """A collection, to be searched. Every method raises VectorStoreUnavailableError."""

    async def describe(self) -> IndexInfo | None:
        """Return what the collection says of itself, or None where there is no such collection."""
        ...

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        """Return the nearest chunks, best first. Raises IndexMissingError."""
        ...

    def read(self) -> AsyncIterator[list[IndexedChunk]]:
        """Yield all chunks in pages. Raises IndexMissingError."""
        ...


class IndexWriter(Protocol):
    """A collection, to be changed by one writer. All methods raise VectorStoreUnavailableError."""

    async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
        """Create the collection unless it exists."""
        ...

    def stored_keys(self) -> AsyncIterator[list[ChunkKey]]:
        """Yield the keys of all chunks in pages."""
        ...

    async def begin(self) -> None:
        """Note in the collection that changes follow, so that a crash does not hide them."""
        ...

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None: ...

    async def delete(self, ids: Sequence[str]) -> None: ...

    async def publish(self, version: int, documents: int) -> None:
        """Tell readers that a new version is complete."""
        ...


class Retriever(Protocol):
    """Finds passages for a question."""

    async def retrieve(self, question: str) -> Evidence: ...


class Generator(Protocol):
    """Writes the reply, piece by piece."""

    def generate(self, evidence: Evidence) -> AsyncIterator[Piece]: ...
