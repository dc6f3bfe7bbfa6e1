"""The keyed queue: one look at a time for a key, none lost, failures come back."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import pytest

from chatagent_operator import queue
from chatagent_operator.kube.errors import ApiError, NotLeaderError, StaleError
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


async def test_a_failure_is_retried_and_delays_no_other_key(
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


async def test_work_may_request_a_requeue() -> None:
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


async def test_close_waits_for_work_in_progress() -> None:
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


async def test_a_paused_queue_keeps_marked_keys() -> None:
    looked: list[str] = []
    done = asyncio.Event()

    async def work(key: str) -> None:
        looked.append(key)
        if len(looked) == 2:
            done.set()

    marked: KeyedQueue[str] = KeyedQueue(work, paused=True)
    for key in ("a", "b", "a"):
        marked.mark(key)
    assert len(asyncio.all_tasks()) == 1, "nothing is begun"
    marked.start()
    await asyncio.wait_for(done.wait(), 5)
    await marked.close()
    assert sorted(looked) == ["a", "b"]


async def test_work_in_progress_when_the_queue_is_paused_is_cancelled_and_done_again() -> None:
    started, release = asyncio.Event(), asyncio.Event()
    cancelled: list[str] = []
    finished: asyncio.Queue[str] = asyncio.Queue()

    async def work(key: str) -> None:
        started.set()
        try:
            await release.wait()
        except asyncio.CancelledError:
            cancelled.append(key)
            raise
        finished.put_nowait(key)

    marked: KeyedQueue[str] = KeyedQueue(work, workers=1)
    marked.mark("a")
    await started.wait()
    marked.mark("b")  # it waits for its turn
    await marked.pause()
    assert cancelled == ["a"]
    assert len(asyncio.all_tasks()) == 1
    release.set()
    marked.start()
    async with asyncio.timeout(5):
        assert {await finished.get(), await finished.get()} == {"a", "b"}
    await marked.close()


async def test_work_may_be_finished_within_the_grace() -> None:
    started = asyncio.Event()
    finished: list[str] = []

    async def work(key: str) -> None:
        started.set()
        await asyncio.sleep(0.01)
        finished.append(key)

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("a")
    await started.wait()
    marked.mark("a")
    await marked.pause(grace=5)
    assert finished == ["a"], "once: what was marked meanwhile waits"
    started.clear()
    marked.start()
    await started.wait()
    await marked.pause(grace=5)
    assert finished == ["a", "a"]


async def test_a_queue_paused_right_after_a_mark_loses_nothing() -> None:
    """The task has not begun, and a task that is cancelled before never does."""
    looked = asyncio.Event()

    async def work(_: str) -> None:
        looked.set()

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("a")
    await marked.pause()
    marked.start()
    await asyncio.wait_for(looked.wait(), 5)
    await marked.close()


async def test_a_key_that_is_due_later_is_worked_on_when_the_queue_starts_again() -> None:
    looks: asyncio.Queue[str] = asyncio.Queue()

    async def work(key: str) -> float:
        looks.put_nowait(key)
        return 3600

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("a")
    async with asyncio.timeout(5):
        await looks.get()
        await marked.pause(grace=5)
        marked.start()
        assert await looks.get() == "a"
    await marked.close()


async def test_a_key_whose_work_ends_while_the_queue_is_paused_is_not_lost() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def work(_: str) -> float:
        started.set()
        await release.wait()
        return 3600

    marked: KeyedQueue[str] = KeyedQueue(work)
    marked.mark("a")
    await started.wait()
    pausing = asyncio.create_task(marked.pause(grace=5))
    await asyncio.sleep(0)
    release.set()
    await pausing
    started.clear()
    marked.start()
    await asyncio.wait_for(started.wait(), 5)
    await marked.close()


@pytest.mark.parametrize("error", [NotLeaderError("PATCH", "/a"), StaleError(409, "modified")])
async def test_a_write_that_was_refused_in_time_is_no_failure(
    error: ApiError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "FIRST_RETRY_SECONDS", 0.001)
    looks: Counter[str] = Counter()
    done = asyncio.Event()

    async def work(key: str) -> None:
        looks[key] += 1
        if looks[key] < 5:
            raise error
        done.set()

    marked: KeyedQueue[str] = KeyedQueue(work)
    caplog.set_level(logging.DEBUG)
    marked.mark("a")
    await asyncio.wait_for(done.wait(), 5)
    await marked.close()
    assert not [each for each in caplog.records if each.name == queue.__name__]


async def test_changes_that_come_together_are_worked_on_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue, "COLLECT_SECONDS", 0.01)
    looked: list[str] = []
    worked: asyncio.Queue[str] = asyncio.Queue()

    async def work(key: str) -> float | None:
        looked.append(key)
        worked.put_nowait(key)
        return 60.0 if len(looked) == 1 else None

    marked: KeyedQueue[str] = KeyedQueue(work)
    for _ in range(10):
        marked.mark_soon("a")
        await asyncio.sleep(0)
    assert not looked, "nothing is worked on at once"
    async with asyncio.timeout(5):
        await worked.get()
        marked.mark_soon("a")  # sooner than the minute it is due in
        await worked.get()
        marked.mark_soon("b")
        marked.mark("b")  # what must not wait does not, and covers what may
        await worked.get()
        marked.mark_soon("last")
        await worked.get()
    await marked.close()
    assert looked == ["a", "a", "b", "last"]


async def test_marks_that_may_wait_are_kept_by_a_paused_queue() -> None:
    done = asyncio.Event()

    async def work(_: str) -> None:
        done.set()

    marked: KeyedQueue[str] = KeyedQueue(work, paused=True)
    marked.mark_soon("a")
    marked.start()
    await asyncio.wait_for(done.wait(), 5)
    await marked.close()


async def test_the_more_is_worked_on_the_longer_changes_are_collected() -> None:
    release = asyncio.Event()

    async def work(_: str) -> None:
        await release.wait()

    loop = asyncio.get_running_loop()
    marked: KeyedQueue[str] = KeyedQueue(work)
    for number in range(300):
        marked.mark(str(number))
    marked.mark_soon("a")
    wait = marked._timers["a"].when() - loop.time()  # pyright: ignore[reportPrivateUsage]
    assert 0.9 < wait <= queue.MAX_COLLECT_SECONDS
    release.set()
    await marked.close()
