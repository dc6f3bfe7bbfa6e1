"""Writes that are not cut off: a server goes on with what it has been sent, heard or not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def ended(write: Coroutine[Any, Any, None]) -> None:
    """Write; where that is cancelled, wait for the end of it first.

    Otherwise it would land after what is written next, such as the removal of the same document.
    """
    task = asyncio.create_task(write)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
