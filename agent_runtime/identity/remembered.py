"""Answers of the API server that are good for a while, and asked for once by many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from agent_runtime.expiring import Expiring

T = TypeVar("T")
ENTRIES = 10_000


class Remembered(Generic[T]):
    """A cache in front of a question. `seconds` says how long an answer is good."""

    def __init__(
        self, seconds: Callable[[T], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._known: Expiring[bytes, tuple[T]] = Expiring(ENTRIES, clock=clock)
        self._asking: dict[bytes, asyncio.Task[T]] = {}

    async def get(self, key: bytes, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer, and what `ask` raises. Who goes away takes nobody's answer along."""
        if (known := self._known.get(key)) is not None:
            return known[0]
        if (task := self._asking.get(key)) is None:
            task = asyncio.create_task(self._ask(key, ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    async def _ask(self, key: bytes, ask: Callable[[], Awaitable[T]]) -> T:
        answer = await ask()
        self._known.put(key, (answer,), self._seconds(answer))
        return answer

    def _done(self, key: bytes, task: asyncio.Task[T]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # Seen, also where everybody who asked has gone.
