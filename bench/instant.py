"""This runtime with everything real but the embedding model and the LLM, which answer at once.

`python -m bench.instant PORT` serves the quickstart's passages: the HTTP application, dialogue,
dense search with FAISS, lexical search, fusion, assembly of the prompt, sessions, limits and
metrics. The answer cache is off.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from agent_runtime.config import (
    DialogueConfig,
    LimitsConfig,
    LLMConfig,
    RetrievalConfig,
    ToolCallsConfig,
)
from agent_runtime.dialogue.intents import Intents
from agent_runtime.dialogue.manager import DialogueManager, RuleRewriter
from agent_runtime.dialogue.memory import Memory
from agent_runtime.domain import (
    Finish,
    Matrix,
    Piece,
    Prompt,
    TextKind,
    ToolSpec,
    Usage,
)
from agent_runtime.http.app import Parts, build_app
from agent_runtime.http.health import Health
from agent_runtime.http.names import Names
from agent_runtime.http.server import run
from agent_runtime.knowledge.embedding import embed as embedded
from agent_runtime.llm.attribution import Attribution
from agent_runtime.llm.step import Generate
from agent_runtime.models.batching import Batching
from agent_runtime.pipeline import Pipeline
from agent_runtime.ports import IndexReader
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.hybrid import HybridRetriever
from agent_runtime.retrieval.snapshot import settle
from agent_runtime.retrieval.step import Retrieve
from agent_runtime.state.memory import MemoryRecords, MemorySessions
from agent_runtime.stores.address import parse
from agent_runtime.stores.faiss import FaissIndex
from agent_runtime.telemetry import Telemetry
from bench.corpus import chunks
from bench.peers.common import ANSWER, DIMENSION, TOP_K, embed

MODEL = "bench/hashing"


class HashingEmbedder:
    """The embedding that the peers have as well."""

    model = MODEL
    dimension = DIMENSION
    max_tokens = 8192
    passage_prompt = ""

    def reads(self, language: str) -> bool:
        return True

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        return embed(texts).astype(np.float32)

    def count_tokens(self, text: str) -> int:
        return len(text) // 4


class InstantGenerator:
    """Answers before it is asked, with a citation of its own."""

    model = "bench/instant"
    calls_tools = False
    cites = True
    context_tokens = 8192
    reads_history = True

    def count_tokens(self, text: str) -> int:
        return len(text) // 4

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Piece | Finish]:
        yield Piece(ANSWER)
        yield Finish("stop", Usage(self.count_tokens(prompt.text), self.count_tokens(ANSWER)))

    async def warm_up(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class NoTools:
    """An agent without tools."""

    async def visible(self, caller: object) -> tuple[ToolSpec, ...]:
        return ()

    async def readable(self, turns: Sequence[Any], caller: object) -> tuple[Any, ...]:
        return tuple(turns)

    async def execute_all(self, calls: Sequence[object], state: object) -> list[Any]:
        return []

    def question(self, pending: object, language: str) -> str:
        return ""


async def filled(folder: Path) -> IndexReader:
    """Return the store with all passages."""
    found = embedded(chunks(), HashingEmbedder())
    store = FaissIndex(parse(f"faiss://{folder}/bench"))
    await store.open(MODEL, DIMENSION)
    await store.upsert(found)
    await store.publish(1, len({each.chunk.key.path for each in found}))
    await store.close()
    return FaissIndex(parse(f"faiss://{folder}/bench"))


def parts(store: IndexReader) -> tuple[Parts, Health]:
    """Put the agent together as wiring does."""
    telemetry, embedder = Telemetry("bench"), HashingEmbedder()
    vectors = Batching(embedder, remembered=0)
    follower = IndexFollower(store, vectors, lambda snapshot: settle())
    retrieval, dialogue = RetrievalConfig(top_k=TOP_K), DialogueConfig()
    retriever = HybridRetriever(retrieval, vectors, follower, telemetry)
    sessions = MemorySessions(dialogue.session_ttl_seconds, 2 * (dialogue.history_turns + 1))
    tools = NoTools()
    generate = Generate(
        InstantGenerator(), LLMConfig(), tools, ToolCallsConfig(), Attribution(vectors), telemetry
    )
    pipeline = Pipeline(
        Memory(sessions, dialogue.history_turns),
        DialogueManager(dialogue, Intents((), vectors), RuleRewriter(vectors)),
        [Retrieve(retriever, retrieval, telemetry), generate],
        telemetry,
    )
    health = Health(lambda: follower.loaded().info, "bench")
    following: list[asyncio.Task[None]] = []

    async def start() -> None:
        following.append(asyncio.create_task(follower.run()))

    served = Parts(
        agent=pipeline,
        names=Names("bench", InstantGenerator.model, MODEL),
        limits=LimitsConfig(),
        health=health,
        telemetry=telemetry,
        toolbox=tools,
        sessions=sessions,
        records=MemoryRecords(),
        documents=cast(Any, None),
        retriever=retriever,
        index=lambda: follower.loaded().info,
        embedding=embedder,
        vectors=vectors,
        starting=start,
    )
    return served, health


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        served, health = parts(asyncio.run(filled(Path(folder))))
        run(build_app(served), "127.0.0.1", int(sys.argv[1]), health.drain, 0.0)


if __name__ == "__main__":
    main()
