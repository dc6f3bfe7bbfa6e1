"""The agent's collection as the API changes it: document by document, beside conversations."""

from __future__ import annotations

import asyncio

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.knowledge.ingest import Ingestion
from agent_runtime.knowledge.scope import uploads
from agent_runtime.knowledge.sources import UPLOADS, original
from agent_runtime.retrieval.follower import IndexFollower

POLL_SECONDS = 0.02


class ServedDocuments:
    """Changes the collection and tells when the agent answers from the change."""

    def __init__(self, ingestion: Ingestion, recipe: str, follower: IndexFollower) -> None:
        self._ingestion = ingestion
        self._recipe = recipe
        self._follower = follower

    async def add(self, path: str, content: bytes) -> int:
        """Index a document. Raises UnreadableDocumentError, AgentError."""
        document = original(UPLOADS, path, content, self._recipe)
        done = await self._ingestion.run([document], uploads(path))
        if done.skipped:
            raise UnreadableDocumentError(done.skipped[0].reason)
        return done.index_version

    async def remove(self, path: str) -> int:
        """Take a document out, if it is there. Raises AgentError."""
        return (await self._ingestion.run([], uploads(path))).index_version

    async def in_use(self, version: int) -> None:
        """Wait until questions are answered from this version or a later one."""
        await self._follower.follow()
        while self._follower.loaded().info.version < version:
            await asyncio.sleep(POLL_SECONDS)
            await self._follower.follow()
