"""A FAISS collection in a folder, searched in memory: no server, one snapshot at a time.

Readers load a snapshot whole and never change it. A writer keeps its changes to itself until
`publish` writes the next snapshot; a crash before that leaves nothing of them. One writes at a
time. File work and searches run in threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np

from agent_runtime.domain import (
    ChunkKey,
    EmbeddedChunk,
    Hit,
    IndexedChunk,
    IndexInfo,
    Matrix,
    Vector,
)
from agent_runtime.errors import AgentError, IndexMissingError, VectorStoreUnavailableError
from agent_runtime.settings import cpus
from agent_runtime.stores import faiss_snapshot, faiss_vectors, record
from agent_runtime.stores.address import Address
from agent_runtime.stores.faiss_folder import CollectionFolder
from agent_runtime.stores.faiss_snapshot import Dense

PAGE = 500
T = TypeVar("T")


class FaissIndex:
    """One collection. `describe` loads a version that is new, so that searches need not wait."""

    local = True

    def __init__(self, address: Address) -> None:
        self._name = address.collection
        self._path = address.folder / address.collection
        self._folder = CollectionFolder(self._path)
        self._dense: Dense | None = None
        self._loading = asyncio.Lock()
        self._searching: ThreadPoolExecutor | None = None
        self._staged: dict[str, EmbeddedChunk] | None = None
        """What `publish` will write. An ingestion that failed is gone on with from here."""
        self._lock: int | None = None
        """Held from `begin` to `publish` or `close`."""
        self._writing = threading.Lock()
        """Who closes waits for the thread of a call that was cancelled."""

    async def close(self) -> None:
        """Drop what is in memory and give up what was written and not published."""
        await self._do(self._discard)
        self._dense = None
        if self._searching is not None:
            self._searching.shutdown(wait=False)
            self._searching = None

    async def describe(self) -> IndexInfo | None:
        said = await self._do(self._folder.description)
        if said is None:
            return None  # what is loaded is searched until there is something else
        await self._load(said)
        return self._info(said)

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        if self._dense is None and await self.describe() is None:
            raise self._missing()
        if (dense := self._dense) is None:
            return []
        if faiss_vectors.is_quick(dense.index):
            rows = faiss_vectors.search(dense.index, vector, limit)
        else:
            rows = await self._in_thread(dense, vector, limit)
        return [Hit(dense.ids[row], score) for row, score in rows]

    async def _in_thread(
        self, dense: Dense, vector: Vector, limit: int
    ) -> Sequence[tuple[int, float]]:
        if self._searching is None:
            # Of its own: a search must not wait behind whatever else is done in threads.
            self._searching = ThreadPoolExecutor(cpus(), thread_name_prefix="faiss")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._searching, faiss_vectors.search, dense.index, vector, limit
        )

    async def read(self) -> AsyncIterator[list[IndexedChunk]]:
        nothing: list[IndexedChunk] = []
        chunks = await self._do(lambda: self._folder.load(faiss_snapshot.chunks, nothing))
        for start in range(0, len(chunks), PAGE):
            yield chunks[start : start + PAGE]

    async def vectors(self, ids: Sequence[str]) -> AsyncIterator[tuple[Sequence[str], Matrix]]:
        nothing: dict[str, EmbeddedChunk] = {}
        stored = await self._do(lambda: self._folder.load(faiss_snapshot.embedded, nothing))
        if found := [id for id in ids if id in stored]:
            yield found, np.array([stored[id].vector for id in found], np.float32)

    async def stored_keys(
        self, source: str | None = None, path: str | None = None
    ) -> AsyncIterator[list[ChunkKey]]:
        if self._staged is not None:
            keys = [each.chunk.key for each in self._staged.values()]
        else:
            nothing: list[ChunkKey] = []
            keys = await self._do(lambda: self._folder.load(faiss_snapshot.keys, nothing))
        wanted = [key for key in keys if source in (None, key.source) and path in (None, key.path)]
        for start in range(0, len(wanted), PAGE):
            yield wanted[start : start + PAGE]

    async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
        new = {
            "collection_id": str(uuid4()),
            "snapshot": None,
            **record.description(embedding_model, dimension),
        }
        return self._info(await self._do(lambda: self._folder.create(new)))

    async def begin(self) -> None:
        """Raises ConflictError where somebody else writes."""
        await self._staging()

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
        staged = await self._staging()
        staged.update((each.chunk.key.id, each) for each in chunks)

    async def delete(self, ids: Sequence[str]) -> None:
        staged = await self._staging()
        for id in ids:
            staged.pop(id, None)

    async def publish(self, version: int, documents: int, sources: str | None = None) -> None:
        await self._do(lambda: self._swap(record.published(version, documents, sources)))

    async def _staging(self) -> dict[str, EmbeddedChunk]:
        if self._staged is None:
            await self._do(self._take)
        assert self._staged is not None  # noqa: S101  _take() has just set it
        return self._staged

    def _take(self) -> None:
        """Take the lock, load what the changes apply to, note on disk that changes follow."""
        with self._writing:
            if self._staged is not None:
                return
            self._described()
            self._lock = self._folder.lock()
            try:
                nothing: dict[str, EmbeddedChunk] = {}
                staged = self._folder.load(faiss_snapshot.embedded, nothing)
                self._folder.point({**self._described(), **record.PENDING})
            except BaseException:
                self._release()
                raise
            self._staged = staged

    def _swap(self, published: Mapping[str, object]) -> None:
        """Write the next snapshot and point at it. Where that fails, the changes stay staged.

        Where none are, what is there is published again.
        """
        with self._writing:
            said = self._described()
            if self._staged is None:
                self._lock = self._folder.lock()
                try:
                    self._folder.point({**self._described(), **published})
                finally:
                    self._release()
                return
            snapshot = self._folder.store([*self._staged.values()], said["dimension"])
            self._folder.point({**said, **published, "snapshot": snapshot})
            self._folder.collect()
            self._release()

    def _discard(self) -> None:
        with self._writing:
            self._release()

    def _release(self) -> None:
        self._staged = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _described(self) -> dict[str, Any]:
        if (said := self._folder.description()) is None:
            raise self._missing()
        return said

    async def _load(self, said: Mapping[str, Any]) -> None:
        async with self._loading:
            if said["snapshot"] != (self._dense and self._dense.snapshot):
                nothing: Dense | None = None
                self._dense = await self._do(
                    lambda: self._folder.load(faiss_snapshot.dense, nothing)
                )

    async def _do(self, work: Callable[[], T]) -> T:
        """Do file work in a thread and turn its failures into ours."""
        try:
            with record.reading(self._name):
                return await asyncio.to_thread(work)
        except AgentError:
            raise
        except (OSError, RuntimeError) as error:
            raise VectorStoreUnavailableError(
                f"collection {self._path}: {error}", isinstance(error, PermissionError)
            ) from error

    def _info(self, said: Mapping[str, Any]) -> IndexInfo:
        return record.info(self._name, str(said.get("collection_id", "")), said)

    def _missing(self) -> IndexMissingError:
        return IndexMissingError(f"there is no collection {self._name!r}")
