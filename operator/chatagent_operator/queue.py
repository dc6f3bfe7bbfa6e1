"""A keyed queue: each key is worked on by one task at a time, many keys at once.

Marking a key that is waiting changes nothing; marking one that is being worked on makes it run
once more afterwards. Marks that may wait are collected for a moment, which is the longer the more
keys are worked on. Failures come back with exponential back-off, others on demand. While the queue
is paused, marks are kept and nothing runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from chatagent_operator.core.backoff import find_wait
from chatagent_operator.kube.errors import NotLeaderError, StaleError

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 60.0
COLLECT_SECONDS, COLLECT_SECONDS_PER_TASK, MAX_COLLECT_SECONDS = 0.05, 0.01, 1.0
"""How long marks that may wait are collected."""

_log = logging.getLogger(__name__)


class KeyedQueue(Generic[K]):
    """Runs `work(key)` for every marked key.

    `work` returns seconds after which it wants to be called again, or None.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        workers: int = 512,
        *,
        paused: bool = False,
    ) -> None:
        self._work = work
        self._paused = paused
        self._slots = asyncio.Semaphore(workers)
        self._dirty: set[K] = set()
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._closed = False

    def mark(self, key: K) -> None:
        """Request work on the key, soon."""
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._dirty.add(key)
        if key not in self._tasks and not self._paused:
            self._tasks[key] = asyncio.create_task(self._drain(key))

    def mark_soon(self, key: K) -> None:
        """Request work on the key, together with what else changes in the next moment."""
        if self._paused:
            self.mark(key)
        elif not self._closed and key not in self._dirty:
            wait = COLLECT_SECONDS + COLLECT_SECONDS_PER_TASK * len(self._tasks)
            self._schedule(key, min(wait, MAX_COLLECT_SECONDS))

    def start(self) -> None:
        """Work on what was marked, and on what will be."""
        self._paused = False
        for key in list(self._dirty):
            self.mark(key)

    async def pause(self, grace: float = 0) -> None:
        """Begin no work; wait for the work in progress, and cancel what is not done by then.

        What was cancelled, or due later, is worked on once the queue is started again.

        Args:
            grace: seconds.
        """
        self._paused = True
        self._dirty.update(self._timers)
        self._cancel_timers()
        await self._finish(grace)

    async def close(self) -> None:
        """Take no more marks; wait for the work in progress."""
        self._closed = True
        self._dirty.clear()
        self._cancel_timers()
        await self._finish(None)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def _finish(self, grace: float | None) -> None:
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _drain(self, key: K) -> None:
        try:
            while key in self._dirty and not self._paused:
                async with self._slots:
                    self._dirty.discard(key)
                    await self._once(key)
        finally:
            self._tasks.pop(key, None)

    async def _once(self, key: K) -> None:
        try:
            again = await self._work(key)
            self._failures.pop(key, None)
        except asyncio.CancelledError:
            self._dirty.add(key)
            raise
        except (NotLeaderError, StaleError):
            again = FIRST_RETRY_SECONDS  # the queue is about to be paused, or the watch to report
        except Exception as error:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            again = find_wait(count, FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
            _log.warning(
                "%s failed, attempt %d, next in %.1f s: %s",
                key,
                count,
                again,
                error,
                exc_info=not str(error),
            )
        if again is None or key in self._dirty or self._closed:
            return
        if self._paused:
            self._dirty.add(key)
        else:
            self._schedule(key, again)

    def _schedule(self, key: K, seconds: float) -> None:
        """Mark the key after some seconds, unless it will be marked sooner."""
        loop = asyncio.get_running_loop()
        if timer := self._timers.get(key):
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self.mark, key)
