"""Answers that are given again, from a store in the process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.cache import NoAnswers, Outcome, build, cacheable
from agent_runtime.cache.answers import Answers, key_of
from agent_runtime.cache.codec import decode, encode
from agent_runtime.cache.recent import Entry, Recent
from agent_runtime.cache.recent import decode as decode_entry
from agent_runtime.cache.recent import encode as encode_entry
from agent_runtime.config import CacheConfig
from agent_runtime.domain import (
    Answer,
    Chunk,
    ChunkKey,
    Citation,
    Pending,
    ToolCall,
    ToolResult,
    Usage,
    Vector,
)
from agent_runtime.errors import StateUnavailableError
from agent_runtime.state.memory import MemoryBlobs

CHUNK = Chunk(
    ChunkKey("s/a.md#1-0", "s", "a.md", "1", 1), "Title", ("A", "B"), "text", 3, ((0, 4),)
)
OTHER = Chunk(ChunkKey("s/b.md#1-0", "s", "b.md", "1", 1), "标题", (), "文", 0, ((0, 1),))
ANSWER = Answer(
    "text 文",
    (
        Citation(0, 4, "text", 0.9, CHUNK),
        Citation(0, 4, "te", 0.5, CHUNK),
        Citation(5, 6, "文", 1, OTHER),
    ),
    usage=Usage(7, 3),
)
CALL = ToolCall("1", "f", {})


class Away:
    """A store that does not answer."""

    async def get(self, key: str) -> bytes | None:
        raise StateUnavailableError("away")

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        raise StateUnavailableError("away")

    async def push(self, key: str, value: bytes, keep: int, seconds: float) -> None:
        raise StateUnavailableError("away")

    async def pushed(self, key: str, after: int) -> tuple[int, list[bytes]]:
        raise StateUnavailableError("away")


class Held(MemoryBlobs):
    """What was pushed is read at once and told when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.read = asyncio.Event()
        self.hold: asyncio.Event | None = None

    async def pushed(self, key: str, after: int) -> tuple[int, list[bytes]]:
        found = await super().pushed(key, after)
        self.read.set()
        if self.hold:
            await self.hold.wait()
        return found


def vector(*numbers: float) -> Vector:
    row = np.array(numbers, np.float32)
    return row / np.float32(np.linalg.norm(row))


def semantic(blobs: MemoryBlobs | None = None) -> tuple[Answers, list[Outcome]]:
    counted: list[Outcome] = []
    config = CacheConfig(mode="semantic", min_similarity=0.9)
    return Answers(blobs or MemoryBlobs(), config, counted.append), counted


def test_an_answer_comes_back_with_its_citations() -> None:
    data = encode("why?", ANSWER)
    assert data is not None
    question, answer = decode(data) or ("", Answer(""))
    assert question == "why?"
    assert (answer.text, answer.citations, answer.usage) == (
        "text 文",
        ANSWER.citations,
        Usage(7, 3),
    )
    assert answer.cached


@given(st.text(min_size=1), st.text(), st.text(), st.booleans())
def test_any_answer_comes_back(text: str, quote: str, title: str, refusal: bool) -> None:
    chunk = Chunk(CHUNK.key, title, (title,), quote, 0, ())
    answer = Answer(text, (Citation(0, len(text), quote, -0.5, chunk),), refusal=refusal)
    back = decode(encode(title, answer) or b"")
    assert back is not None
    assert (back[1].text, back[1].citations, back[1].refusal) == (text, answer.citations, refusal)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("a", tool_calls=(ToolResult(CALL, "ok", {}),)),
        Answer("a", client_calls=(CALL,)),
        Answer("a", pending=Pending("p", CALL)),
        Answer("a", finish_reason="length"),
        Answer(" "),
    ],
)
async def test_some_answers_are_given_once(answer: Answer) -> None:
    cache, _ = semantic()
    assert not cacheable(answer)
    await cache.put("s", "q", None, answer)
    assert await cache.get("s", "q", None) is None


GOOD = encode("q", ANSWER) or b""


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00\xff", b"null", b"[]", b"{}", b"[" * 100_000, GOOD[:-3],
        GOOD.replace(b'"version":1', b'"version":2'),
        GOOD.replace(b'"chunk":0', b'"chunk":9'),
        GOOD.replace(b'"chunk":0', b'"chunk":-1'),
        GOOD.replace(b'"end":4', b'"end":400'),
        GOOD.replace(b'"start":0', b'"start":-1'),
        GOOD.replace(b'"text":"text', b'"text":{"a":1},"x":"'),
        encode("another question", ANSWER),
    ],
)  # fmt: skip
async def test_what_somebody_else_wrote_is_a_miss(data: bytes) -> None:
    blobs = MemoryBlobs()
    cache, counted = semantic(blobs)
    await blobs.put(key_of("s", "q"), data, 60)
    assert await cache.get("s", "q", vector(1, 0)) is None
    assert counted == ["miss"]


async def test_exact_sees_the_words_and_the_scope() -> None:
    counted: list[Outcome] = []
    cache = build(CacheConfig(), MemoryBlobs(), counted.append)
    assert not cache.semantic
    await cache.put("s", "Where is it?", None, ANSWER)
    found = await cache.get("s", "  where IS it ", None)
    assert found is not None
    assert found.citations == ANSWER.citations
    assert await cache.get("s", "Could you tell me where it is?", vector(1, 0)) is None
    assert await cache.get("other", "Where is it?", None) is None
    assert counted == ["hit", "miss", "miss"]


def test_scope_and_question_cannot_be_confused() -> None:
    assert key_of("a", "bc") != key_of("ab", "c")
    assert key_of("\ud800", "\ud800") != key_of("\ud801", "\ud800")


async def test_meaning_finds_it_and_words_confirm_it() -> None:
    cache, counted = semantic()
    near = vector(1, 0.1)
    await cache.put("s", "Where is my order?", vector(1, 0), ANSWER)
    assert await cache.get("s", "Could you tell me where my order is?", near)
    # As near as can be, and another question.
    assert await cache.get("s", "Where is your order?", vector(1, 0)) is None
    # The same words, and far away.
    assert await cache.get("s", "Please tell me where my order is", vector(0.5, 1)) is None
    assert await cache.get("other", "Could you tell me where my order is?", near) is None
    assert counted == ["similar", "miss", "miss", "miss"]


async def test_the_right_one_of_several_near_ones() -> None:
    cache, _ = semantic()
    for name in ("Vienna to Berlin", "Berlin to Vienna"):
        await cache.put("s", f"Do you ship from {name}?", vector(1, 0), Answer(name))
    found = await cache.get("s", "Please, do you ship from Berlin to Vienna?", vector(1, 0.01))
    assert found is not None
    assert found.text == "Berlin to Vienna"


async def test_another_process_sees_what_was_added() -> None:
    blobs = MemoryBlobs()
    (one, _), (other, _) = semantic(blobs), semantic(blobs)
    asked = "Could you tell me where my order is?"
    assert await other.get("s", asked, vector(1, 0)) is None
    await one.put("s", "Where is my order?", vector(1, 0), ANSWER)
    assert await other.get("s", asked, vector(1, 0)) is not None


async def test_foreign_bytes_among_the_questions_are_passed_over() -> None:
    blobs = MemoryBlobs()
    cache, counted = semantic(blobs)
    await cache.put("s", "Where is my order?", vector(1, 0), ANSWER)
    (log,) = blobs._logs._kept  # pyright: ignore[reportPrivateUsage]
    for data in (b"", b"\xff", b"{}", b"[1,2,3]", b'[1,"k","q","!"]', b'[1,"k","q",""]', b"[2]"):
        await blobs.push(log, data, 256, 60)
    await blobs.push(log, encode_entry(Entry("k", "q", vector(1, 0, 0))), 256, 60)
    await cache.get("s", "Could you tell me where my order is?", vector(1, 0))
    assert counted == ["similar"]


async def test_a_store_that_is_away_is_a_miss_that_says_so() -> None:
    counted: list[Outcome] = []
    cache = Answers(Away(), CacheConfig(mode="semantic"), counted.append)
    assert await cache.get("s", "q", vector(1, 0)) is None
    await cache.put("s", "q", vector(1, 0), ANSWER)
    assert counted == ["error", "error"]


async def test_half_a_character_is_not_stored_and_breaks_nothing() -> None:
    cache, _ = semantic()
    await cache.put("s", "q\ud800", vector(1, 0), Answer("\ud800"))
    assert await cache.get("s", "q\ud800", vector(1, 0)) is None


async def test_off_keeps_nothing() -> None:
    cache = build(CacheConfig(mode="off"), MemoryBlobs(), lambda _: None)
    assert isinstance(cache, NoAnswers)
    await cache.put("s", "q", None, ANSWER)
    assert await cache.get("s", "q", None) is None


@given(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=40))
def test_a_stored_vector_points_where_it_did(numbers: Sequence[float]) -> None:
    row = np.array([*numbers, 1], np.float32)
    row /= np.linalg.norm(row)
    entry = decode_entry(encode_entry(Entry("k", "q", row)))
    assert entry is not None
    assert float(entry.vector @ row) > 0.999


def test_a_log_that_was_begun_again_is_read_again() -> None:
    recent = Recent()
    recent.read(0, 5, [encode_entry(Entry("old", "q", vector(1, 0)))])
    recent.read(5, 1, [encode_entry(Entry("new", "q", vector(0, 1)))])
    assert [entry.key for entry in recent.near(vector(0, 1), 0.5, 8)] == ["new"]
    assert recent.near(vector(1, 0), 0.5, 8) == []
    assert recent.near(vector(1, 0, 0), 0.5, 8) == []


async def test_look_ups_that_are_answered_in_another_order_forget_nothing() -> None:
    blobs = Held()
    (one, _), (other, _) = semantic(blobs), semantic(blobs)
    await one.put("s", "Where is my order?", vector(1, 0), ANSWER)
    assert await other.get("s", "Could you tell me where my order is?", vector(1, 0))
    # Two ask for what is new; the second sees more and has its answer first.
    await one.put("s", "Where is my invoice?", vector(0, 1), ANSWER)
    blobs.read.clear()
    blobs.hold = asyncio.Event()
    late = asyncio.create_task(other.get("s", "Who are you?", vector(0.5, 1)))
    await blobs.read.wait()
    hold, blobs.hold = blobs.hold, None
    await one.put("s", "Where is my lamp?", vector(1, 1), ANSWER)
    assert await other.get("s", "Could you tell me where my lamp is?", vector(1, 1))
    hold.set()
    await late
    for thing, near in (("order", (1, 0)), ("invoice", (0, 1)), ("lamp", (1, 1))):
        assert await other.get("s", f"Could you tell me where my {thing} is?", vector(*near))
