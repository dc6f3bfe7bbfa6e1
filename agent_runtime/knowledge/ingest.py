"""Bringing a collection in line with the sources: only what changed is embedded again.

Safe to kill at any point. New chunks are written first, then the old ones go, then the version
counts up; readers look at complete documents only, and a rerun finishes what is half done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk, ChunkKey, Document, EmbeddedChunk, SentenceVectors
from agent_runtime.errors import IndexMismatchError, NoDocumentsError
from agent_runtime.knowledge.chunking import chunk
from agent_runtime.ports import Embedder, IndexWriter

BATCH_CHUNKS = 32


class Progress(Protocol):
    """Called with how many documents of how many are indexed."""

    def __call__(self, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between the sources and the collection."""

    embed: Sequence[Document]
    stale: Sequence[str]
    """Ids of chunks to be deleted."""
    documents: int
    """Documents added, changed or removed."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """The state of the collection afterwards."""

    documents: int
    chunks: int
    changed: int
    index_version: int


def recipe(config: ChunkingConfig) -> str:
    """Describe what chunks depend on besides the text. Count up the number with the code."""
    return f"1:{config.max_tokens}:{config.overlap_sentences}"


async def ingest(
    documents: Sequence[Document],
    writer: IndexWriter,
    embedder: Embedder,
    config: ChunkingConfig,
    progress: Progress,
) -> Ingested:
    """Make the collection hold exactly these documents and publish it if anything changed.

    Raises:
        VectorStoreUnavailableError: the store failed; a rerun completes the work.
        IndexMismatchError: the collection belongs to another embedding model.
        NoDocumentsError: no document has any text below its headings.
    """
    info = await writer.open(embedder.model, embedder.dimension)
    if (info.embedding_model, info.dimension) != (embedder.model, embedder.dimension):
        raise IndexMismatchError(
            f"collection {info.collection!r} was built with {info.embedding_model!r} "
            f"({info.dimension} dimensions), not with {embedder.model!r} ({embedder.dimension})"
        )
    present = [key async for page in writer.stored_keys() for key in page]
    changes = difference(documents, present)
    if changes.embed or changes.stale:
        await writer.begin()
    kept = {key.id for key in present}.difference(changes.stale)
    chunks = kept | await _index(changes.embed, writer, embedder, config, progress)
    if not chunks:
        raise NoDocumentsError("the documents hold no text below their headings")
    for start in range(0, len(changes.stale), 500):
        await writer.delete(changes.stale[start : start + 500])
    version = info.version
    if changes.embed or changes.stale or info.pending or version == 0:
        version += 1
        await writer.publish(version, len(documents))
    return Ingested(len(documents), len(chunks), changes.documents, version)


def difference(documents: Iterable[Document], present: Iterable[ChunkKey]) -> Changes:
    """Compare by fingerprint. A document with chunks missing counts as not there."""
    found: defaultdict[tuple[str, str, str], list[ChunkKey]] = defaultdict(list)
    for key in present:
        found[key.source, key.path, key.fingerprint].append(key)
    wanted = {(doc.source, doc.path, doc.fingerprint): doc for doc in documents}
    embed = [
        doc
        for name, doc in wanted.items()
        if name not in found or len(found[name]) < found[name][0].total
    ]
    gone = [name for name in found if name not in wanted]
    names = {(doc.source, doc.path) for doc in embed} | {(name[0], name[1]) for name in gone}
    stale = [key.id for name in gone for key in found[name]]
    return Changes(embed, stale, len(names))


async def _index(
    documents: Sequence[Document],
    writer: IndexWriter,
    embedder: Embedder,
    config: ChunkingConfig,
    progress: Progress,
) -> set[str]:
    written: set[str] = set()
    for done, batch in _batches(documents, embedder, config):
        for start in range(0, len(batch), BATCH_CHUNKS):
            await writer.upsert(embed(batch[start : start + BATCH_CHUNKS], embedder))
        written.update(each.key.id for each in batch)
        progress(done, len(documents))
    return written


def _batches(
    documents: Sequence[Document], embedder: Embedder, config: ChunkingConfig
) -> Iterator[tuple[int, list[Chunk]]]:
    """Yield the chunks of whole documents, about BATCH_CHUNKS at a time."""
    batch: list[Chunk] = []
    for done, document in enumerate(documents, 1):
        batch += chunk(document, embedder.count_tokens, config)
        if len(batch) >= BATCH_CHUNKS or done == len(documents):
            yield done, batch
            batch = []


def embed(chunks: Sequence[Chunk], embedder: Embedder) -> list[EmbeddedChunk]:
    """Embed each passage below its title and headings, and each of its sentences alone."""
    sentences = [chunk.text[slice(*span)] for chunk in chunks for span in chunk.sentences]
    vectors = embedder.embed([f"{heading_of(chunk)}\n{chunk.text}" for chunk in chunks])
    quantized = _quantize(embedder.embed(sentences))
    ends = np.cumsum([len(chunk.sentences) for chunk in chunks])
    parts = np.split(quantized, ends[:-1])
    return [EmbeddedChunk(*parts_) for parts_ in zip(chunks, vectors, parts, strict=True)]


def heading_of(chunk: Chunk) -> str:
    """Return title and headings in one line, each once."""
    return " > ".join(dict.fromkeys((chunk.title, *chunk.headings)))


def _quantize(rows: np.ndarray) -> SentenceVectors:
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.rint(rows / np.maximum(largest, 1e-9) * 127).astype(np.int8)
