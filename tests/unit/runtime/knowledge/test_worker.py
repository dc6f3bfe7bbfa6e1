"""The process that reads documents: what comes back, and what it survives."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk
from agent_runtime.errors import AgentError, UnreadableDocumentError
from agent_runtime.knowledge.preparing import passages
from agent_runtime.knowledge.sources import Original, original
from agent_runtime.knowledge.worker import DocumentWorker
from agent_runtime.models.tokens import TokenizerFile
from tests.contract.runtime.processes import until
from tests.unit.runtime.knowledge.counters import broken, words

CONFIG = ChunkingConfig(max_tokens=32)


@pytest.fixture
def worker() -> Iterator[DocumentWorker]:
    worker = DocumentWorker(words, CONFIG)
    yield worker
    worker.close()


def document(text: str) -> Original:
    return original("files", "a.md", text.encode(), "r")


async def read(worker: DocumentWorker, each: Original) -> list[Chunk]:
    return [chunk async for part in worker(each) for chunk in part]


def process_of(worker: DocumentWorker) -> int:
    process = worker._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    return process.pid


async def test_it_returns_what_this_process_would(worker: DocumentWorker, tmp_path: Path) -> None:
    long = "\n\n".join(f"# H{n}\n\nParagraph {n} of some words." for n in range(100))
    assert await read(worker, document(long)) == passages(document(long), words, CONFIG)
    file = tmp_path / "b.md"
    file.write_text("In a file.")
    assert [chunk.text for chunk in await read(worker, original("s", "b.md", file, "r"))] == [
        "In a file."
    ]
    assert await read(worker, document("# Only a heading")) == []
    assert os.getpriority(os.PRIO_PROCESS, process_of(worker)) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_it_counts_with_a_tokenizer_file(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count = TokenizerFile(tmp_path / "tokenizer.json")
    assert count(["a b c d", "", "e"]) == [4, 0, 1]
    worker = DocumentWorker(count, CONFIG)
    try:
        assert len(await read(worker, document("word " * 100))) == 4
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\0", "binary, not text"),
        ("RAISE", "it cannot be read: ValueError('raised')"),
        ("MEMORY", "it cannot be read: MemoryError()"),
        ("CRASH", "it broke the process that reads it"),
        ("BLOCK", "it could not be read within 2 seconds"),
    ],
)
async def test_what_a_document_does_to_it_costs_no_other(text: str, reason: str) -> None:
    worker = DocumentWorker(words, CONFIG, seconds=2 if text == "BLOCK" else 120)
    try:
        for _ in range(2):
            with pytest.raises(UnreadableDocumentError) as refused:
                await read(worker, document(text))
            assert str(refused.value) == reason
            assert [chunk.text for chunk in await read(worker, document("Good."))] == ["Good."]
    finally:
        worker.close()


async def test_a_reader_that_stops_early_does_not_mix_up_documents(worker: DocumentWorker) -> None:
    long = "\n\n".join(f"# H{n}\n\nText {n}." for n in range(200))
    async with aclosing(worker(document(long))) as parts:
        await anext(parts)
    assert [chunk.text for chunk in await read(worker, document("Next."))] == ["Next."]


async def test_a_reader_that_is_cancelled_frees_it_at_once() -> None:
    worker = DocumentWorker(words, CONFIG, seconds=600)
    try:
        await read(worker, document("Start."))
        task = asyncio.create_task(read(worker, document("BLOCK")))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):  # not the 60 s for which the document blocks
            assert [chunk.text for chunk in await read(worker, document("Next."))] == ["Next."]
    finally:
        worker.close()


async def test_a_document_given_up_while_the_process_starts_is_not_the_next_one_s(
    worker: DocumentWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, go_on = threading.Event(), threading.Event()
    start = subprocess.Popen

    def slow(*args: Any, **more: Any) -> Any:
        starting.set()
        assert go_on.wait(60)
        return start(*args, **more)

    monkeypatch.setattr(subprocess, "Popen", slow)
    task = asyncio.create_task(read(worker, document("Given up.")))
    assert await asyncio.to_thread(starting.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    for text in ("Next.", "And the one after."):
        assert [chunk.text for chunk in await read(worker, document(text))] == [text]


async def test_closing_ends_a_process_that_is_just_started(
    worker: DocumentWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, go_on = threading.Event(), threading.Event()
    start, started = subprocess.Popen, list[Any]()

    def slow(*args: Any, **more: Any) -> Any:
        starting.set()
        assert go_on.wait(60)
        started.append(start(*args, **more))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", slow)
    task = asyncio.create_task(read(worker, document("Given up.")))
    assert await asyncio.to_thread(starting.wait, 60)
    task.cancel()
    worker.close()
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("documents"):
            await asyncio.to_thread(thread.join, 60)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0].returncode == -signal.SIGKILL


async def test_callers_wait_for_each_other(worker: DocumentWorker) -> None:
    found = await asyncio.gather(*(read(worker, document(f"Text {n}.")) for n in range(10)))
    assert [each[0].text for each in found] == [f"Text {n}." for n in range(10)]


async def test_a_worker_that_cannot_start_says_so() -> None:
    worker = DocumentWorker(broken, CONFIG)
    with pytest.raises(AgentError, match="does not start"):
        await read(worker, document("Text."))
    worker.close()


async def test_closing_ends_the_process_and_the_thread(worker: DocumentWorker) -> None:
    await read(worker, document("Text."))
    pid = process_of(worker)
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    for thread in threading.enumerate():
        if thread.name.startswith("documents"):
            thread.join(5)
            assert not thread.is_alive()


ORPHAN = """
import asyncio, os, signal
from agent_runtime.config import ChunkingConfig
from agent_runtime.knowledge.sources import original
from agent_runtime.knowledge.worker import DocumentWorker
from tests.unit.runtime.knowledge.counters import words

async def main():
    worker = DocumentWorker(words, ChunkingConfig())
    async for _ in worker(original("s", "a.md", b"Text.", "r")):
        print(worker._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    root = str(Path(__file__).resolve().parents[4])
    parent = subprocess.run(
        [sys.executable, "-c", ORPHAN], cwd=root, stdout=subprocess.PIPE, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    orphan = Path("/proc", parent.stdout.strip(), "cmdline")

    def ended() -> bool | None:
        try:
            return b"knowledge.reading" not in orphan.read_bytes() or None  # a zombie has none
        except OSError:
            return True

    assert until(ended, "it is still there")
