"""One version of a collection in memory: its chunks and their lexical index. Immutable."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from agent_runtime.domain import Chunk, IndexedChunk, IndexInfo
from agent_runtime.retrieval.dense import DenseCopy
from agent_runtime.retrieval.lexical import LexicalIndex


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What readers search until the next version has been loaded as a whole."""

    info: IndexInfo
    chunks: Mapping[str, IndexedChunk]
    lexical: LexicalIndex
    dense: DenseCopy | None = None
    """None where it would be too large: the store searches."""

    @property
    def index(self) -> str:
        """Names the collection and its version: what is known of another one is out of date."""
        return f"{self.info.collection_id}:{self.info.version}"


def build(info: IndexInfo, chunks: Iterable[IndexedChunk]) -> Snapshot:
    """Index the complete documents among the chunks. Slow for large collections: use a thread.

    They are counted here: of two who change a collection at once, each knows its own only.
    """
    kept = {each.chunk.key.id: each for each in complete(chunks)}
    texts = {id: searchable(each.chunk) for id, each in kept.items()}
    documents = {(each.chunk.key.source, each.chunk.key.path) for each in kept.values()}
    return Snapshot(replace(info, documents=len(documents)), kept, LexicalIndex(texts))


def complete(chunks: Iterable[IndexedChunk]) -> list[IndexedChunk]:
    """Leave out documents that an ingestion is just writing, or left half-written.

    Of two complete versions of a document both are kept: the older one is about to go.
    """
    versions: defaultdict[tuple[str, str, str], list[IndexedChunk]] = defaultdict(list)
    for each in chunks:
        key = each.chunk.key
        versions[key.source, key.path, key.fingerprint].append(each)
    whole = (found for found in versions.values() if len(found) >= found[0].chunk.key.total)
    return [each for found in whole for each in found]


def searchable(chunk: Chunk) -> str:
    """Return what lexical search sees of a chunk: where it stands, and its text."""
    return "\n".join((*dict.fromkeys((chunk.title, *chunk.headings)), chunk.text))


def settle() -> None:
    """Keep the garbage collector away from what has been loaded and stays.

    A full collection walks through every object and stops all answers meanwhile: 0.2 s with
    50,000 chunks, again and again. What is replaced later is freed by its reference count.
    """
    gc.collect(1)
    gc.freeze()
