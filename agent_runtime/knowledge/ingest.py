"""Bringing a collection in line with the sources: only what changed is embedded again.

Safe to kill at any point, and to cancel: what was being written is written then. New chunks are
written first, then the old ones go, then a new version is published; readers look at complete
documents only, and a rerun finishes what is half done.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from agent_runtime.domain import Chunk, ChunkKey, IndexInfo
from agent_runtime.errors import (
    ConflictError,
    IndexMismatchError,
    NoDocumentsError,
    UnreadableDocumentError,
)
from agent_runtime.knowledge.ahead import ahead
from agent_runtime.knowledge.embedding import embed
from agent_runtime.knowledge.preparing import Prepare
from agent_runtime.knowledge.scope import SOURCES, Scope
from agent_runtime.knowledge.sources import Original, Skipped, listed
from agent_runtime.knowledge.writing import ended
from agent_runtime.ports import Embedder, IndexWriter

BATCH_CHUNKS = 32
WRITE_CHUNKS = 16
"""Fewer, since a store's client puts them into words on the event loop."""
AHEAD = 4
"""Batches that may be ready before they are embedded."""
DELETE_CHUNKS = 500
ATTEMPTS = 3

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Called with how many documents of how many are indexed, in how many chunks."""

    def __call__(self, done: int, total: int, chunks: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between the sources and the collection."""

    embed: Sequence[Original]
    stale: Sequence[str]
    """Ids of chunks to be deleted."""
    gone: frozenset[tuple[str, str]]
    """Source and path of documents whose stored version is to go."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """The state of the scope afterwards; a document without text counts nowhere."""

    documents: int
    chunks: int
    changed: int
    index_version: int
    skipped: tuple[Skipped, ...] = ()


@dataclass(slots=True)
class Ingestion:
    """What an ingestion works with."""

    writer: IndexWriter
    embedder: Embedder
    prepare: Prepare
    progress: Progress
    executor: Executor | None = None
    """Where texts are embedded. None: the event loop's own threads."""
    clock: Callable[[], float] = time.time

    async def run(self, originals: Sequence[Original], scope: Scope = SOURCES) -> Ingested:
        """Make the scope hold exactly these documents and publish it.

        All sources only if something changed, or is not what was published of them. Others may
        have published, and so cleared `pending`, while a run wrote that was killed after.

        Raises:
            VectorStoreUnavailableError: the store failed; a rerun completes the work.
            IndexMismatchError: the collection belongs to another embedding model.
            NoDocumentsError: no document has any text below its headings, and none was kept.
            ConflictError: others kept changing the collection; a rerun completes the work.
        """
        wrote = False
        for _ in range(ATTEMPTS):
            attempt = _Attempt(self, scope, wrote)
            if (done := await attempt.run(originals)) is not None:
                return done
            wrote = wrote or attempt.began
            log.warning("another ingestion changed the collection: looking again")
        raise ConflictError("other ingestions keep changing the collection; run it again")


class _Attempt:
    """One comparison of sources and collection, and what follows from it."""

    def __init__(self, ingestion: Ingestion, scope: Scope, wrote: bool) -> None:
        self._with = ingestion
        self._writer = ingestion.writer
        self._scope = scope
        self._wrote = wrote
        """An earlier attempt changed something, which has to be published."""
        self.began = False
        self._skipped: list[Skipped] = []

    async def run(self, originals: Sequence[Original]) -> Ingested | None:
        """Do it; None where another ingestion published meanwhile."""
        info = await self._open()
        found = [key async for key in self._scope.keys(self._writer)]
        present = [key for key in found if key in self._scope]
        changes = difference(originals, present)
        stale = set(changes.stale)
        written = await self._index(changes.embed)
        chunks = {key.id: key for key in (*present, *written) if key.id not in stale}
        if not chunks and self._scope.whole:
            raise NoDocumentsError(f"no document holds any text{listed(self._skipped)}")
        for start in range(0, len(changes.stale), DELETE_CHUNKS):
            await self._begin()
            await ended(self._writer.delete(changes.stale[start : start + DELETE_CHUNKS]))
        documents = _documents(chunks.values())
        version = info.version
        sources = _name(chunks) if self._scope.whole else None
        if self.began or self._wrote or info.pending or sources != info.sources:
            if await self._overtaken(info):
                return None
            version = self._next(version)
            total = self._elsewhere(info, found) + len(documents)
            await ended(self._writer.publish(version, total, sources))
        changed = len(_documents(written) | changes.gone)
        return Ingested(len(documents), len(chunks), changed, version, tuple(self._skipped))

    def _next(self, version: int) -> int:
        """Return a later version, and one that nobody else gives: two who publish at once have seen
        the same one, and a reader that has loaded the first must tell that it was replaced."""
        return max(version + 1, int(self._with.clock() * 1e6))

    def _elsewhere(self, info: IndexInfo, found: Sequence[ChunkKey]) -> int:
        """Count the documents out of the scope."""
        if self._scope.whole:
            return len(_documents(key for key in found if key not in self._scope))
        return max(0, info.documents - len(_documents(found)))

    async def _open(self) -> IndexInfo:
        embedder = self._with.embedder
        info = await self._writer.open(embedder.model, embedder.dimension)
        if (info.embedding_model, info.dimension) != (embedder.model, embedder.dimension):
            raise IndexMismatchError(
                f"collection {info.collection!r} was built with {info.embedding_model!r} "
                f"({info.dimension} dimensions), not with {embedder.model!r} ({embedder.dimension})"
            )
        return info

    async def _begin(self) -> None:
        if not self.began:
            await ended(self._writer.begin())
            self.began = True

    async def _overtaken(self, before: IndexInfo) -> bool:
        """Tell whether the collection was published, or made anew, since we looked."""
        now = await self._open()
        same = (now.collection_id, now.version) == (before.collection_id, before.version)
        return not same or (self.began and not now.pending)

    async def _index(self, originals: Sequence[Original]) -> list[ChunkKey]:
        """Embed and write documents; what cannot be read is noted and passed over."""
        written: list[ChunkKey] = []
        loop = asyncio.get_running_loop()
        async with aclosing(ahead(self._batches(originals), AHEAD)) as batches:
            async for done, batch in batches:
                if batch:
                    embedded = await loop.run_in_executor(
                        self._with.executor, embed, batch, self._with.embedder
                    )
                    await self._begin()
                    for start in range(0, len(embedded), WRITE_CHUNKS):
                        await ended(self._writer.upsert(embedded[start : start + WRITE_CHUNKS]))
                    written += [each.key for each in batch]
                self._with.progress(done, len(originals), len(written))
        return written

    async def _batches(
        self, originals: Sequence[Original]
    ) -> AsyncGenerator[tuple[int, list[Chunk]]]:
        """Yield chunks, BATCH_CHUNKS at a time, with the documents that are complete then."""
        waiting: list[Chunk] = []
        for number, original in enumerate(originals):
            try:
                async with aclosing(self._with.prepare(original)) as parts:
                    async for part in parts:
                        waiting += part
                        while len(waiting) > BATCH_CHUNKS:
                            yield number, waiting[:BATCH_CHUNKS]
                            del waiting[:BATCH_CHUNKS]
            except UnreadableDocumentError as error:
                self._skipped.append(Skipped(f"{original.source}/{original.path}", str(error)))
        if originals:
            yield len(originals), waiting


def difference(originals: Iterable[Original], present: Iterable[ChunkKey]) -> Changes:
    """Compare by fingerprint. A document with chunks missing counts as not there."""
    found: defaultdict[tuple[str, str, str], list[ChunkKey]] = defaultdict(list)
    for key in present:
        found[key.source, key.path, key.fingerprint].append(key)
    wanted = {(each.source, each.path, each.fingerprint): each for each in originals}
    embed = [
        each
        for name, each in wanted.items()
        if name not in found or len(found[name]) < found[name][0].total
    ]
    gone = [name for name in found if name not in wanted]
    return Changes(
        embed,
        stale=[key.id for name in gone for key in found[name]],
        gone=frozenset((source, path) for source, path, _ in gone),
    )


def _name(ids: Iterable[str]) -> str:
    """Return a name that no other set of chunks has."""
    listed = "\n".join(sorted(ids)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(listed).hexdigest()[:32]


def _documents(keys: Iterable[ChunkKey]) -> set[tuple[str, str]]:
    return {(key.source, key.path) for key in keys}
