"""How a chunk and a collection's description look as Chroma metadata, in both directions. Pure.

Metadata holds scalars only: sentence spans are numbers in a string, sentence vectors base64 of
int8, 512 characters a sentence at 384 dimensions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from chromadb.api.models.AsyncCollection import AsyncCollection

from agent_runtime.domain import (
    Chunk,
    ChunkKey,
    EmbeddedChunk,
    IndexedChunk,
    IndexInfo,
    SentenceVectors,
)


def metadata(
    embedding_model: str, dimension: int, version: int, documents: int
) -> dict[str, str | int | bool]:
    """Describe a collection, for itself."""
    return {
        "embedding_model": embedding_model,
        "dimension": dimension,
        "index_version": version,
        "documents": documents,
        "pending": False,
    }


def info(collection: AsyncCollection) -> IndexInfo:
    """Read what a collection says of itself; one that somebody else made says nothing."""
    said: Mapping[str, Any] = collection.metadata or {}
    return IndexInfo(
        collection=collection.name,
        collection_id=str(collection.id),
        embedding_model=str(said.get("embedding_model", "")),
        dimension=int(said.get("dimension", 0)),
        version=int(said.get("index_version", 0)),
        documents=int(said.get("documents", 0)),
        pending=bool(said.get("pending", False)),
    )


def of(source: str | None, path: str | None) -> dict[str, Any] | None:
    """Return the condition that selects a source's chunks, or one document's; None for all."""
    wanted = {"source": source, "path": path}
    parts = [{name: value} for name, value in wanted.items() if value is not None]
    return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None


def rows(chunks: Sequence[EmbeddedChunk]) -> dict[str, Any]:
    """Return the arguments of an upsert."""
    return {
        "ids": [each.chunk.key.id for each in chunks],
        "embeddings": [each.vector for each in chunks],
        "documents": [each.chunk.text for each in chunks],
        "metadatas": [_row(each) for each in chunks],
    }


def keys(page: Mapping[str, Any]) -> list[ChunkKey]:
    """Read the keys from an answer to `get` with metadata."""
    return [_key(id, row) for id, row in zip(page["ids"], page["metadatas"], strict=True)]


def chunks(page: Mapping[str, Any]) -> list[IndexedChunk]:
    """Read the chunks from an answer to `get` with metadata and documents."""
    columns = zip(page["ids"], page["metadatas"], page["documents"], strict=True)
    return [_indexed(id, row, text) for id, row, text in columns]


def _row(each: EmbeddedChunk) -> dict[str, str | int]:
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


def _key(id: str, row: Mapping[str, Any]) -> ChunkKey:
    return ChunkKey(id, row["source"], row["path"], row["fingerprint"], int(row["total"]))


def _indexed(id: str, row: Mapping[str, Any], text: str) -> IndexedChunk:
    numbers = [int(number) for number in row["sentences"].split()]
    chunk = Chunk(
        key=_key(id, row),
        title=row["title"],
        headings=tuple(json.loads(row["headings"])),
        text=text,
        start=int(row["start"]),
        sentences=tuple(zip(numbers[::2], numbers[1::2], strict=True)),
    )
    return IndexedChunk(chunk, _vectors(row["sentence_vectors"], len(chunk.sentences)))


def _vectors(encoded: str, sentences: int) -> SentenceVectors:
    flat = np.frombuffer(base64.b64decode(encoded), dtype=np.int8)
    return flat.reshape(sentences, -1)
