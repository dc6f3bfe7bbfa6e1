"""How late the event loop of a serving process is while it ingests documents.

`python -m bench.ingestion_lag --models DIR` makes documents of four formats, and ingests them as
an agent does with uploads: read and cut in another process, embedded in a thread, written to a real
Chroma from the event loop. Meanwhile a task that sleeps for a millisecond notes how late it wakes.
For comparison: the loop with nothing to do, and all of the work on the loop. What the loop's thread
waited for a CPU is also taken off, since other programs on the machine take them too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk
from agent_runtime.knowledge.ingest import Ingestion
from agent_runtime.knowledge.preparing import Prepare, passages, recipe
from agent_runtime.knowledge.quiet import quiet_thread
from agent_runtime.knowledge.scope import uploads
from agent_runtime.knowledge.sources import UPLOADS, Original, original
from agent_runtime.knowledge.worker import DocumentWorker
from agent_runtime.models.catalogue import find
from agent_runtime.models.onnx import OnnxEmbedder
from agent_runtime.models.tokens import TokenizerFile
from agent_runtime.ports import TokenCounter
from agent_runtime.stores.address import parse
from agent_runtime.stores.chroma import ChromaIndex
from tests.contract.runtime.images import converted
from tests.contract.runtime.processes import REPOSITORY, Chroma
from tests.unit.runtime.knowledge.files import BODY, TITLE, pdf, word

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
CONFIG = ChunkingConfig()
TICK = 0.001
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Measured:
    """Lags in milliseconds, sorted; `own` without the waits for a CPU."""

    name: str
    lags: Sequence[float]
    own: Sequence[float]
    seconds: float
    documents: int
    chunks: int

    def row(self) -> str:
        p50, p99 = _at(self.lags, 0.5), _at(self.lags, 0.99)
        rate = f"{self.documents / self.seconds:.1f}" if self.documents else "–"
        return (
            f"| {self.name} | {p50:.2f} | {p99:.2f} | {self.lags[-1]:.1f} "
            f"| {_at(self.own, 0.99):.2f} | {self.own[-1]:.1f} "
            f"| {self.documents} | {self.chunks} | {self.seconds:.1f} | {rate} |"
        )


def documents(count: int) -> list[Original]:
    """Make documents of about two thousand characters, no two with the same text."""
    made: list[Original] = []
    for number in range(count):
        sentences = [
            f"Rule {number}.{n} of the handbook says that order {number * 31 + n} is sent within "
            f"{n + 2} days, unless the customer has asked for another date."
            for n in range(15)
        ]
        body, title = " ".join(sentences), f"Handbook {number}"
        name, content = (
            ("md", f"# {title}\n\n## Rules\n\n{body}\n".encode()),
            ("html", f"<html><h1>{title}</h1><p>{'</p><p>'.join(sentences)}</p>".encode()),
            ("docx", word([("Title", title), ("Normal", body)]) if number % 4 == 2 else b""),
            ("pdf", pdf([(TITLE, title), (BODY, body)]) if number % 4 == 3 else b""),
        )[number % 4]
        made.append(original(UPLOADS, f"{number}.{name}", content, recipe(CONFIG, "")))
    return made


def inline(count: TokenCounter) -> Prepare:
    async def prepare(each: Original, /) -> AsyncGenerator[list[Chunk]]:
        yield passages(each, count, CONFIG)

    return prepare


async def idle(seconds: float) -> Measured:
    lags, own, _ = await _lags_during(asyncio.sleep(seconds))
    return Measured("nothing to do", lags, own, seconds, 0, 0)


async def ingested(
    name: str, store: str, embedder: OnnxEmbedder, originals: Sequence[Original], prepare: Prepare,
    executor: Executor | None,
) -> Measured:  # fmt: skip
    index = ChromaIndex(parse(store))
    work = Ingestion(index, embedder, prepare, lambda done, total, chunks: None, executor)
    await index.describe()  # an agent that serves is connected already
    began = time.perf_counter()
    lags, own, done = await _lags_during(work.run(originals, uploads()))
    return Measured(name, lags, own, time.perf_counter() - began, done.documents, done.chunks)


def _at(values: Sequence[float], share: float) -> float:
    return values[int(len(values) * share)]


async def _lags_during(work: Awaitable[T]) -> tuple[list[float], list[float], T]:
    lags: list[float] = []
    own: list[float] = []
    task = asyncio.ensure_future(work)
    while not task.done():
        waited, due = _waited_for_cpu(), time.perf_counter() + TICK
        await asyncio.sleep(TICK)
        lag = max(0.0, time.perf_counter() - due)
        _note(lags, lag)
        _note(own, max(0.0, lag - (_waited_for_cpu() - waited)))
    return sorted(lags), sorted(own), task.result()


def _note(lags: list[float], lag: float) -> None:
    """Whoever would have come while the loop was held up counts as well, a tick apart."""
    lags += [(lag - n * TICK) * 1000 for n in range(1 + int(lag / TICK))]


def _waited_for_cpu() -> float:
    """Return how long this thread has stood in the run queue, in seconds (Linux)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def measured(models: Path, store: str, count: int) -> list[Measured]:
    folder, manifest = find(models, MODEL)
    embedder = OnnxEmbedder(folder, manifest, threads=1)
    counter = TokenizerFile(folder / "tokenizer.json")
    made = documents(count)
    few = made[: count // 10]
    worker, thread = DocumentWorker(counter, CONFIG), quiet_thread()
    try:
        await ingested("", f"{store}-warm", embedder, made[:8], worker, thread)
        return [
            await idle(5),
            await ingested("ingesting", f"{store}-own", embedder, made, worker, thread),
            await ingested(
                "the same, all on the loop", f"{store}-loop", embedder, few, inline(counter), None
            ),
        ]
    finally:
        worker.close()
        thread.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", type=Path, help="of `agent-runtime convert`; made once unless given"
    )
    parser.add_argument("--documents", type=int, default=1000)
    arguments = parser.parse_args()
    arguments.models = arguments.models or converted()
    with tempfile.TemporaryDirectory() as name:
        chroma = Chroma(Path(name))
        chroma.start()
        try:
            rows = asyncio.run(measured(arguments.models, chroma.url("lag"), arguments.documents))
        finally:
            chroma.stop()
    report = f"""# Event-loop lag during ingestion

{date.today()}, `python -m bench.ingestion_lag --documents {arguments.documents}`, with Chroma and
all on one machine: {platform.machine()}, {os.cpu_count()} cores, load average
{os.getloadavg()[0]:.1f} at the end. Python {platform.python_version()}. A quarter of the documents
each is Markdown, HTML, DOCX and PDF. Lag is how late a sleep of {TICK * 1000:g} ms ends;
`own` is without what the loop's thread waited for a CPU, of which other programs had their share.

| | p50 ms | p99 ms | max ms | own p99 ms | own max ms | documents | chunks | s | documents/s |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(row.row() for row in rows)}
"""
    file = REPOSITORY / "bench" / "results" / f"ingestion-lag-{date.today()}.md"
    file.write_text(report)
    print(report)


if __name__ == "__main__":
    main()
