"""Requests share batches, take turns, fail alone and leave when they are cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.domain import Matrix, TextKind
from agent_runtime.errors import EmbeddingsUnavailableError, OverloadedError
from agent_runtime.models.batching import Batching

KINDS: list[tuple[str, TextKind]] = [
    ("1", "query"), ("2", "query"), ("1", "passage"), ("1", "plain"), ("3", "plain"),
]  # fmt: skip


class Slow:
    """Embeds a number as itself, once the gate opens. `bad` texts raise."""

    model = "org/slow"
    dimension = 2
    max_tokens = 256
    passage_prompt = ""

    def __init__(self, gated: bool = True) -> None:
        self.calls: list[list[str]] = []
        self.kinds: list[TextKind] = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.gated = gated
        self.away = False

    def reads(self, language: str) -> bool:
        return language == "en"

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        self.kinds.append(kind)
        self.calls.append(list(texts))
        self.started.release()
        if self.gated:
            assert self.gate.acquire(timeout=20)
        if self.away:
            raise EmbeddingsUnavailableError("away")
        if any("bad" in text for text in texts):
            raise ValueError("cannot read it")
        return np.array([[float(text), 1.0] for text in texts], np.float32)

    async def running(self) -> None:
        """Wait until a call has begun."""
        assert await asyncio.to_thread(self.started.acquire, timeout=20)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    embedder = Slow()
    yield embedder
    embedder.gate.release(1000)


def _one(embedder: Slow, **options: Any) -> Batching:
    return Batching(embedder, **{"workers": 1, **options})


async def test_what_comes_while_a_batch_runs_is_embedded_in_one_call(slow: Slow) -> None:
    vectors = _one(slow)
    tasks = [asyncio.create_task(vectors.embed(["0"], "query"))]
    await slow.running()
    tasks += [asyncio.create_task(vectors.embed([str(number)], "query")) for number in range(1, 20)]
    await _settle()
    slow.gate.release(2)
    rows = await asyncio.gather(*tasks)
    assert slow.calls == [["0"], [str(number) for number in range(1, 20)]]
    assert [float(row[0, 0]) for row in rows] == list(range(20))
    await vectors.aclose()


async def test_a_lone_request_does_not_wait_for_company(slow: Slow) -> None:
    vectors = _one(slow)
    slow.gate.release()
    assert (await vectors.embed(["7"], "query")).tolist() == [[7, 1]]


async def test_as_many_batches_run_at_once_as_there_are_workers(slow: Slow) -> None:
    vectors = _one(slow, workers=2)
    tasks: list[asyncio.Task[Matrix]] = []
    for number in range(2):
        tasks.append(asyncio.create_task(vectors.embed([str(number)], "query")))
        await slow.running()
    assert slow.calls == [["0"], ["1"]]
    slow.gate.release(2)
    await asyncio.gather(*tasks)


async def test_a_question_waits_for_one_batch_of_an_ingestion_at_most(slow: Slow) -> None:
    vectors = _one(slow, batch=10)
    many = asyncio.create_task(vectors.embed([str(number) for number in range(100)], "query"))
    await slow.running()
    question = asyncio.create_task(vectors.embed(["555"], "query"))
    await _settle()
    slow.gate.release(2)
    assert (await question)[0, 0] == 555
    assert not many.done()
    slow.gate.release(100)
    assert (await many)[:, 0].tolist() == list(range(100))


async def test_long_texts_make_small_batches(slow: Slow) -> None:
    vectors = _one(slow, characters=100)
    slow.gate.release(10)
    texts = [f"{number:040}" for number in range(5)]
    assert (await vectors.embed(texts, "query"))[:, 0].tolist() == list(range(5))
    assert [len(call) for call in slow.calls] == [2, 2, 1]
    await vectors.embed([f"{1:0500}"], "query")
    assert len(slow.calls[-1]) == 1


async def test_a_full_queue_says_when_to_come_again(slow: Slow) -> None:
    vectors = _one(slow, queue=2)
    tasks = [asyncio.create_task(vectors.embed(["0"], "query"))]
    await slow.running()
    tasks += [asyncio.create_task(vectors.embed([str(number)], "query")) for number in (1, 2)]
    await _settle()
    with pytest.raises(OverloadedError) as refused:
        await vectors.embed(["3"], "query")
    assert 1 <= refused.value.retry_after <= 60
    slow.gate.release(2)
    await asyncio.gather(*tasks)
    slow.gate.release()
    assert (await vectors.embed(["3"], "query"))[0, 0] == 3


async def test_who_goes_away_is_not_embedded(slow: Slow) -> None:
    vectors = _one(slow, queue=2)
    first = asyncio.create_task(vectors.embed(["0"], "query"))
    await slow.running()
    leaving = asyncio.create_task(vectors.embed(["1"], "query"))
    staying = asyncio.create_task(vectors.embed(["2"], "query"))
    await _settle()
    leaving.cancel()
    await _settle()
    slow.gate.release(2)
    await asyncio.gather(first, staying)
    assert slow.calls == [["0"], ["2"]]
    assert leaving.cancelled()


async def test_a_bad_text_fails_its_own_request_only(slow: Slow) -> None:
    vectors = _one(slow)
    first = asyncio.create_task(vectors.embed(["0"], "query"))
    await slow.running()
    good = [asyncio.create_task(vectors.embed([str(number)], "query")) for number in (1, 2)]
    bad = asyncio.create_task(vectors.embed(["3", "bad"], "query"))
    await _settle()
    slow.gate.release(10)
    rows = await asyncio.gather(first, *good)
    assert [float(row[0, 0]) for row in rows] == [0, 1, 2]
    with pytest.raises(EmbeddingsUnavailableError, match="cannot read it"):
        await bad


async def test_a_service_that_is_away_is_asked_once_for_a_batch(slow: Slow) -> None:
    vectors = _one(slow)
    slow.away = True
    first = asyncio.create_task(vectors.embed(["0"], "query"))
    await slow.running()
    tasks = [
        first,
        *(asyncio.create_task(vectors.embed([str(number)], "query")) for number in (1, 2, 3)),
    ]
    await _settle()
    slow.gate.release(10)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, EmbeddingsUnavailableError) for each in done)
    assert [len(call) for call in slow.calls] == [1, 3]
    slow.away = False
    assert (await vectors.embed(["4"], "query"))[0, 0] == 4


async def test_a_question_asked_again_is_known(slow: Slow) -> None:
    vectors = _one(slow, remembered=2)
    slow.gate.release(10)
    for text in ("1", " 1\n", "2", "1", "3", "1", "2"):
        assert (await vectors.embed([text], "query"))[0, 0] == float(text)
    assert slow.calls == [["1"], ["2"], ["3"], ["2"]]
    assert (await vectors.embed([], "query")).shape == (0, 2)


async def test_questions_and_passages_share_no_batch_and_no_vector(slow: Slow) -> None:
    vectors = _one(slow)
    first = asyncio.create_task(vectors.embed(["0"], "query"))
    await slow.running()
    tasks = [asyncio.create_task(vectors.embed([text], kind)) for text, kind in KINDS]
    await _settle()
    slow.gate.release(10)
    await asyncio.gather(first, *tasks)
    assert slow.calls == [["0"], ["1", "2"], ["1"], ["1", "3"]]
    assert slow.kinds == ["query", "query", "passage", "plain"]
    await vectors.embed(["3"], "query")
    assert slow.calls[-1] == ["3"]


@settings(max_examples=40)
@given(
    requests=st.lists(st.lists(st.integers(0, 999), max_size=30), max_size=20),
    workers=st.integers(1, 3),
    batch=st.integers(1, 12),
    characters=st.integers(1, 20),
)
async def test_everybody_gets_their_own_rows_in_order(
    requests: list[list[int]], workers: int, batch: int, characters: int
) -> None:
    embedder = Slow(gated=False)
    vectors = Batching(embedder, workers=workers, batch=batch, characters=characters)
    rows = await asyncio.gather(
        *(vectors.embed([str(number) for number in numbers], "query") for numbers in requests)
    )
    assert [row[:, 0].tolist() for row in rows] == requests
    assert all(len(call) <= batch for call in embedder.calls)
    await vectors.aclose()
