"""Work that waits out what it needs: a store that is not up yet, or away for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent_runtime.errors import IndexMissingError, UnavailableError

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 5.0

T = TypeVar("T")
log = logging.getLogger(__name__)


async def outlast(
    work: Callable[[], Awaitable[T]],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Do work, and where something that it needs does not answer, do it again, ever less often.

    An attempt that went well for longer than `seconds` before it failed begins a new wait.

    Raises:
        UnavailableError, IndexMissingError: it did not answer for that long, or waiting is no use.
    """
    pause, deadline = FIRST_SECONDS, 0.0
    while True:
        began = clock()
        try:
            return await work()
        except (UnavailableError, IndexMissingError) as error:  # or restarted without its data
            if isinstance(error, UnavailableError) and error.lasting:
                raise
            now = clock()
            if not deadline or now - began > seconds:
                pause, deadline = FIRST_SECONDS, now + seconds
            if now + pause > deadline:
                raise type(error)(f"{error}; it was waited for, for {seconds:g} s") from error
            left = deadline - now
            log.warning("waiting: %s; next try in %.2g s, for %.0f s more", error, pause, left)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_SECONDS)
