"""A keyed queue: each key is worked on by one task at a time, many keys at once.

Marking a key that is waiting changes nothing; marking one that is being worked on makes it run
once more afterwards. Failures come back with exponential back-off, others on demand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 60.0

_log = logging.getLogger(__name__)


class KeyedQueue(Generic[K]):
    """Runs `work(key)` for every marked key.

    `work` returns seconds after which it wants to be called again, or None.
    """

    def __init__(self, work: Callable[[K], Awaitable[float | None]], workers: int = 32) -> None:
        self._work = work
        self._slots = asyncio.Semaphore(workers)
        self._dirty: set[K] = set()
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._closed = False

    def mark(self, key: K) -> None:
        """Ask for a look at the key, soon."""
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._dirty.add(key)
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._drain(key))

    async def close(self) -> None:
        """Take no more marks; wait for the looks that are under way."""
        self._closed = True
        self._dirty.clear()
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _drain(self, key: K) -> None:
        try:
            while key in self._dirty:
                async with self._slots:
                    self._dirty.discard(key)
                    await self._once(key)
        finally:
            del self._tasks[key]

    async def _once(self, key: K) -> None:
        try:
            again = await self._work(key)
            self._failures.pop(key, None)
        except Exception as error:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            again = min(FIRST_RETRY_SECONDS * 2 ** (count - 1), LAST_RETRY_SECONDS)
            _log.warning(
                "%s failed, attempt %d, next in %.1f s: %s",
                key,
                count,
                again,
                error,
                exc_info=not str(error),
            )
        if again is not None and key not in self._dirty and not self._closed:
            self._timers[key] = asyncio.get_running_loop().call_later(again, self.mark, key)
