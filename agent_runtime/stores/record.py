"""How a chunk and a collection's description look in a store, in both directions. Pure.

A row holds scalars only, since that is what Chroma's metadata takes: sentence spans are numbers in
a string, sentence vectors base64 of int8, 512 characters a sentence at 384 dimensions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from agent_runtime.domain import (
    Chunk,
    ChunkKey,
    EmbeddedChunk,
    IndexedChunk,
    IndexInfo,
    SentenceVectors,
)
from agent_runtime.errors import IndexMismatchError

KEY_FIELDS = ("source", "path", "fingerprint", "total")
"""The fields of a row that `key` reads."""


def description(embedding_model: str, dimension: int) -> dict[str, str | int | bool]:
    """Describe a new collection, for itself."""
    return {
        "embedding_model": embedding_model,
        "dimension": dimension,
        "index_version": 0,
        "documents": 0,
        "pending": False,
    }


PENDING: dict[str, str | int | bool] = {"pending": True}
"""What `begin` changes in a description."""


def published(version: int, documents: int, sources: str | None) -> dict[str, str | int | bool]:
    """Return what `publish` changes in a description."""
    named = {} if sources is None else {"sources": sources}
    return {"index_version": version, "documents": documents, "pending": False, **named}


def info(collection: str, collection_id: str, said: Mapping[str, Any]) -> IndexInfo:
    """Read what a collection says of itself; one that somebody else made says nothing.

    Raises IndexMismatchError.
    """
    with reading(collection):
        return IndexInfo(
            collection=collection,
            collection_id=collection_id,
            embedding_model=str(said.get("embedding_model", "")),
            dimension=int(said.get("dimension", 0)),
            version=int(said.get("index_version", 0)),
            documents=int(said.get("documents", 0)),
            pending=bool(said.get("pending", False)),
            sources=str(said.get("sources", "")),
        )


def row(each: EmbeddedChunk) -> dict[str, str | int]:
    """Return everything of a chunk but its id, its text and its vector."""
    chunk = each.chunk
    return {
        "source": chunk.key.source,
        "path": chunk.key.path,
        "fingerprint": chunk.key.fingerprint,
        "total": chunk.key.total,
        "title": chunk.title,
        "headings": json.dumps(chunk.headings, ensure_ascii=False),
        "start": chunk.start,
        "sentences": " ".join(f"{start} {end}" for start, end in chunk.sentences),
        "sentence_vectors": base64.b64encode(each.sentence_vectors.tobytes()).decode(),
    }


def key(id: str, row: Mapping[str, Any]) -> ChunkKey:
    """Read the key from a row. Raises as `reading` translates it."""
    return ChunkKey(id, row["source"], row["path"], row["fingerprint"], int(row["total"]))


def chunk(id: str, row: Mapping[str, Any], text: str) -> IndexedChunk:
    """Read a chunk from its row. Raises as `reading` translates it."""
    numbers = [int(number) for number in row["sentences"].split()]
    read = Chunk(
        key=key(id, row),
        title=row["title"],
        headings=tuple(json.loads(row["headings"])),
        text=text,
        start=int(row["start"]),
        sentences=tuple(zip(numbers[::2], numbers[1::2], strict=True)),
    )
    return IndexedChunk(read, _vectors(row["sentence_vectors"], len(read.sentences)))


@contextmanager
def reading(collection: str) -> Generator[None]:
    """Turn what reading something foreign raises into IndexMismatchError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexMismatchError(
            f"collection {collection!r} holds something of another format"
        ) from error


def _vectors(encoded: str, sentences: int) -> SentenceVectors:
    flat = np.frombuffer(base64.b64decode(encoded), dtype=np.int8)
    return flat.reshape(sentences, len(flat) // max(1, sentences))
