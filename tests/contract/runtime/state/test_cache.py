"""The answer cache over a real Redis: what it costs, and what happens when Redis goes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_runtime.cache import Answers, Outcome
from agent_runtime.config import CacheConfig
from agent_runtime.domain import Answer, Chunk, ChunkKey, Citation, Vector
from agent_runtime.state.address import parse
from agent_runtime.state.blobs import RedisBlobs
from agent_runtime.state.keys import Keys
from agent_runtime.state.redis import RedisState
from tests.contract.runtime.state.servers import RedisServer, eventually

DIMENSION = 384


def answer(n: int) -> Answer:
    """One with three citations from two passages, as an extractive answer has them."""
    chunks = [
        Chunk(ChunkKey(f"s/{n}.md#{m}", "s", f"{n}.md", "f", 2), "T", ("H",), "x" * 1000, 0, ())
        for m in range(2)
    ]
    text = f"{n} " + "word " * 60
    cited = tuple(Citation(0, 10, text[:10], 0.5, chunks[m % 2]) for m in range(3))
    return Answer(text, cited)


def unit(seed: int) -> Vector:
    row = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return row / np.float32(np.linalg.norm(row))


def percentiles(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return 1000 * ordered[len(ordered) // 2], 1000 * ordered[len(ordered) * 95 // 100]


@pytest.mark.parametrize(("mode", "calls_of_a_hit"), [("exact", 1), ("semantic", 3)])
async def test_what_a_hit_costs(
    state: RedisState,
    mode: str,
    calls_of_a_hit: int,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[Outcome] = []
    config = CacheConfig.model_validate({"mode": mode})
    cache = Answers(RedisBlobs(state, Keys(uuid.uuid4().hex)), config, counted.append)
    for n in range(256):
        question = f"Where is my order number {n}?"
        await cache.put("scope", question, unit(n) if cache.semantic else None, answer(n))
    took: list[float] = []
    calls, call = 0, state.call

    async def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return await call(*arguments, **named)

    monkeypatch.setattr(state, "call", counting)
    for n in range(1000):
        number = n % 256
        asked = f"where is my order number {number}"
        if cache.semantic:
            asked = f"Could you tell me where my order number {number} is?"
        vector = unit(number) if cache.semantic else None
        start = time.perf_counter()
        found = await cache.get("scope", asked, vector)
        took.append(time.perf_counter() - start)
        assert found is not None
        assert found.text.startswith(f"{number} ")
    assert set(counted) == {"similar" if cache.semantic else "hit"}
    p50, p95 = percentiles(took)
    record_property("p50_ms", round(p50, 3))
    record_property("p95_ms", round(p95, 3))
    print(f"{mode}: 1,000 hits, p50 {p50:.2f} ms, p95 {p95:.2f} ms")
    assert calls == 1000 * calls_of_a_hit


async def test_two_processes_share_answers(state: RedisState, server: RedisServer) -> None:
    keys, config = Keys(uuid.uuid4().hex), CacheConfig(mode="semantic")
    other = RedisState(parse(server.url), call_seconds=5)
    one = Answers(RedisBlobs(state, keys), config, lambda _: None)
    two = Answers(RedisBlobs(other, keys), config, lambda _: None)
    asked = "Please tell me where my order is"
    assert await two.get("s", asked, unit(1)) is None
    await one.put("s", "Where is my order?", unit(1), answer(1))
    assert await two.get("s", asked, unit(1)) is not None
    await other.aclose()


async def test_redis_goes_and_comes(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    state = RedisState(parse(server.url))
    counted: list[Outcome] = []
    cache = Answers(RedisBlobs(state, Keys("a")), CacheConfig(), counted.append)

    async def kept() -> bool:
        await cache.put("s", "q", None, answer(1))
        return await cache.get("s", "q", None) is not None

    await eventually(kept)
    server.stop()
    counted.clear()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*(cache.get("s", "q", None) for _ in range(50))) == [None] * 50
    assert counted == ["error"] * 50
    server.start()
    try:
        await eventually(kept)
    finally:
        await state.aclose()
        server.stop()


async def test_a_value_of_another_kind_is_a_miss(state: RedisState, server: RedisServer) -> None:
    keys = Keys(uuid.uuid4().hex)
    cache = Answers(RedisBlobs(state, keys), CacheConfig(), lambda _: None)
    await cache.put("s", "q", None, answer(1))
    with server.client() as client:
        (key,) = client.scan_iter(keys.of("blob") + b"*")
        client.delete(key)
        client.rpush(key, "a list")
    assert await cache.get("s", "q", None) is None
    await cache.put("s", "q", None, answer(1))
    assert await cache.get("s", "q", None) is not None
