"""Dense and lexical search for one question, fused by rank.

The embedding runs in a thread and the store is asked asynchronously: one person's question must
not hold up another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

from agent_runtime.domain import Evidence, Passage
from agent_runtime.ports import Embedder, IndexReader
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.fusion import fuse
from agent_runtime.text.language import language_of

CANDIDATES = 4
"""Candidates of each search for each passage wanted."""


class HybridRetriever:
    """Answers from the snapshot that was current when the question came."""

    def __init__(
        self,
        embedder: Embedder,
        reader: IndexReader,
        follower: IndexFollower,
        executor: Executor,
        top_k: int,
    ) -> None:
        self._embedder = embedder
        self._reader = reader
        self._follower = follower
        self._executor = executor
        self._top_k = top_k

    async def retrieve(self, question: str) -> Evidence:
        """Return at most `top_k` passages, best first.

        Raises:
            VectorStoreUnavailableError, IndexMissingError, IndexMismatchError, NotReadyError.
        """
        snapshot = self._follower.loaded()
        loop = asyncio.get_running_loop()
        vector = (await loop.run_in_executor(self._executor, self._embedder.embed, [question]))[0]
        limit = self._top_k * CANDIDATES
        hits = await self._reader.search(vector, limit)
        dense = [hit.id for hit in hits if hit.id in snapshot.chunks]
        lexical = snapshot.lexical.search(snapshot.lexical.terms(question), limit)
        semantic = self._embedder.reads(language_of(question))
        return Evidence(
            question=question,
            vector=vector,
            semantic=semantic,
            weights=snapshot.lexical.weights(question),
            passages=[
                Passage(snapshot.chunks[id], score)
                for id, score in merge(dense, lexical, semantic, self._top_k)
            ],
        )


def merge(
    dense: Sequence[str], lexical: Sequence[str], semantic: bool, limit: int
) -> list[tuple[str, float]]:
    """Fuse both rankings; a model that does not read the language only fills what is left."""
    if semantic or not lexical:
        return fuse([dense, lexical], limit)
    rest = [id for id in dense if id not in lexical]
    return fuse([[*lexical, *rest]], limit)
