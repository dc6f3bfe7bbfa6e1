"""Follows a collection: loads each published version as a whole and says whether it is usable.

Level-triggered: every round compares what the store says with what is loaded. Once a version is
loaded the agent stays ready, whatever becomes of the store: what is loaded is searched in its copy
of the vectors. A collection that is too large for one is searched in the store, and while that is
away, searches are refused at once: the rounds ask whether it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from agent_runtime.domain import Hit, IndexInfo, Vector
from agent_runtime.errors import (
    AgentError,
    IndexMismatchError,
    IndexMissingError,
    NotReadyError,
    VectorStoreUnavailableError,
)
from agent_runtime.ports import IndexReader, Vectors
from agent_runtime.retrieval.dense import COPY_BYTES, DenseCopy, copy_vectors, fits
from agent_runtime.retrieval.snapshot import Snapshot, build

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
RETRY_SECONDS = 0.5
"""Between two rounds while something is wrong."""
UNFORESEEN_SECONDS = 10.0
"""The same after an error that is none of ours: it may come only once all of a version is read."""


class IndexFollower:
    """Holds the current snapshot, and what is wrong with the collection now."""

    def __init__(
        self,
        reader: IndexReader,
        vectors: Vectors,
        on_version: Callable[[Snapshot], None],
        copy_bytes: int = COPY_BYTES,
    ) -> None:
        """
        Args:
            reader: the collection.
            vectors: embeds a first question.
            on_version: is told of each version that is loaded.
            copy_bytes: how large the copy of the vectors may be.
        """
        self._reader = reader
        self._vectors = vectors
        self._on_version = on_version
        self._copy_bytes = copy_bytes
        self._snapshot: Snapshot | None = None
        self._error: AgentError | None = NotReadyError("loading the index")
        self._probe: Vector | None = None
        """A question to try the store with."""
        self._turn = asyncio.Lock()
        self._noticed = asyncio.Event()
        self._caught_up = False
        self._pause = RETRY_SECONDS
        """Until the next round."""

    def loaded(self) -> Snapshot:
        """Return the snapshot even while the store is away. Raises AgentError before the first."""
        if self._snapshot is None:
            raise _anew(self._error or NotReadyError("loading the index"))
        return self._snapshot

    def searchable(self) -> Snapshot:
        """Return the snapshot, unless a search of it would fail. Raises AgentError."""
        snapshot = self.loaded()
        if self._error is not None and not self.searches_alone:
            raise _anew(self._error)
        return snapshot

    async def search(self, snapshot: Snapshot, vector: Vector, limit: int) -> list[Hit]:
        """Return the nearest chunks, best first. Raises AgentError."""
        if snapshot.dense is not None:
            return await snapshot.dense.search(vector, limit)
        try:
            return await self._reader.search(vector, limit)
        except (VectorStoreUnavailableError, IndexMissingError) as error:
            if not self._reader.local:
                # The others need not find out for themselves; the next round comes at once.
                self._fail(error)
                self._noticed.set()
            raise

    @property
    def searches_alone(self) -> bool:
        """Whether what is loaded can be searched without the store."""
        return self._reader.local or bool(self._snapshot and self._snapshot.dense)

    @property
    def trouble(self) -> AgentError | None:
        """What is wrong with the collection now, though a version of it is loaded."""
        return self._error if self._snapshot else None

    @property
    def caught_up(self) -> bool:
        """Whether the last round found what is loaded to be what the store published last."""
        return self._caught_up

    @property
    def collection_id(self) -> str | None:
        """Of the collection that is loaded."""
        return self._snapshot.info.collection_id if self._snapshot else None

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self.follow()
            self._noticed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._noticed.wait()

    async def follow(self) -> None:
        """Do one round. Never raises: an error is kept as the trouble, and what is loaded serves.

        One at a time: who waits here while another loads a version finds it loaded.
        """
        try:
            async with self._turn:
                await self._refresh()
        except AgentError as error:
            self._pause = RETRY_SECONDS
            self._fail(error)
        except Exception as error:
            self._pause = UNFORESEEN_SECONDS
            self._fail(AgentError(f"the index cannot be loaded: {error!r}"), error)
        else:
            self._pause = POLL_SECONDS
            if self._error is not None:
                log.info("ready: %s", _described(self.loaded().info))
            self._error = None

    async def _refresh(self) -> None:
        self._caught_up = False
        info = await self._reader.describe()
        if info is None or info.version == 0:
            raise IndexMissingError(
                "the collection does not exist yet"
                if info is None
                else f"collection {info.collection!r} has no published index yet"
            )
        if info.embedding_model != self._vectors.model:
            raise IndexMismatchError(
                f"collection {info.collection!r} was built with {info.embedding_model!r}, "
                f"not with {self._vectors.model!r}"
            )
        if self._snapshot is None or _follows(info, self._snapshot.info):
            await self._load(info)
        elif self._error is not None and self._probe is not None and not self.searches_alone:
            await self._reader.search(self._probe, 1)
        self._caught_up = not info.pending

    async def _load(self, info: IndexInfo) -> None:
        chunks = [each async for page in self._reader.read() for each in page]
        snapshot = await asyncio.to_thread(build, info, chunks)
        if info.documents and not snapshot.chunks:
            raise IndexMissingError(
                f"collection {info.collection!r} was published with {info.documents} documents "
                "and holds none of them"
            )
        vector = (await self._vectors.embed(["warm-up"], "query"))[0]
        snapshot = replace(snapshot, dense=await self._copied(snapshot, len(vector)))
        # A search of the new version, before anybody's question meets it.
        await self.search(snapshot, vector, 1)
        self._snapshot, self._probe = snapshot, vector
        self._on_version(snapshot)
        log.info("loaded %s", _described(info))

    async def _copied(self, snapshot: Snapshot, dimension: int) -> DenseCopy | None:
        ids, info = list(snapshot.chunks), snapshot.info
        if self._reader.local:
            return None
        if not fits(len(ids), dimension, self._copy_bytes):
            log.warning(
                "collection %s: the vectors of %d passages would take more than %d MiB, so no copy "
                "is kept: while the vector store is away, what needs documents is refused",
                info.collection, len(ids), self._copy_bytes >> 20,
            )  # fmt: skip
            return None
        before = self._snapshot if self.collection_id == info.collection_id else None
        return await copy_vectors(
            ids, dimension, self._reader.vectors, before.dense if before else None
        )

    def _fail(self, error: AgentError, cause: Exception | None = None) -> None:
        if self._error is None or str(error) != str(self._error):
            state = "not ready" if self._snapshot is None else "degraded"
            log.warning("%s: %s: %s", state, error.reason, error, exc_info=cause)
        self._error = error


def _anew(error: AgentError) -> AgentError:
    """Return an error to be raised once more, without what it collected the last time."""
    return error.with_traceback(None)


def _follows(info: IndexInfo, loaded: IndexInfo) -> bool:
    """Tell whether to load this.

    What is pending may say an older version than was published: who notes that changes follow
    writes back what it had read. What is published is what the store holds, even where the clock
    of who published it lags.
    """
    if info.collection_id != loaded.collection_id or info.version > loaded.version:
        return True
    return info.version != loaded.version and not info.pending


def _described(info: IndexInfo) -> str:
    return f"collection {info.collection} version {info.version}, {info.documents} documents"
