"""Extractive answers end to end over HTTP, on the quickstart's documents and questions.

`python -m bench.runtime` starts Chroma and one agent on this machine, so client, agent and store
share its cores. At the fixed rate a request's time counts from when it was due, not from when it
was sent: a slow answer cannot hide the ones behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import aiohttp
import numpy as np

from agent_runtime.models.catalogue import find
from bench import pace
from bench.corpus import questions
from tests.contract.runtime.images import converted
from tests.contract.runtime.processes import KNOWLEDGE, REPOSITORY, Agent, Chroma, Ingestion

PACKAGES = ("chromadb", "onnxruntime", "fastapi", "uvicorn", "numpy", "tokenizers", "bm25s")
MODEL = "sentence-transformers/all-MiniLM-L6-v2"


async def ask(session: aiohttp.ClientSession, url: str, question: str) -> None:
    body = {"messages": [{"role": "user", "content": question}]}
    async with session.post(url, json=body) as reply:
        assert reply.status == 200, await reply.text()
        await reply.read()


async def at_rate(url: str, asked: Sequence[str], rate: float) -> list[float]:
    """Return the latency of each answer, in seconds, at `rate` requests a second."""
    async with aiohttp.ClientSession() as session:
        return await pace.at_rate(partial(ask, session, url), asked, rate)


async def at_full_speed(url: str, asked: Iterator[str], clients: int, seconds: float) -> float:
    """Return answers a second with so many clients, each asking again at once."""
    answered, end = 0, time.perf_counter() + seconds

    async def one(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.perf_counter() < end:
            await ask(session, url, next(asked))
            answered += 1

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one(session))
    return answered / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", type=Path, help="of `agent-runtime convert`; made once unless given"
    )
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    arguments.models = arguments.models or converted()
    find(arguments.models, MODEL)
    with tempfile.TemporaryDirectory() as name:
        report = measured(Path(name), arguments)
    file = REPOSITORY / "bench" / "results" / f"runtime-{date.today()}.md"
    file.parent.mkdir(exist_ok=True)
    file.write_text(report)
    print(report)


def measured(folder: Path, arguments: argparse.Namespace) -> str:
    chroma = Chroma(folder)
    agent = Agent(folder, arguments.models, chroma.url("bench"))
    try:
        chroma.start()
        began = time.perf_counter()
        indexed = Ingestion(folder, arguments.models, chroma.url("bench"), KNOWLEDGE).run()
        ingested, began = time.perf_counter() - began, time.perf_counter()
        agent.start()
        agent.becomes(ready=True)
        started = time.perf_counter() - began
        load = os.getloadavg()[0]
        return asyncio.run(asked(agent, arguments, indexed, ingested, started, load))
    finally:
        agent.stop()
        chroma.stop()


async def asked(
    agent: Agent,
    arguments: argparse.Namespace,
    indexed: dict[str, object],
    ingested: float,
    started: float,
    load: float,
) -> str:
    url = f"{agent.base}/v1/chat/completions"
    every = iter(questions(100_000))
    await at_full_speed(url, every, 2, 2)  # what is computed once is not what we measure
    once = list(islice(every, int(arguments.rate * arguments.seconds)))
    made, known = [
        np.percentile(await at_rate(url, once, arguments.rate), [50, 95, 99]) * 1000
        for _ in range(2)
    ]
    most = await at_full_speed(url, every, arguments.clients, arguments.seconds)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"""# Extractive answers, end to end

{date.today()}, `python -m bench.runtime --rate {arguments.rate:g} --seconds {arguments.seconds:g}
--clients {arguments.clients}`. Client, agent and Chroma on one machine: {platform.machine()},
{os.cpu_count()} cores, {_processor()}, load average {load:.1f} before the questions.
Python {platform.python_version()}, {versions}.

| Measure | Value |
|---|---|
| Documents, chunks | {indexed["documents"]}, {indexed["chunks"]} |
| Ingestion from nothing | {ingested:.1f} s |
| From process start to ready | {started:.1f} s |
| Answers made at {arguments.rate:g}/s, p50, p95, p99 | {_milliseconds(made)} |
| Answers known from before at {arguments.rate:g}/s, p50, p95, p99 | {_milliseconds(known)} |
| Most answers a second, {arguments.clients} clients | {most:.0f} |
"""


def _milliseconds(percentiles: Iterable[float]) -> str:
    return ", ".join(f"{each:.1f} ms" for each in percentiles)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "processor unknown")


if __name__ == "__main__":
    main()
