"""The keyed queue: one look at a time for a key, none lost, failures come back."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from chatagent_operator import queue
from chatagent_operator.queue import KeyedQueue


async def test_a_key_is_worked_on_by_one_task_at_a_time_and_no_mark_is_lost() -> None:
    running: Counter[str] = Counter()
    looks: Counter[str] = Counter()
    release = asyncio.Event()
    started = asyncio.Event()
    done = asyncio.Event()

    async def work(key: str) -> None:
        running[key] += 1
        assert running[key] == 1
        looks[key] += 1
        started.set()
        await release.wait()
        running[key] -= 1
        if looks.total() == 3:
            done.set()

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("a")
    await started.wait()
    for _ in range(10):
        marked.mark("a")  # while it is worked on: exactly one more look
    marked.mark("b")
    release.set()
    await asyncio.wait_for(done.wait(), 5)
    await marked.close()
    assert looks == Counter(a=2, b=1)


async def test_a_failure_comes_back_and_harms_no_other_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue, "FIRST_RETRY_SECONDS", 0.001)
    done = asyncio.Event()
    tries: Counter[str] = Counter()

    async def work(key: str) -> None:
        tries[key] += 1
        if key == "bad" and tries[key] < 4:
            raise RuntimeError("not yet")
        if key == "bad":
            done.set()

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("bad")
    marked.mark("good")
    await asyncio.wait_for(done.wait(), 5)
    await marked.close()
    assert tries == Counter(bad=4, good=1)


async def test_work_may_ask_for_another_look() -> None:
    looks = 0
    done = asyncio.Event()

    async def work(_: str) -> float | None:
        nonlocal looks
        looks += 1
        if looks == 3:
            done.set()
            return None
        return 0.001

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("a")
    await asyncio.wait_for(done.wait(), 5)
    await marked.close()


async def test_close_waits_for_what_is_under_way() -> None:
    finished = False
    started = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal finished
        started.set()
        await asyncio.sleep(0.01)
        finished = True

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("a")
    await started.wait()
    await marked.close()
    marked.mark("b")
    assert finished
