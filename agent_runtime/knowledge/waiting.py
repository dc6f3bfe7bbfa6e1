"""Waiting for a store that is not up yet, as in a first installation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from agent_runtime.errors import VectorStoreUnavailableError

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 5.0

log = logging.getLogger(__name__)


async def wait_for(ask: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Ask until there is an answer, ever less often.

    Raises:
        VectorStoreUnavailableError: there was none for that long; the last error.
    """
    deadline = time.monotonic() + seconds
    pause = FIRST_SECONDS
    while True:
        try:
            await ask()
            return
        except VectorStoreUnavailableError as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("%s; asking again in %.2g s", error, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_SECONDS)
