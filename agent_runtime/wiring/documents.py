"""The agent's collection as the API changes it: document by document, beside conversations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from agent_runtime.errors import UnavailableError, UnreadableDocumentError
from agent_runtime.knowledge.ingest import Ingestion
from agent_runtime.knowledge.scope import uploads
from agent_runtime.knowledge.sources import UPLOADS, Original, original
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.stores import Index

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
"""How long a change may take to come into use, once it is written."""


class ServedDocuments:
    """Changes the collection and tells when the agent answers from the change."""

    def __init__(
        self,
        opened: Callable[[], Index],
        ingestion: Callable[[Index], Ingestion],
        recipe: str,
        follower: IndexFollower,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            opened: opens the collection for one change; readers have another.
            ingestion: what changes it.
            recipe: what chunks depend on besides the document.
            follower: tells which version is in use.
            patience: how many seconds `in_use` waits. A load that has begun is waited for.
            clock: tells the seconds.
        """
        self._opened = opened
        self._ingestion = ingestion
        self._recipe = recipe
        self._follower = follower
        self._patience = patience
        self._clock = clock

    async def add(self, path: str, content: bytes) -> int:
        """Index a document. Raises UnreadableDocumentError, AgentError."""
        return await self._run(path, [original(UPLOADS, path, content, self._recipe)])

    async def remove(self, path: str) -> int:
        """Take a document out, if it is there. Raises AgentError."""
        return await self._run(path, [])

    async def in_use(self, version: int) -> None:
        """Wait until questions are answered from this version or one that replaced it.

        Raises UnavailableError where they are not in time, and AgentError where none can be.
        """
        deadline = self._clock() + self._patience
        collection = self._follower.collection_id
        await self._follower.follow()
        while not self._holds(version, collection):
            if self._clock() >= deadline:
                used = self._follower.loaded().info.version
                raise UnavailableError(
                    f"the change was written as version {version} of the index, but questions are "
                    f"still answered from version {used}, without it, after {self._patience:g} s: "
                    "the vector store does not answer, or its collection was made anew"
                )
            await asyncio.sleep(POLL_SECONDS)
            await self._follower.follow()

    def _holds(self, version: int, collection: str | None) -> bool:
        """Of two who publish at once, the last may have the lower version."""
        used = self._follower.loaded().info
        anew = collection not in (None, used.collection_id)
        return used.version >= version or (self._follower.caught_up and not anew)

    async def _run(self, path: str, documents: Sequence[Original]) -> int:
        index = self._opened()
        try:
            done = await self._ingestion(index).run(documents, uploads(path))
        finally:
            await index.close()
        if done.skipped:
            raise UnreadableDocumentError(done.skipped[0].reason)
        return done.index_version
