"""Models are used once before the first request is taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from agent_runtime.config import AgentConfig
from agent_runtime.domain import TextKind
from agent_runtime.models.batching import Batching
from agent_runtime.wiring.models import warm_up
from tests.unit.runtime.fakes import HashingEmbedder


class Scoring:
    """A reranker that notes what it read."""

    model = "org/scoring"

    def __init__(self) -> None:
        self.read: list[tuple[str, int]] = []

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        self.read.append((question, len(texts)))
        return np.zeros(len(texts), np.float32)


class Embedding(HashingEmbedder):
    """An embedder that notes what it read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def embed(self, texts: Sequence[str], kind: TextKind) -> NDArray[np.float32]:
        self.read += texts
        return super().embed(texts, kind)


@pytest.mark.parametrize(("model", "texts"), [("org/local", 1), ("openai/remote", 0)])
async def test_the_models_of_the_pod_are_used_once(model: str, texts: int) -> None:
    retrieval = {"embeddingModel": model}
    if model.startswith("openai/"):
        retrieval["baseURL"] = "http://127.0.0.1:1/v1"
    config = AgentConfig.model_validate({"retrieval": retrieval})
    embedder, reranker = Embedding(), Scoring()
    vectors = Batching(embedder)
    await warm_up(config, vectors, reranker)
    await vectors.aclose()
    assert len(embedder.read) == texts
    assert [count for _, count in reranker.read] == [2]


async def test_an_agent_without_these_models_has_nothing_to_warm_up() -> None:
    await warm_up(AgentConfig(), None, None)
