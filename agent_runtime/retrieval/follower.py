"""Follows a collection: loads each published version as a whole and says whether it is usable.

Level-triggered: every round compares what the store says with what is loaded. A store that is
away for a moment changes nothing; for longer it makes the runtime not ready, until it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from agent_runtime.domain import IndexInfo
from agent_runtime.errors import (
    AgentError,
    IndexMismatchError,
    IndexMissingError,
    NotReadyError,
    VectorStoreUnavailableError,
)
from agent_runtime.ports import IndexReader, Vectors
from agent_runtime.retrieval.snapshot import Snapshot, build

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
GRACE_SECONDS = 3.0
"""How long the store may be away before the runtime says that it is not ready."""


class IndexFollower:
    """Holds the current snapshot, or the error that keeps the runtime from being ready."""

    def __init__(
        self,
        reader: IndexReader,
        vectors: Vectors,
        on_version: Callable[[Snapshot], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._vectors = vectors
        self._on_version = on_version
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._error: AgentError | None = NotReadyError("loading the index")
        self._failing_since: float | None = None
        self._turn = asyncio.Lock()
        self._caught_up = False

    def ready(self) -> Snapshot:
        """Return the snapshot. Raises the AgentError that says why there is none to be used."""
        if self._error is not None:
            raise self._error
        return self.loaded()

    def loaded(self) -> Snapshot:
        """Return the snapshot even while the store is away. Raises AgentError before the first."""
        if self._snapshot is None:
            raise self._error or NotReadyError("loading the index")
        return self._snapshot

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
            await asyncio.sleep(POLL_SECONDS)

    async def follow(self) -> None:
        """Do one round. Never raises an AgentError: it is kept for `ready`.

        One at a time: who waits here while another loads a version finds it loaded.
        """
        try:
            async with self._turn:
                await self._refresh()
        except VectorStoreUnavailableError as error:
            now = self._clock()
            if self._failing_since is None:
                self._failing_since = now
            if self._snapshot is None or now - self._failing_since >= GRACE_SECONDS:
                self._fail(error)
        except AgentError as error:
            self._failing_since = None
            self._fail(error)
        else:
            self._failing_since = None
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
        self._caught_up = not info.pending

    async def _load(self, info: IndexInfo) -> None:
        chunks = [each async for page in self._reader.read() for each in page]
        snapshot = await asyncio.to_thread(build, info, chunks)
        # A search of the new version, before anybody's question meets it.
        vector = (await self._vectors.embed(["warm-up"]))[0]
        await self._reader.search(vector, 1)
        self._snapshot = snapshot
        self._on_version(snapshot)
        log.info("loaded %s", _described(info))

    def _fail(self, error: AgentError) -> None:
        if self._error is None or str(error) != str(self._error):
            log.warning("not ready: %s: %s", error.reason, error)
        self._error = error


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
