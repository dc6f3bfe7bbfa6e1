"""How many turns are worked on at once, and who waits: bounded, fair, and refused early.

Callers take turns, so that one who asks a lot delays mostly themselves. Who would wait for longer
than allowed is told so at once instead of after the wait.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from agent_runtime.config import LimitsConfig
from agent_runtime.errors import OverloadedError

_MEMORY = 0.8
"""Weight of what is known of durations against the newest one."""


class Admission:
    """Places for turns. `changed` is told how many run and how many wait."""

    def __init__(
        self,
        limits: LimitsConfig,
        changed: Callable[[int, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._changed = changed
        self._clock = clock
        self._running = 0
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        """Who waits, by caller. The first caller's turn is next."""
        self._seconds = 0.0
        """How long a turn takes, lately."""

    @property
    def waiting(self) -> int:
        """How many turns wait."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncGenerator[None]:
        """Hold a place while the turn lasts. Raises OverloadedError."""
        await self.enter(caller)
        began = self._clock()
        try:
            yield
        finally:
            self.leave(self._clock() - began)

    async def enter(self, caller: str) -> None:
        """Take a place, or wait for one. Raises OverloadedError."""
        if self._running < self._limits.concurrency and not self._queues:
            self._running += 1
            self._tell()
            return
        self._check(caller)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(caller, deque()).append(mine)
        self._tell()
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                await mine
        except TimeoutError:
            self._withdraw(caller, mine)
            raise self._overloaded("waited too long for its turn") from None
        except BaseException:
            self._withdraw(caller, mine)
            raise

    def leave(self, seconds: float) -> None:
        """Give a place back after so many seconds."""
        self._seconds = (
            _MEMORY * self._seconds + (1 - _MEMORY) * seconds if self._seconds else seconds
        )
        self._running -= 1
        self._next()

    def _check(self, caller: str) -> None:
        """Raise OverloadedError where waiting is no use."""
        own = len(self._queues.get(caller, ()))
        if self.waiting >= self._limits.queue and not self._displace(own):
            raise self._overloaded("the queue is full")
        ahead = own + sum(
            min(len(queue), own + 1) for name, queue in self._queues.items() if name != caller
        )
        expected = self._seconds * (ahead + 1) / self._limits.concurrency
        if expected > self._limits.queue_seconds:
            raise self._overloaded(f"it would wait for {expected:.0f} s")

    def _displace(self, own: int) -> bool:
        """Send away the newest of whoever has the most waiting, if that is fairer."""
        most = max(self._queues.values(), key=len, default=None)
        if most is None or len(most) <= own + 1:
            return False
        newest = most.pop()
        if not newest.done():  # its client may have left just now
            newest.set_exception(self._overloaded("others wait with fewer turns"))
        return True

    def _withdraw(self, caller: str, mine: asyncio.Future[None]) -> None:
        if mine.done() and not mine.cancelled() and mine.exception() is None:
            self._running -= 1  # the place came just as its taker left
        queue = self._queues.get(caller)
        if queue is not None and mine in queue:
            queue.remove(mine)
            if not queue:
                del self._queues[caller]
        self._next()

    def _next(self) -> None:
        while self._queues and self._running < self._limits.concurrency:
            caller = next(iter(self._queues))
            queue = self._queues.pop(caller)
            mine = queue.popleft()
            if queue:
                self._queues[caller] = queue  # at the end: the others come first
            if not mine.done():
                mine.set_result(None)
                self._running += 1
        self._tell()

    def _overloaded(self, why: str) -> OverloadedError:
        ahead = self.waiting + self._running
        seconds = self._seconds * ahead / self._limits.concurrency
        return OverloadedError(f"too many turns at once: {why}", max(1, math.ceil(seconds)))

    def _tell(self) -> None:
        self._changed(self._running, self.waiting)
