"""Where tools come from that may not be there yet: asked again in the background until they are."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between attempts; each pause is twice as long as the one before."""


class Origin(ABC):
    """Something that describes tools, such as an OpenAPI document or an MCP server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problem: str | None = "it has not answered yet"
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._up = False
        # Calls that wait for the attempt that goes on, and for one that begins after them.
        self._served: list[asyncio.Future[None]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()

    @abstractmethod
    async def attend(self) -> None:
        """Get what is wanted and `settle`. Return when nothing is left to do, raise when lost."""

    async def start(self, patience: float) -> None:
        """Begin. Wait at most `patience` seconds for it: the agent starts without it too."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_attending(), name=f"tools: {self.name}")
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._tried.wait()

    async def close(self) -> None:
        """End what runs in the background."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def up(self, patience: float) -> bool:
        """Tell whether it is there, after another attempt of at most `patience` seconds if not."""
        if not self._up:
            attempt = asyncio.get_running_loop().create_future()
            self._waiting.append(attempt)
            self._wanted.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await attempt
        return self._up

    def settle(self, problem: str | None) -> None:
        """Note that it is there, or why it is not."""
        self.problem = problem
        self._tried.set()
        self._up = problem is None
        over = self._served + (self._waiting if self._up else [])
        self._served, self._waiting = [], [] if self._up else self._waiting
        for attempt in over:
            if not attempt.done():
                attempt.set_result(None)

    async def _keep_attending(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._wanted.clear()
            self._served, self._waiting = [*self._served, *self._waiting], []
            try:
                await self.attend()
                if self.problem is None:
                    return
            except Exception as error:  # whatever it is, the agent goes on and it is tried again
                pause = FIRST_PAUSE if self._up else pause
                self.settle(reason(error))
            log.warning("tools of %s: %s", self.name, self.problem)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            pause = min(pause * 2, LONGEST_PAUSE)


def reason(error: BaseException) -> str:
    """Say in one line what went wrong, by the first cause of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split())[:300] or type(error).__name__
