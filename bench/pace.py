"""Asking at a fixed rate, whether or not the questions before are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence


async def at_rate(
    ask: Callable[[str], Awaitable[object]], asked: Sequence[str], rate: float
) -> list[float]:
    """Return the latency of each answer in seconds, from when its question was due, at `rate`
    questions a second."""
    latencies: list[float] = []

    async def one(due: float, question: str) -> None:
        await ask(question)
        latencies.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number, question in enumerate(asked):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due, question))
    return latencies
