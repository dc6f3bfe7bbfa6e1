"""Generations share batches; what fails, fails alone."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from agent_runtime.errors import GeneratorUnavailableError
from agent_runtime.models.generators.batches import Batcher, Job

BAD = 666


class Counting:
    """Continues each prompt with 1, 2, 3 … step by step. A prompt with BAD breaks its batch."""

    rows = 4
    spread: int | None = None
    gpus = 0

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Semaphore(0)

    def run(self, jobs: Sequence[Job]) -> None:
        self.batches.append([len(job.ids) for job in jobs])
        assert self.gate.acquire(timeout=20)
        if any(BAD in job.ids for job in jobs):
            raise MemoryError("too much")
        over = [False] * len(jobs)
        for step in range(1, 100):
            over = [each or job.put(step) for each, job in zip(over, jobs, strict=True)]
            if all(over):
                return


@pytest.fixture
async def engine() -> AsyncIterator[Counting]:
    counting = Counting()
    yield counting
    counting.gate.release(1000)


def _job(*ids: int, most: int = 3, temperature: float = 0.0, end: int = 50) -> Job:
    loop = asyncio.get_running_loop()
    return Job(ids, most, temperature, 1.0, frozenset({end}), loop)


async def _all(batcher: Batcher, job: Job) -> list[int]:
    return [token async for token in batcher.run(job)]


async def _started(batcher: Batcher, *jobs: Job) -> list[asyncio.Task[list[int]]]:
    tasks = [asyncio.create_task(_all(batcher, job)) for job in jobs]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_comes_meanwhile_is_the_next_batch_longest_first(engine: Counting) -> None:
    batcher = Batcher("m", engine, 64)
    tasks = await _started(batcher, _job(7))
    tasks += await _started(batcher, *(_job(*[7] * length, most=length) for length in range(1, 7)))
    engine.gate.release(3)
    replies = await asyncio.gather(*tasks)
    assert engine.batches == [[1], [4, 3, 2, 1], [6, 5]]
    assert [len(reply) for reply in replies] == [3, 1, 2, 3, 4, 5, 6]


async def test_a_reply_ends_with_its_end_token_which_is_not_part_of_it(engine: Counting) -> None:
    engine.gate.release()
    assert await _all(Batcher("m", engine, 64), _job(7, most=9, end=4)) == [1, 2, 3]


async def test_only_what_is_sampled_alike_and_near_in_length_shares_a_batch(
    engine: Counting,
) -> None:
    engine.spread = 2
    batcher = Batcher("m", engine, 64)
    hot = _job(7, 7, 7, temperature=1.0)
    tasks = await _started(batcher, _job(7), _job(7), _job(7, 7, 7), _job(*[7] * 9), hot)
    engine.gate.release(9)
    await asyncio.gather(*tasks)
    assert engine.batches == [[3, 1, 1], [9], [3]]


async def test_a_bad_prompt_fails_alone(engine: Counting) -> None:
    batcher = Batcher("m", engine, 64)
    tasks = await _started(batcher, _job(7), _job(7, BAD), _job(7, 7, 7))
    engine.gate.release(9)
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert good == other == [1, 2, 3]
    assert isinstance(bad, GeneratorUnavailableError)
    assert "too much" in str(bad)
    assert (await asyncio.gather(*await _started(batcher, _job(7))))[0] == [1, 2, 3]


async def test_who_leaves_the_queue_is_not_run(engine: Counting) -> None:
    batcher = Batcher("m", engine, 64)
    first = await _started(batcher, _job(7))
    leaving = await _started(batcher, _job(7, 7))
    staying = await _started(batcher, _job(7, 7, 7))
    leaving[0].cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    engine.gate.release(9)
    await asyncio.gather(*first, *staying)
    assert engine.batches == [[1], [3]]


async def test_closing_waits_for_the_batch_and_ends_the_thread(engine: Counting) -> None:
    before = set(threading.enumerate())
    batcher = Batcher("m", engine, 64)
    tasks = await _started(batcher, _job(7))
    begun = set(threading.enumerate()) - before
    assert begun
    engine.gate.release()
    await batcher.aclose()
    assert await tasks[0] == [1, 2, 3]
    assert not any(thread.is_alive() for thread in begun)


class Metered:
    """A batcher on so many GPUs. Each of its batches takes 3 seconds by its clock."""

    def __init__(self, engine: Counting, gpus: int) -> None:
        engine.gpus = gpus
        self.engine = engine
        self.told: list[float] = []
        times = itertools.count(0.0, 3.0)
        self.batcher = Batcher("m", engine, 64, lambda: next(times))
        self.batcher.meter = self.told.append

    async def run(self, *jobs: Job) -> None:
        self.engine.gate.release(len(jobs))
        await asyncio.gather(*(_all(self.batcher, job) for job in jobs))
        await self.batcher.aclose()


@pytest.mark.parametrize(("gpus", "told"), [(1, [3.0]), (4, [12.0]), (0, [])])
async def test_a_batch_costs_its_seconds_on_each_gpu(
    engine: Counting, gpus: int, told: list[float]
) -> None:
    metered = Metered(engine, gpus)
    await metered.run(_job(7))
    assert metered.told == told


async def test_rows_that_nobody_judges_by_cost_nothing(engine: Counting) -> None:
    metered = Metered(engine, 1)
    quiet = _job(7)
    quiet.judged = False
    first = await _started(metered.batcher, quiet)
    other = _job(7)
    other.judged = False
    second = await _started(metered.batcher, other, _job(7))
    engine.gate.release(2)
    await asyncio.gather(*first, *second)
    await metered.batcher.aclose()
    assert engine.batches == [[1], [1, 1]]
    assert metered.told == [0.0, 1.5]
