"""The probe of Redis, which nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_runtime.state import redis
from agent_runtime.state.address import Address
from agent_runtime.state.redis import RedisState


async def test_the_probe_goes_on_after_an_error_that_nobody_foresaw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_broken = True

    async def ping(client: Any) -> None:
        if is_broken:
            raise ValueError("an answer of no kind")

    async def nothing(client: Any) -> None:
        pass

    for name in ("WATCH_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(redis, name, 0.0)
    monkeypatch.setattr(redis, "_ping", ping)
    state = RedisState(Address("127.0.0.1"))
    try:
        await state.call(nothing)
        async with asyncio.timeout(10):
            while state.healthy:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert state.trouble == "Redis at 127.0.0.1:6379: an answer of no kind"
            is_broken = False
            while not state.healthy:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        await state.aclose()
