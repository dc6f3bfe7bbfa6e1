"""Search, writing and reading of each vector store behind the runtime's own adapters.

`python -m bench.stores` starts each store in turn on this machine, fills it with chunks, asks one
question after another, and prints a table. Two kinds of vectors: "random" points lie in no
direction more than in another, the worst case for every approximate index; "clustered" ones lie
about 500 centres in 32 dimensions with some noise, as embeddings of texts do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from agent_runtime.domain import Chunk, ChunkKey, EmbeddedChunk, Matrix
from agent_runtime.stores import Index, open_index
from agent_runtime.stores.address import parse
from tests.contract.runtime.processes import Chroma
from tests.contract.runtime.stores.servers import Folder, Weaviate

DIMENSION = 384
LIMIT = 20
"""Candidates that the runtime asks for at its default of five passages."""
SENTENCES = 5
WORDS = ("the", "warranty", "of", "sofa", "covers", "frame", "保修期", "and", "returns", "free")


@dataclass(frozen=True)
class Row:
    store: str
    vectors: str
    written: float
    p50: float
    p95: float
    cpu: float
    """Of the event loop, milliseconds a search: what the store is not to blame for."""
    recall: float
    read: float
    lag: float
    memory: float


def unit(rows: Matrix) -> Matrix:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random(count: int, seed: int) -> Matrix:
    return unit(np.random.default_rng(seed).standard_normal((count, DIMENSION), np.float32))


def clustered(count: int, seed: int) -> Matrix:
    centres = np.random.default_rng(7).standard_normal((500, 32))
    spread = np.random.default_rng(8).standard_normal((32, DIMENSION)) / np.sqrt(32)
    draw = np.random.default_rng(seed)
    inner = centres[draw.integers(0, 500, count)] + 0.7 * draw.standard_normal((count, 32))
    outer = inner @ spread + 0.15 * draw.standard_normal((count, DIMENSION))
    return unit(outer.astype(np.float32))


KINDS: dict[str, Callable[[int, int], Matrix]] = {"random": random, "clustered": clustered}


def chunks(rows: Matrix) -> Iterator[EmbeddedChunk]:
    """Yield passages of five sentences, five to a document."""
    draw = np.random.default_rng(3)
    vectors = draw.integers(-127, 127, (SENTENCES, DIMENSION), dtype=np.int8)
    for number, row in enumerate(rows):
        sentences = [f"{' '.join(draw.choice(WORDS, 12))} {number}." for _ in range(SENTENCES)]
        ends = np.cumsum([len(each) + 1 for each in sentences])
        spans = tuple(
            (int(end) - len(each) - 1, int(end) - 1)
            for end, each in zip(ends, sentences, strict=True)
        )
        document = number // 5
        path, fingerprint = f"{document}.md", f"{document:064x}"
        key = ChunkKey(f"bench/{path}#{number}", "bench", path, fingerprint, 5)
        chunk = Chunk(key, "A title", ("One", "Two"), " ".join(sentences), 0, spans)
        yield EmbeddedChunk(chunk, row, vectors)


async def lag(until: asyncio.Event) -> float:
    """Return the 99th percentile of how much later than asked the event loop came back."""
    late: list[float] = []
    while not until.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - began - 0.001)
    return float(np.percentile(late, 99))


def resident() -> float:
    """Return this process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def measured(store: str, kind: str, index: Index, count: int, asked: int) -> Row:
    rows, questions = KINDS[kind](count, 1), KINDS[kind](asked, 2)
    began = time.perf_counter()
    await index.open("bench", DIMENSION)
    await index.begin()
    batch: list[EmbeddedChunk] = []
    for each in chunks(rows):
        batch.append(each)
        if len(batch) == 250:
            await index.upsert(batch)
            batch = []
    if batch:
        await index.upsert(batch)
    await index.publish(1, count // 5)
    written = time.perf_counter() - began
    await index.describe()
    for question in questions[:50]:
        await index.search(question, LIMIT)
    took: list[float] = []
    found, cpu = 0, 0.0
    for question in questions:
        wanted = {int(row) for row in np.argsort(-(rows @ question))[:5]}
        began, used = time.perf_counter(), time.thread_time()
        hits = await index.search(question, LIMIT)
        took.append(time.perf_counter() - began)
        cpu += time.thread_time() - used
        found += len(wanted & {int(hit.id.rpartition("#")[2]) for hit in hits[:5]})
    done, before, began = asyncio.Event(), resident(), time.perf_counter()
    lagging = asyncio.create_task(lag(done))
    everything = [each async for page in index.read() for each in page]
    read, memory = time.perf_counter() - began, resident() - before
    done.set()
    assert len(everything) == count
    p50, p95 = np.percentile(took, [50, 95]) * 1000
    recall = found / (5 * asked)
    late = await lagging * 1000
    mean = cpu / asked * 1000
    return Row(store, kind, written, float(p50), float(p95), mean, recall, read, late, memory)


@contextmanager
def running(store: str, folder: Path) -> Generator[Callable[[str], str]]:
    """Start a store and hand out what makes addresses."""
    if store == "faiss":
        yield Folder(folder).url
        return
    server = Chroma(folder) if store == "chroma" else Weaviate(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


async def one(store: str, kind: str, url: str, count: int, asked: int) -> Row:
    index = open_index(parse(url))
    try:
        return await measured(store, kind, index, count, asked)
    finally:
        await index.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--stores", nargs="+", default=["chroma", "faiss", "weaviate"])
    parser.add_argument("--vectors", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"""# Vector stores behind their adapters

{date.today()}, `python -m bench.stores --chunks {options.chunks} --questions {options.questions}`:
{options.chunks} chunks, {DIMENSION} dimensions, {LIMIT} candidates a question, one question after
another. {platform.machine()}, {os.cpu_count()} cores, load average {load:.1f} before;
Python {platform.python_version()}, chromadb {version("chromadb")}, faiss-cpu
{version("faiss-cpu")}, weaviate-client {version("weaviate-client")}, Weaviate 1.35.2.

| Store | Vectors | Written | Search p50 | p95 | Own CPU | Recall@5 | Read | Lag p99 | Memory |
|---|---|---|---|---|---|---|---|---|---|""")
    for store in options.stores:
        for kind in options.vectors:
            with tempfile.TemporaryDirectory() as name, running(store, Path(name)) as url:
                row = asyncio.run(one(store, kind, url(kind), options.chunks, options.questions))
            print(
                f"| {row.store} | {row.vectors} | {row.written:.0f} s | {row.p50:.1f} ms "
                f"| {row.p95:.1f} ms | {row.cpu:.1f} ms | {row.recall:.3f} | {row.read:.1f} s "
                f"| {row.lag:.0f} ms | {row.memory:.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
