"""Redis that is down, half-open, slow, full, or asks for another password."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent_runtime.domain import Session, Turn
from agent_runtime.errors import StateUnavailableError
from agent_runtime.state.address import parse
from agent_runtime.state.blobs import RedisBlobs
from agent_runtime.state.keys import Keys
from agent_runtime.state.redis import CALL_SECONDS, RedisState
from agent_runtime.state.sessions import RedisSessions
from tests.contract.runtime.state.servers import RedisServer, eventually, half_open
from tests.ports import free_port

KEYS = Keys("shop/help")
Opening = Callable[..., RedisState]


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    """Connect with the limits that are used in production, unless a test gives calls longer."""
    opened: list[RedisState] = []

    def connect(
        url: str, password: str | None = None, call_seconds: float = CALL_SECONDS
    ) -> RedisState:
        opened.append(RedisState(parse(url, password), call_seconds))
        return opened[-1]

    yield connect
    await asyncio.gather(*(state.aclose() for state in opened))


async def fails(call: Awaitable[object]) -> None:
    """It gives up by itself."""
    with pytest.raises(StateUnavailableError, match=r"^Redis at 127.0.0.1:"):
        await call


async def well(state: RedisState) -> None:
    async def healthy() -> bool:
        return state.healthy

    await eventually(healthy)


async def works(state: RedisState) -> None:
    """It answers again, with nobody's help."""
    blobs = RedisBlobs(state, KEYS)

    async def stored() -> bool:
        try:
            await blobs.put("k", b"v", 60)
            return await blobs.get("k") == b"v"
        except StateUnavailableError:
            return False

    await eventually(stored)
    await well(state)


async def test_down_at_the_start_and_there_later(tmp_path: Path, opening: Opening) -> None:
    server = RedisServer(tmp_path)
    state = opening(server.url)
    await state.start()
    assert not state.healthy
    await fails(RedisBlobs(state, KEYS).get("k"))
    server.start()
    try:
        await works(state)
    finally:
        server.stop()


async def test_killed_in_the_middle_and_started_again(
    tmp_path: Path, opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    state = opening(server.url)
    await works(state)
    server.stop()
    with caplog.at_level(logging.INFO):
        await fails(RedisBlobs(state, KEYS).get("k"))
        assert not state.healthy
        assert state.trouble
        for _ in range(200):
            await fails(RedisBlobs(state, KEYS).get("k"))
        server.start()
        try:
            await works(state)
        finally:
            server.stop()
    said = [each.getMessage() for each in caplog.records if each.name.startswith("agent_runtime")]
    assert len(said) <= 4, said  # not a line for each request


async def test_it_is_noticed_without_anybody_asking(tmp_path: Path, opening: Opening) -> None:
    server = RedisServer(tmp_path)
    server.start()
    state = opening(server.url)
    await works(state)
    server.stop()

    async def noticed() -> bool:
        return not state.healthy

    await eventually(noticed)


async def test_half_open_costs_the_calls_of_one_moment(opening: Opening) -> None:
    async with half_open() as silent:
        state = opening(f"redis://127.0.0.1:{silent.port}")
        blobs = RedisBlobs(state, KEYS)
        await asyncio.gather(*(fails(blobs.get("k")) for _ in range(100)))
        before = len(silent.connections)
        for _ in range(100):
            await fails(blobs.get("k"))
        probes = len(silent.connections) - before
        assert probes < 50, "a call that waits opens a connection of its own"
        assert state.trouble
        assert "no answer in time" in state.trouble
        await state.aclose()


async def test_a_connection_that_goes_silent(tmp_path: Path, opening: Opening) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        state = opening(server.url)
        await works(state)
        blobs = RedisBlobs(state, KEYS)
        server.signal(signal.SIGSTOP)
        await fails(blobs.get("k"))
        await fails(blobs.get("k"))
        server.signal(signal.SIGCONT)
        await works(state)
    finally:
        server.stop()


async def test_a_full_one_still_reads(tmp_path: Path, opening: Opening) -> None:
    server = RedisServer(tmp_path, "--maxmemory-policy", "noeviction")
    server.start()
    try:
        state = opening(server.url, call_seconds=5)  # what refuses is Redis, not a busy machine
        await works(state)
        server.ask("CONFIG", "SET", "maxmemory", 1)
        blobs, sessions = RedisBlobs(state, KEYS), RedisSessions(state, KEYS, 60, 10)
        await fails(blobs.put("other", b"v", 60))
        await fails(sessions.save(Session("c", turns=(Turn("user", "hi"),))))
        assert not state.healthy
        assert await blobs.get("k") == b"v"
        assert not state.healthy
        server.ask("CONFIG", "SET", "maxmemory", 0)
        await works(state)
    finally:
        server.stop()


async def test_another_password(
    tmp_path: Path, opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path, "--requirepass", "right")
    server.start()
    try:
        wrong, none, right = (
            opening(server.url, password) for password in ("a-wrong-one", None, "right")
        )
        for state in (wrong, none):
            await fails(RedisBlobs(state, KEYS).get("k"))
            assert not state.healthy
            assert "a-wrong-one" not in str(state.trouble)
        await works(right)
        server.ask("CONFIG", "SET", "requirepass", "a-wrong-one")
        server.flags = ("--requirepass", "a-wrong-one")
        await works(wrong)
    finally:
        server.stop()
    assert "a-wrong-one" not in caplog.text


async def test_a_restart_between_two_turns_loses_what_redis_lost_and_no_more(
    tmp_path: Path, opening: Opening
) -> None:
    server = RedisServer(tmp_path, port=free_port())
    server.start()
    state = opening(server.url, call_seconds=5)
    sessions = RedisSessions(state, KEYS, 60, 10)
    await works(state)
    await sessions.save(Session("c", turns=(Turn("user", "one"),)))
    before = await sessions.load("c")
    assert before is not None
    server.stop()
    server.start()
    try:
        await works(state)
        # A turn that was under way keeps the whole conversation, which it had loaded.
        await sessions.save(before)
        after = await sessions.load("c")
        assert after == before
    finally:
        server.stop()
