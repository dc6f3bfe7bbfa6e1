"""Dense and lexical search for one question, fused by rank.

The embedding runs in a thread and the store is asked over the network meanwhile nothing blocks:
one person's question must not hold up another's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from agent_runtime.domain import Evidence, Passage
from agent_runtime.ports import Embedder, IndexReader
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.fusion import fuse

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
            VectorStoreUnavailable, IndexMissing, IndexMismatch, NotReady.
        """
        snapshot = self._follower.loaded()
        loop = asyncio.get_running_loop()
        vector = (await loop.run_in_executor(self._executor, self._embedder.embed, [question]))[0]
        limit = self._top_k * CANDIDATES
        hits = await self._reader.search(vector, limit)
        terms = snapshot.lexical.terms(question)
        dense = [hit.id for hit in hits if hit.id in snapshot.chunks]
        ranked = fuse([dense, snapshot.lexical.search(terms, limit)], self._top_k)
        return Evidence(
            question=question,
            vector=vector,
            weights=snapshot.lexical.weights(terms),
            passages=[Passage(snapshot.chunks[id], score) for id, score in ranked],
        )
