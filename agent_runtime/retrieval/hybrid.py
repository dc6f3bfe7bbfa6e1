"""Dense and lexical search for one question, fused by rank; then a second look, if asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent_runtime.config import RetrievalConfig
from agent_runtime.domain import Evidence, Hit, Passage
from agent_runtime.ports import Reranker, Vectors
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.fusion import fuse
from agent_runtime.retrieval.rerank import reordered, texts_of
from agent_runtime.telemetry import Telemetry
from agent_runtime.text.language import language_of

CANDIDATES = 4
"""Candidates of each search for each passage wanted."""
DENSE = 0.5
"""What a rank of dense search counts against one of lexical search, which knows synonyms. Chosen on
the dev questions, where 0.3 to 0.7 did as well."""


class HybridRetriever:
    """Answers from the snapshot that was current when the question came."""

    def __init__(
        self,
        config: RetrievalConfig,
        vectors: Vectors,
        follower: IndexFollower,
        telemetry: Telemetry,
        reranker: Reranker | None = None,
    ) -> None:
        self._config = config
        self._vectors = vectors
        self._follower = follower
        self._telemetry = telemetry
        self._reranker = reranker

    async def retrieve(self, question: str) -> Evidence:
        """Return at most `topK` passages, best first.

        Raises:
            VectorStoreUnavailableError, IndexMissingError, IndexMismatchError, NotReadyError.
            OverloadedError, EmbeddingsUnavailableError.
        """
        snapshot = self._follower.searchable()
        with self._telemetry.phase("embed", self._vectors.model):
            vector = (await self._vectors.embed([question], "query"))[0]
        limit = self._config.top_k * CANDIDATES
        with self._telemetry.phase("search"):
            hits = await self._follower.search(snapshot, vector, limit)
        lexical = snapshot.lexical.search(snapshot.lexical.terms(question), limit)
        dense = [hit.id for hit in self._near(hits, lexical) if hit.id in snapshot.chunks]
        semantic = self._vectors.reads(language_of(question))
        rerank = self._config.rerank
        wanted = rerank.candidates if rerank else self._config.top_k
        passages = [
            Passage(snapshot.chunks[id], score)
            for id, score in merge(dense, lexical, semantic, wanted)
        ]
        return Evidence(
            question=question,
            vector=vector,
            semantic=semantic,
            weights=snapshot.lexical.weights(question),
            passages=await self._reranked(question, passages),
            index=snapshot.index,
        )

    def _near(self, hits: Sequence[Hit], lexical: Sequence[str]) -> list[Hit]:
        lowest = self._config.min_score
        return [hit for hit in hits if hit.score >= lowest or hit.id in lexical]

    async def _reranked(self, question: str, passages: list[Passage]) -> list[Passage]:
        if self._reranker is None or len(passages) < 2:
            return passages[: self._config.top_k]
        with self._telemetry.phase("rerank", self._reranker.model):
            scores = await asyncio.to_thread(self._reranker.score, question, texts_of(passages))
        return reordered(passages, scores, self._config.top_k)


def merge(
    dense: Sequence[str], lexical: Sequence[str], semantic: bool, limit: int
) -> list[tuple[str, float]]:
    """Fuse both rankings; a model that does not read the language only fills what is left."""
    if semantic or not lexical:
        return fuse([lexical, dense], limit, (1.0, DENSE))
    rest = [id for id in dense if id not in lexical]
    return fuse([[*lexical, *rest]], limit)
