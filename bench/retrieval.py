"""Embedding a question and searching a large collection for it, at a fixed rate.

`python -m bench.retrieval` fills each store in turn with passages that are put together from the
quickstart's sentences, and asks the quickstart's questions, each time with another number. The
question is embedded by the real MiniLM (ONNX int8); the passages' vectors are drawn, clustered as
those of texts are, since embedding them all would take longer than everything else. Everything runs
in one process but the store's server, and they share this machine's cores. A question's time counts
from when it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np

from agent_runtime.config import RetrievalConfig
from agent_runtime.domain import Chunk, ChunkKey, EmbeddedChunk
from agent_runtime.models.batching import Batching
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.hybrid import CANDIDATES, HybridRetriever
from agent_runtime.retrieval.snapshot import settle
from agent_runtime.stores import Index, open_index
from agent_runtime.stores.address import parse
from agent_runtime.telemetry import Telemetry
from agent_runtime.wiring.models import load_model
from bench import corpus
from bench.pace import at_rate
from bench.stores import DIMENSION, clustered, running
from tests.contract.runtime.images import MODEL, converted

RESULTS = Path(__file__).with_name("results")
SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]?")
SENTENCES = 5
Ask = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Row:
    name: str
    latencies: Sequence[float]
    """Seconds."""
    cpu: float
    """Seconds of this process, for each question."""

    def text(self) -> str:
        at = np.percentile(self.latencies, [50, 95, 99]) * 1000
        return f"| {self.name} | {at[0]:.1f} | {at[1]:.1f} | {at[2]:.1f} | {self.cpu * 1000:.1f} |"


def collection(count: int) -> Iterator[EmbeddedChunk]:
    """Yield passages of five sentences, five to a document."""
    draw = np.random.default_rng(3)
    found = [s.strip() for each in corpus.chunks() for s in SENTENCE.findall(each.text)]
    sentences = [each for each in found if len(each) > 10]
    vectors = np.zeros((SENTENCES, DIMENSION), np.int8)
    for number, row in enumerate(clustered(count, 1)):
        said = [sentences[at] for at in draw.integers(0, len(sentences), SENTENCES)]
        ends = np.cumsum([len(each) + 1 for each in said])
        spans = tuple(
            (int(end) - len(each) - 1, int(end) - 1) for end, each in zip(ends, said, strict=True)
        )
        document = number // 5
        path, fingerprint = f"{document}.md", f"{document:064x}"
        key = ChunkKey(f"bench/{path}#{number}", "bench", path, fingerprint, 5)
        chunk = Chunk(key, f"Document {document}", (), " ".join(said), 0, spans)
        yield EmbeddedChunk(chunk, row, vectors)


async def filled(index: Index, count: int) -> None:
    await index.open(MODEL, DIMENSION)
    await index.begin()
    passages = collection(count)
    while batch := list(islice(passages, 250)):
        await index.upsert(batch)
    await index.publish(1, count // 5)


async def timed(name: str, ask: Ask, asked: Sequence[str], rate: float) -> Row:
    used = time.process_time()
    latencies = await at_rate(ask, asked, rate)
    return Row(name, latencies, (time.process_time() - used) / len(asked))


async def measured(store: str, url: str, options: argparse.Namespace) -> list[Row]:
    index = open_index(parse(url))
    try:
        await filled(index, options.chunks)
    finally:
        await index.close()
    index = open_index(parse(url))  # as the agent does: what was written is another process's
    vectors = Batching(load_model(MODEL, converted(), 1))
    config = RetrievalConfig()
    follower = IndexFollower(index, vectors, lambda _: settle())
    try:
        await follower.follow()
        follower.loaded()
        hybrid = HybridRetriever(config, vectors, follower, Telemetry("bench"))

        async def dense(question: str) -> object:
            vector = (await vectors.embed([question], "query"))[0]
            return await index.search(vector, config.top_k * CANDIDATES)

        count = int(options.rate * options.seconds)
        asked = corpus.questions(2 * count + 100)
        for question in asked[:100]:
            await hybrid.retrieve(question)
        return [
            await timed(
                f"{store}, embed and search", dense, asked[100 : 100 + count], options.rate
            ),
            await timed(
                f"{store}, and lexical search, fused",
                hybrid.retrieve,
                asked[100 + count :],
                options.rate,
            ),
        ]
    finally:
        await vectors.aclose()
        await index.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=50.0, help="questions a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--stores", nargs="+", default=["faiss", "chroma", "weaviate"])
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows: list[Row] = []
    for store in options.stores:
        with tempfile.TemporaryDirectory() as name, running(store, Path(name)) as url:
            rows += asyncio.run(measured(store, url("bench"), options))
    packages = ("chromadb", "faiss-cpu", "weaviate-client", "onnxruntime", "bm25s", "numpy")
    report = f"""# A question embedded and searched for

{date.today()}, `python -m bench.retrieval --chunks {options.chunks} --rate {options.rate:g}
--seconds {options.seconds:g}`: {options.chunks} passages, {options.rate:g} questions a second.
{platform.machine()}, {os.cpu_count()} cores, load average {load:.1f} before.
Python {platform.python_version()}, {", ".join(f"{each} {version(each)}" for each in packages)}.

| | p50 ms | p95 ms | p99 ms | CPU ms, this process |
|---|---|---|---|---|
{chr(10).join(row.text() for row in rows)}
"""
    (RESULTS / f"retrieval-{date.today()}.md").write_text(report, encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
