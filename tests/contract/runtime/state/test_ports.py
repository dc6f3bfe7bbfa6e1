"""What is asked of sessions, records and blobs, of those in Redis and those in the process."""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import replace

import pytest

from agent_runtime.domain import Pending, Session, ToolCall, Turn
from agent_runtime.errors import StateUnavailableError, TooLargeError
from agent_runtime.ports import Approvals, Blobs, Records, Sessions
from agent_runtime.state.blobs import RedisBlobs
from agent_runtime.state.keys import Keys
from agent_runtime.state.memory import MemoryBlobs, MemoryRecords, MemorySessions
from agent_runtime.state.records import RedisRecords
from agent_runtime.state.redis import RedisState
from agent_runtime.state.sessions import RedisSessions
from tests.contract.runtime.state.servers import RedisServer, eventually

KEEP = 40
BOTH = pytest.mark.parametrize("where", ["redis", "memory"])


@pytest.fixture
def keys() -> Keys:
    return Keys(f"test/{uuid.uuid4().hex}")


@pytest.fixture
def sessions(where: str, state: RedisState, keys: Keys) -> RedisSessions | MemorySessions:
    return RedisSessions(state, keys, 60, KEEP) if where == "redis" else MemorySessions(60, KEEP)


@pytest.fixture
def records(where: str, state: RedisState, keys: Keys) -> Records:
    return RedisRecords(state, keys) if where == "redis" else MemoryRecords()


@pytest.fixture
def blobs(where: str, state: RedisState, keys: Keys) -> Blobs:
    return RedisBlobs(state, keys) if where == "redis" else MemoryBlobs()


def said(text: str) -> tuple[Turn, ...]:
    return Turn("user", text), Turn("assistant", text.upper())


async def say(sessions: Sessions, id: str, text: str) -> None:
    session = await sessions.load(id) or Session(id, "alice", "shop")
    await asyncio.sleep(0)
    await sessions.save(replace(session, turns=session.turns + said(text)))


@BOTH
async def test_a_session_is_remembered_and_forgotten(sessions: Sessions) -> None:
    assert await sessions.load("c") is None
    waits = Pending("p", ToolCall("1", "f", {"a": [1]}), ("b",))
    await sessions.save(Session("c", "alice", "shop", said("问"), waits))
    found = await sessions.load("c")
    assert found is not None
    assert found == Session("c", "alice", "shop", said("问"), waits)
    assert found.loaded == found
    await sessions.delete("c")
    assert await sessions.load("c") is None


@BOTH
async def test_a_turn_does_not_bring_back_what_was_deleted_meanwhile(sessions: Sessions) -> None:
    await say(sessions, "c", "secret")
    begun = await sessions.load("c")
    assert begun is not None
    await sessions.delete("c")
    await sessions.save(replace(begun, turns=begun.turns + said("late")))
    assert await sessions.load("c") is None
    # The name may be used again, as if it were new.
    await say(sessions, "c", "anew")
    await sessions.save(replace(begun, turns=begun.turns + said("later")))
    found = await sessions.load("c")
    assert found is not None
    assert found.turns == (*said("anew"), *said("later"))


@BOTH
async def test_turns_at_the_same_time_are_all_kept(sessions: Sessions) -> None:
    await say(sessions, "c", "first")
    texts = [f"turn {n}" for n in range(10)]
    await asyncio.gather(*(say(sessions, "c", text) for text in texts))
    found = await sessions.load("c")
    assert found is not None
    assert {turn.content for turn in found.turns if turn.role == "user"} == {"first", *texts}
    # Each question is still followed by its own answer.
    pairs = zip(found.turns[::2], found.turns[1::2], strict=True)
    assert all(answer.content == question.content.upper() for question, answer in pairs)


@BOTH
async def test_only_the_newest_turns_are_kept(sessions: Sessions) -> None:
    for n in range(KEEP):
        await say(sessions, "c", str(n))
    found = await sessions.load("c")
    assert found is not None
    assert len(found.turns) == KEEP
    assert found.turns[-1].content == str(KEEP - 1)


@BOTH
async def test_one_of_many_settles_what_a_conversation_waits_for(
    sessions: RedisSessions | MemorySessions,
) -> None:
    approvals: Approvals = sessions
    waits = Pending("p", ToolCall("1", "f", {}))
    await sessions.save(Session("c", "alice", "shop", said("one"), waits))
    assert not await approvals.settle("c", "another")
    assert not await approvals.settle("another", "p")
    won = await asyncio.gather(*(approvals.settle("c", "p") for _ in range(10)))
    assert sum(won) == 1
    assert await sessions.load("c") == Session("c", "alice", "shop", said("one"))


@BOTH
async def test_records_by_kind_and_tenant(records: Records) -> None:
    await records.put("file", "shop", "f:1", b"one")
    await records.put("file", "shop", "f:1", b"ONE")
    await records.put("file", "other", "f:1", b"theirs")
    await records.put("response", "shop", "f:1", b"{}")
    assert await records.get("file", "shop", "f:1") == b"ONE"
    assert await records.list("file", "shop") == [("f:1", b"ONE")]
    several = ["f:1", *(f"lost{place}" for place in range(300)), "f:1"]
    assert await records.some("file", "shop", several) == [b"ONE", *[None] * 300, b"ONE"]
    assert await records.some("file", "shop", []) == []
    assert await records.delete("file", "shop", "f:1")
    assert not await records.delete("file", "shop", "f:1")
    assert await records.get("file", "shop", "f:1") is None
    assert await records.list("file", "shop") == []
    assert await records.get("file", "other", "f:1") == b"theirs"


@BOTH
async def test_records_are_listed_newest_first_in_pages(records: Records) -> None:
    ids = [f"f{n:03}" for n in range(250)]
    for id in ids:
        await records.put("file", "", id, id.encode())
    await records.put("file", "", "f000", b"changed, not new")
    for id in ids[100:150]:
        await records.delete("file", "", id)
    seen: list[str] = []
    after = None
    while page := await records.list("file", "", 30, after):
        assert len(page) <= 30
        seen += [id for id, _ in page]
        after = page[-1][0]
    assert seen == [*reversed(ids[150:]), *reversed(ids[:100])]
    assert await records.list("file", "", 30, "unknown") == []


@BOTH
async def test_records_with_a_time_limit(records: Records) -> None:
    await records.put("response", "", "gone", b"x", seconds=0.05)
    await records.put("response", "", "stays", b"y")

    async def forgotten() -> bool:
        return await records.get("response", "", "gone") is None

    await eventually(forgotten)
    assert await records.list("response", "") == [("stays", b"y")]


async def test_the_ids_of_records_with_a_time_limit_are_forgotten_too(
    state: RedisState, keys: Keys
) -> None:
    now = 1_000_000.0
    records = RedisRecords(state, keys, clock=lambda: now)
    index = keys.of("records", "response", "shop")
    for id in ("old", "used"):
        await records.put("response", "shop", id, b"x", seconds=60)
    now += 59
    await records.put("response", "shop", "used", b"y", seconds=60)
    now += 2
    await records.put("response", "shop", "new", b"x", seconds=60)
    members = await state.call(lambda redis: redis.zrange(index, 0, -1))
    assert members == [b"used", b"new"]
    left = await state.call(lambda redis: redis.ttl(index))
    assert 55 <= left <= 60


@BOTH
async def test_a_large_file(records: Records) -> None:
    content = os.urandom(20 * 2**20)
    await records.put("file-content", "shop", "f", content)
    assert await records.get("file-content", "shop", "f") == content
    with pytest.raises(TooLargeError):
        await records.put("file-content", "shop", "f", bytes(22 * 2**20))


@BOTH
async def test_blobs_expire(blobs: Blobs) -> None:
    await blobs.put("k", b"v", 60)
    await blobs.put("short", b"v", 0.05)
    assert await blobs.get("k") == b"v"

    async def forgotten() -> bool:
        return await blobs.get("short") is None

    await eventually(forgotten)


@BOTH
async def test_a_log_tells_what_is_new(blobs: Blobs) -> None:
    assert await blobs.pushed("log", 0) == (0, [])
    for n in range(5):
        await blobs.push("log", str(n).encode(), keep=3, seconds=60)
    assert await blobs.pushed("log", 0) == (5, [b"4", b"3", b"2"])
    assert await blobs.pushed("log", 4) == (5, [b"4"])
    assert await blobs.pushed("log", 5) == (5, [])
    # Somebody who has seen more than there ever was: it was forgotten in between.
    assert await blobs.pushed("log", 9) == (5, [b"4", b"3", b"2"])


async def test_what_somebody_else_wrote_is_no_session(
    state: RedisState, keys: Keys, server: RedisServer
) -> None:
    sessions = RedisSessions(state, keys, 60, KEEP)
    key = keys.of("session", "c")
    with server.client() as client:
        client.set(key, b'{"version": 99}')
    assert await sessions.load("c") is None
    await say(sessions, "c", "hello")
    assert await sessions.load("c") is not None


async def test_agents_that_share_a_server_see_nothing_of_each_other(state: RedisState) -> None:
    one, other = (RedisSessions(state, Keys(uuid.uuid4().hex), 60, KEEP) for _ in range(2))
    await say(one, "c", "mine")
    assert await other.load("c") is None


async def test_everything_for_a_time_has_one(
    state: RedisState, keys: Keys, server: RedisServer
) -> None:
    await RedisSessions(state, keys, 60, KEEP).save(Session("c"))
    blobs = RedisBlobs(state, keys)
    await blobs.put("k", b"v", 60)
    await blobs.push("log", b"v", 3, 60)
    with server.client() as client:
        mine = list(client.scan_iter(keys.of("", "")[:-1] + b"*"))
        assert len(mine) == 4
        assert all(0 < int(client.ttl(key)) <= 60 for key in mine)  # pyright: ignore[reportArgumentType]


async def test_a_full_process_drops_what_expires_first_and_refuses_when_all_is_for_good() -> None:
    records = MemoryRecords(most_bytes=30)
    await records.put("response", "", "late", b"x" * 10, seconds=60)
    await records.put("response", "", "soon", b"x" * 10, seconds=5)
    await records.put("file", "", "good", b"x" * 10)
    await records.put("file", "", "more", b"x" * 10)
    assert await records.get("response", "", "soon") is None
    assert await records.get("response", "", "late")
    await records.put("file", "", "most", b"x" * 10)
    with pytest.raises(StateUnavailableError, match="AGENT_REDIS"):
        await records.put("file", "", "over", b"x")
    await records.put("file", "", "good", b"y" * 10)
    assert await records.get("file", "", "good") == b"y" * 10
