"""Whatever a reply is made of: its streams and its plain forms say the same, and OpenAI's own types
read all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from agent_runtime.domain import (
    Citation,
    Event,
    Finish,
    Pending,
    Piece,
    ToolCall,
    ToolResult,
    Usage,
    told,
    whole,
)
from agent_runtime.http.chat.envelope import Envelope
from agent_runtime.http.responses.envelope import ResponseObject, StreamEvent, Writer
from tests.unit.runtime.fakes import indexed

STREAMED: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ENVELOPE = Envelope("chatcmpl_1", 1, "extractive", "r1", "conv_1")
CHUNKS = [indexed("Some text.", path).chunk for path in ("a.md", "b/c.md")]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = st.integers(0, 10**9).map(str)
arguments = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3)
calls = st.builds(ToolCall, ids, st.sampled_from(["f", "get_order"]), arguments)
citations = st.builds(
    Citation,
    st.integers(0, 9),
    st.integers(10, 99),
    texts,
    st.floats(0, 1),
    st.sampled_from(CHUNKS),
)
results = st.builds(
    ToolResult,
    calls,
    st.sampled_from(["ok", "error", "denied"]),
    texts | arguments,
    st.floats(0, 9),
)
pendings = st.builds(Pending, ids, calls, st.just(()) | st.just(("city",)))
events = st.builds(Piece, texts, st.none() | citations, st.booleans()) | calls | results
finishes = st.builds(
    Finish,
    st.sampled_from(["stop", "length", "tool_calls"]),
    st.builds(Usage, st.integers(0, 99), st.integers(0, 99)),
)


@st.composite
def replies(draw: st.DrawFn) -> list[Event]:
    """A reply in any order that a pipeline may give it."""
    said: list[Event] = draw(st.lists(events, max_size=8, unique_by=id))
    pending = draw(st.none() | pendings)
    return [*said, *([pending] if pending else []), draw(finishes)]


@given(replies())
def test_a_chat_is_the_same_streamed_and_not(said: list[Event]) -> None:
    plain = cast(Any, ENVELOPE.completion(asyncio.run(whole(told(*said)))))
    chunks = asyncio.run(chunks_of(said))
    message = plain["choices"][0]["message"]
    # OpenAI cites files in responses only, so that its type of a chat knows nothing but URLs.
    uncited = {**plain["choices"][0], "message": {**message, "annotations": []}}
    ChatCompletion.model_validate({**plain, "choices": [uncited]})
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == (message["content"] or "")
    assert gathered(deltas, "annotations") == message["annotations"]
    assert gathered(chunks, "tool_results") == plain["tool_results"]
    assert called(gathered(deltas, "tool_calls")) == [
        (each["id"], each["function"]["name"], each["function"]["arguments"])
        for each in message.get("tool_calls", ())
    ]
    last, usage = chunks[-2], chunks[-1]
    assert last["choices"][0]["finish_reason"] == plain["choices"][0]["finish_reason"]
    for name in ("status", "required_action", "degraded"):
        assert last[name] == plain[name]
    assert usage["usage"] == plain["usage"]


async def chunks_of(said: Sequence[Event]) -> list[Any]:
    lines = [line async for line in ENVELOPE.stream(told(*said), with_usage=True)]
    assert lines[-1] == b"data: [DONE]\n\n"
    return [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1]]


def gathered(parts: Sequence[Any], name: str) -> list[Any]:
    return [each for part in parts for each in part.get(name) or ()]


def called(parts: Sequence[Any]) -> list[tuple[str, str, str]]:
    """Put calls together as a client does."""
    found: dict[int, list[str]] = {}
    for part in parts:
        call = found.setdefault(part["index"], ["", "", ""])
        call[0] += part.get("id", "")
        call[1] += part["function"].get("name", "")
        call[2] += part["function"]["arguments"]
    return [(id, name, text) for id, name, text in found.values()]


@given(replies())
def test_a_response_s_events_add_up_to_it(said: list[Event]) -> None:
    happened = written(said)
    for event in happened:
        STREAMED.validate_python(event)
    final = happened[-1]["response"]
    Response.model_validate(final)
    assert [each["sequence_number"] for each in happened] == list(range(len(happened)))
    opened, done = of(happened, "output_item.added"), of(happened, "output_item.done")
    assert [each["output_index"] for each in opened] == list(range(len(final["output"])))
    assert sorted(each["output_index"] for each in done) == list(range(len(final["output"])))
    for each in done:
        assert each["item"] == final["output"][each["output_index"]]
        (begun,) = [other for other in opened if other["output_index"] == each["output_index"]]
        assert begun["item"]["id"] == each["item"]["id"]
    messages = [item for item in final["output"] if item["type"] == "message"]
    text = "".join(each["delta"] for each in of(happened, "output_text.delta"))
    added = [each["annotation"] for each in of(happened, "output_text.annotation.added")]
    assert len(messages) <= 1
    for message in messages:
        (part,) = message["content"]
        assert (part["text"], part["annotations"]) == (text, added)
    answer = asyncio.run(whole(told(*said)))
    assert text == answer.text
    assert len(added) == len(answer.citations)
    kinds = [item["type"] for item in final["output"]]
    assert kinds.count("function_call") == len(answer.client_calls)
    assert kinds.count("mcp_call") == len(answer.tool_calls)
    assert (final["status"] == "incomplete") == (answer.finish_reason == "length")


def written(said: Sequence[Event]) -> list[Any]:
    """Write a response and read its events as they stand in a stream."""
    writer = Writer(cast(ResponseObject, blank()))
    happened: list[StreamEvent] = [json_of(each) for each in writer.begin()]
    for event in said:
        happened += [json_of(each) for each in writer.take(event)]
    happened += [json_of(each) for each in writer.end(2)]
    return [*happened, json_of(writer.final())]


def json_of(event: StreamEvent) -> Any:
    return json.loads(json.dumps(event))


def of(happened: Sequence[Any], kind: str) -> list[Any]:
    return [each for each in happened if each["type"] == f"response.{kind}"]


def blank() -> dict[str, Any]:
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "completed_at": None,
        "status": "in_progress", "error": None, "incomplete_details": None,
        "instructions": None, "max_output_tokens": None, "model": "extractive", "output": [],
        "parallel_tool_calls": True, "previous_response_id": None,
        "conversation": {"id": "conv_1"}, "conversation_id": "conv_1", "store": False,
        "temperature": None, "top_p": None, "text": {"format": {"type": "text"}},
        "tool_choice": "auto", "tools": [], "truncation": "auto", "metadata": {}, "usage": None,
        "required_action": None, "degraded": [],
    }  # fmt: skip
