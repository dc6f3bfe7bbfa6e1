"""Sessions as bytes, and bytes that are none."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.domain import Pending, Session, ToolCall, Turn
from agent_runtime.state.codec import VERSION, decode, encode

CALL = ToolCall("1", "find", {"name": "张三", "deep": [{"a": [1, 2.5, None, True]}]})
SESSION = Session(
    "c:1",
    "alice",
    "shop",
    (
        Turn("user", "问 😀"),
        Turn("assistant", "", (CALL,)),
        Turn("tool", "{}", tool_call_id="1"),
    ),
    Pending("p", CALL, ("id",), 2),
    grounded=True,
)


def test_it_comes_back_as_it_was() -> None:
    assert decode(encode(SESSION)) == SESSION
    assert decode(encode(replace(SESSION, loaded=SESSION))) == SESSION


def test_what_was_written_before_documents_were_noted_is_read() -> None:
    document = orjson.loads(encode(SESSION))
    del document["session"]["grounded"]
    assert decode(orjson.dumps(document)) == replace(SESSION, grounded=False)


@given(st.text(), st.text(), st.integers())
def test_whatever_is_said(text: str, id: str, number: int) -> None:
    session = Session(id, turns=(Turn("user", text, (ToolCall("1", "f", {"n": number}),)),))
    assert decode(encode(session)) == session


def test_half_a_character_does_not_break_a_conversation() -> None:
    back = decode(encode(Session("c", turns=(Turn("user", "a\ud800b"),))))
    assert back is not None
    assert back.turns[0].content == "a?b"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        orjson.dumps({"version": VERSION, "session": None}),
        orjson.dumps({"version": VERSION, "session": {"conversation_id": "c", "turns": "x"}}),
        orjson.dumps({"version": VERSION, "session": {"turns": []}}),
        encode(SESSION).replace(b'"version":1', b'"version":2'),
        encode(SESSION)[:-5],
    ],
)
def test_what_is_no_session_is_absent(data: bytes) -> None:
    assert decode(data) is None
