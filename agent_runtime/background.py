"""An event loop in a thread of its own, for callers with a loop of theirs or with none.

What an agent holds (connections, tasks) belongs to one loop; this is the one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Events = Callable[[], AsyncGenerator[T]]


class Background:
    """Starts with its first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    async def awaited(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine from one of another loop. Cancelled with its waiter."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running()))

    def iterated(self, events: Events[T]) -> Generator[T]:
        """Yield what an asynchronous generator yields."""
        source = events()
        try:
            while True:
                try:
                    yield self.run(_next(source))
                except StopAsyncIteration:
                    return
        finally:
            self.run(source.aclose())

    async def aiterated(self, events: Events[T]) -> AsyncGenerator[T]:
        """Yield the same for a coroutine of another loop."""
        source = events()
        try:
            while True:
                try:
                    yield await self.awaited(_next(source))
                except StopAsyncIteration:
                    return
        finally:
            await self.awaited(source.aclose())

    def stop(self) -> None:
        """End the loop and its thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_forever, args=(self._loop,), name="agent", daemon=True
                ).start()
            return self._loop


async def _next(source: AsyncGenerator[T]) -> T:
    return await anext(source)


def _forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
