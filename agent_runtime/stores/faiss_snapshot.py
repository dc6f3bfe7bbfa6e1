"""One snapshot of a FAISS collection as files: written once, synced, never changed. Blocks.

vectors.faiss (row n is chunk n), chunks.jsonl (a line each) and sentences.npy (int8, the rows of
all chunks' sentences one after another).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from agent_runtime.domain import Chunk, ChunkKey, EmbeddedChunk, IndexedChunk
from agent_runtime.stores import faiss_vectors

VECTORS, CHUNKS, SENTENCES = "vectors.faiss", "chunks.jsonl", "sentences.npy"


@dataclass(frozen=True, slots=True)
class Dense:
    """A snapshot's vectors in memory; row n of the index is ids[n]."""

    snapshot: str
    index: Any
    ids: Sequence[str]


def write(folder: Path, chunks: Sequence[EmbeddedChunk], dimension: int) -> None:
    """Fill an empty folder. After this it survives a power cut."""
    matrix = np.array([each.vector for each in chunks], np.float32).reshape(-1, dimension)
    faiss_vectors.write(faiss_vectors.build(matrix, dimension), folder / VECTORS)
    with (folder / CHUNKS).open("wb") as lines:
        lines.writelines(_line(each) for each in chunks)
    nothing = np.empty((0, dimension), np.int8)
    np.save(
        folder / SENTENCES, np.concatenate([nothing, *(each.sentence_vectors for each in chunks)])
    )
    for file in (*folder.iterdir(), folder):
        sync(file)


def dense(folder: Path) -> Dense:
    """Load what a search needs."""
    ids = [line["id"] for line in _lines(folder)]
    return Dense(folder.name, faiss_vectors.read(folder / VECTORS), ids)


def keys(folder: Path) -> list[ChunkKey]:
    return [_key(line) for line in _lines(folder)]


def chunks(folder: Path) -> list[IndexedChunk]:
    """Load the chunks; their sentence vectors share one array."""
    rows = np.load(folder / SENTENCES)
    loaded: list[IndexedChunk] = []
    start = 0
    for line in _lines(folder):
        chunk = _chunk(line)
        end = start + len(chunk.sentences)
        loaded.append(IndexedChunk(chunk, rows[start:end]))
        start = end
    return loaded


def embedded(folder: Path) -> dict[str, EmbeddedChunk]:
    """Load all that was written, by the chunks' ids."""
    vectors = faiss_vectors.vectors_of(faiss_vectors.read(folder / VECTORS))
    return {
        each.chunk.key.id: EmbeddedChunk(each.chunk, vector, each.sentence_vectors)
        for each, vector in zip(chunks(folder), vectors, strict=True)
    }


def sync(path: Path) -> None:
    """Bring a file or a folder's list of names to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(folder: Path) -> Iterator[Mapping[str, Any]]:
    with (folder / CHUNKS).open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def _line(each: EmbeddedChunk) -> bytes:
    chunk = each.chunk
    said = {
        "id": chunk.key.id,
        "source": chunk.key.source,
        "path": chunk.key.path,
        "fingerprint": chunk.key.fingerprint,
        "total": chunk.key.total,
        "title": chunk.title,
        "headings": chunk.headings,
        "text": chunk.text,
        "start": chunk.start,
        "sentences": chunk.sentences,
    }
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def _key(line: Mapping[str, Any]) -> ChunkKey:
    return ChunkKey(line["id"], line["source"], line["path"], line["fingerprint"], line["total"])


def _chunk(line: Mapping[str, Any]) -> Chunk:
    return Chunk(
        key=_key(line),
        title=line["title"],
        headings=tuple(line["headings"]),
        text=line["text"],
        start=line["start"],
        sentences=tuple((start, end) for start, end in line["sentences"]),
    )
