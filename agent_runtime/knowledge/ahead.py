"""Producing while what was produced before is consumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def ahead(produced: AsyncGenerator[T], most: int) -> AsyncGenerator[T]:
    """Yield what an iterator yields, which may be `most` items ahead. Closing it ends both."""
    queue: asyncio.Queue[T | None] = asyncio.Queue(most)

    async def produce() -> None:
        try:
            async with aclosing(produced):
                async for each in produced:
                    await queue.put(each)
        except asyncio.CancelledError:
            raise  # nobody takes anything any more, not even the end
        except BaseException:
            await queue.put(None)
            raise
        await queue.put(None)

    task = asyncio.create_task(produce())
    try:
        while (each := await queue.get()) is not None:
            yield each
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
