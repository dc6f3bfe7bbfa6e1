"""Ingestions that are killed, over every store, and completed by the next."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from agent_runtime.domain import Chunk, ChunkKey
from agent_runtime.knowledge.ingest import Ingested, Ingestion
from agent_runtime.knowledge.sources import Original, original
from agent_runtime.stores import Index
from tests.contract.runtime.stores.chunks import read
from tests.unit.runtime.fakes import HashingEmbedder, KilledError

pytestmark = pytest.mark.timeout(1200)
Open = Callable[[], Index]


class Dying:
    """A writer whose process is killed before the n-th call that changes something."""

    def __init__(self, index: Index, calls: int) -> None:
        self._index = index
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if name in ("begin", "upsert", "delete", "publish"):
            self._calls -= 1
            if self._calls < 0:
                raise KilledError
        return getattr(self._index, name)


async def passages(original: Original) -> AsyncGenerator[Sequence[Chunk]]:
    """A chunk for each line."""
    lines = original.read().decode().splitlines()
    keys = [
        ChunkKey(f"{original.path}#{original.fingerprint[:12]}-{n}", original.source,
                 original.path, original.fingerprint, len(lines))
        for n in range(len(lines))
    ]  # fmt: skip
    yield [
        Chunk(key, "T", (), line, 0, ((0, len(line)),))
        for key, line in zip(keys, lines, strict=True)
    ]


def documents(word: str) -> list[Original]:
    """20 documents of 4 lines: each batch of an ingestion holds several."""
    texts = {f"{n}.md": "\n".join(f"{word} {n} {line}" for line in range(4)) for n in range(20)}
    return [original("s", path, text.encode(), "recipe") for path, text in texts.items()]


def quiet(done: int, total: int, chunks: int) -> None:
    """Show no progress."""


async def ingest(writer: Any, found: Sequence[Original]) -> Ingested:
    counting = Ingestion(writer, HashingEmbedder(), passages, quiet, clock=lambda: 0)
    return await counting.run(found)


async def texts(index: Index) -> set[str]:
    return {each.chunk.text for each in (await read(index)).values()}


@pytest.mark.parametrize("calls", range(6))
async def test_a_killed_ingestion_is_completed_by_the_next(opened: Open, calls: int) -> None:
    await ingest(opened(), documents("old"))
    killed, reader = opened(), opened()
    with pytest.raises(KilledError):
        await ingest(Dying(killed, calls), documents("new"))
    left = await reader.describe()
    assert left is not None
    assert (left.version, left.documents, left.pending) == (1, 20, calls > 0)
    await killed.close()  # as the end of a process does
    done = await ingest(opened(), documents("new"))
    assert (done.documents, done.chunks, done.index_version) == (20, 80, 2)
    assert await texts(reader) == {f"new {n} {line}" for n in range(20) for line in range(4)}
    after = await reader.describe()
    assert after is not None
    assert (after.version, after.documents, after.pending) == (2, 20, False)


async def test_an_ingestion_that_failed_is_gone_on_with_by_the_same_writer(opened: Open) -> None:
    writer = opened()
    await ingest(writer, documents("old"))
    with pytest.raises(KilledError):
        await ingest(Dying(writer, 2), documents("new"))
    done = await ingest(writer, documents("old"))  # somebody took the change back
    assert (done.chunks, done.index_version) == (80, 2)
    assert await texts(opened()) == {f"old {n} {line}" for n in range(20) for line in range(4)}
