"""Chat completions: shapes, names, streams, functions, approvals."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.domain import (
    Approval,
    Finish,
    Pending,
    Piece,
    Sampling,
    ToolCall,
    ToolResult,
    ToolSpec,
    Turn,
)
from agent_runtime.http.fields import MAX_QUESTION
from agent_runtime.http.functions import MAX_DEPTH
from tests.unit.runtime.http.harness import QUOTE, Runtime, events_of

CALL = ToolCall("call-1", "get_weather", {"city": "昆山"})
FUNCTION: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PENDING = Pending("approval-1", ToolCall("c", "cancel_order", {"id": "A1"}))


async def test_a_reply_has_openai_s_shape(runtime: Runtime) -> None:
    reply = await runtime.ask(model="agent", temperature=0.3, unknown={"a": 1})
    body = reply.json()
    message = body["choices"][0]["message"]
    assert (body["object"], body["model"]) == ("chat.completion", "extractive")
    assert (body["status"], body["required_action"]) == ("completed", None)
    assert message["content"] == f"{QUOTE}And more."
    assert message["annotations"] == [{
        "type": "file_citation", "file_id": "s/a.md", "filename": "a.md", "index": 0,
        "title": "Title", "start_index": 0, "end_index": len(QUOTE), "quote": QUOTE,
        "score": 0.5, "chunk_id": "s/a.md#f-0",
    }]  # fmt: skip
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    assert reply.headers["x-conversation-id"] == body["conversation_id"]
    assert reply.headers["x-agent-revision"] == body["system_fingerprint"] == "r1"


async def test_a_stream_says_the_same(runtime: Runtime) -> None:
    reply = await runtime.ask(stream=True, stream_options={"include_usage": True})
    assert reply.text.endswith("data: [DONE]\n\n")
    events = events_of(reply)
    deltas = [each["choices"][0]["delta"] for each in events if each["choices"]]
    plain = (await runtime.ask()).json()
    message = plain["choices"][0]["message"]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == message["content"]
    cited = [each for delta in deltas for each in delta.get("annotations", ())]
    assert cited == message["annotations"]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert (events[-2]["status"], events[-2]["usage"]) == ("completed", None)
    assert events[-1]["usage"] == plain["usage"]
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-conversation-id"] == events[0]["conversation_id"]


async def test_a_stream_without_usage_has_none(runtime: Runtime) -> None:
    assert all("usage" not in each for each in events_of(await runtime.ask(stream=True)))


async def test_a_conversation_keeps_its_name(runtime: Runtime) -> None:
    named = await runtime.ask(headers={"X-Conversation-ID": "a"}, conversation_id="b")
    assert named.headers["x-conversation-id"] == named.json()["conversation_id"] == "a"
    assert (await runtime.ask(conversation_id="b")).headers["x-conversation-id"] == "b"
    one, two = [(await runtime.ask()).headers["x-conversation-id"] for _ in range(2)]
    assert one != two
    assert [each.conversation_id for each in runtime.agent.requests] == ["a", "b", one, two]


async def test_all_that_was_said_reaches_the_agent(runtime: Runtime) -> None:
    call = {"id": "call-1", "type": "function"}
    function = {"name": "get_weather", "arguments": '{"city": "昆山"}'}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": each} for each in ("Rain", "?")]},
        {"role": "assistant", "content": None, "tool_calls": [{**call, "function": function}]},
        {"role": "tool", "tool_call_id": "call-1", "content": "sunny"},
    ]  # fmt: skip
    reply = await runtime.ask(
        messages=messages, tools=[FUNCTION], max_tokens=5, max_completion_tokens=9,
        top_p=0.5, stop="END", temperature=0,
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )  # fmt: skip
    assert reply.status_code == 200
    request = runtime.agent.requests[-1]
    assert request.turns == (
        Turn("system", "Be brief."),
        Turn("user", "Rain\n?"),
        Turn("assistant", "", (CALL,)),
        Turn("tool", "sunny", tool_call_id="call-1"),
    )
    schema = FUNCTION["function"]["parameters"]
    spec = ToolSpec("get_weather", "The weather", schema, client=True)
    assert request.tools == (spec,)
    assert request.tool_choice == "get_weather"
    assert request.sampling == Sampling(0, 0.5, 9, ("END",))


async def test_the_client_is_asked_to_call_its_function(runtime: Runtime) -> None:
    runtime.agent.events = (CALL, ToolCall("call-2", "get_weather", {}), Finish("tool_calls"))
    choice = (await runtime.ask(tools=[FUNCTION])).json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert choice["message"]["tool_calls"][0] == {
        "id": "call-1", "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"昆山"}'},
    }  # fmt: skip
    events = events_of(await runtime.ask(tools=[FUNCTION], stream=True))
    gathered: dict[int, dict[str, str]] = {}
    for delta in (each["choices"][0]["delta"] for each in events):
        for part in delta.get("tool_calls", ()):
            call = gathered.setdefault(part["index"], {"id": "", "name": "", "arguments": ""})
            call["id"] += part.get("id", "")
            call["name"] += part["function"].get("name", "")
            call["arguments"] += part["function"]["arguments"]
    assert gathered[0] == {"id": "call-1", "name": "get_weather", "arguments": '{"city":"昆山"}'}
    assert gathered[1]["arguments"] == "{}"
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_what_the_agent_did_is_told(runtime: Runtime) -> None:
    result = ToolResult(CALL, "ok", {"sky": "blue", "big": 2**80}, 0.25)
    runtime.agent.events = (result, Piece("Blue."), Finish())
    shown = {
        "id": "call-1", "tool": "get_weather", "arguments": {"city": "昆山"}, "status": "ok",
        "content": {"sky": "blue", "big": 2**80}, "seconds": 0.25,
    }  # fmt: skip
    assert (await runtime.ask()).json()["tool_results"] == [shown]
    events = events_of(await runtime.ask(stream=True))
    assert [each["tool_results"] for each in events if "tool_results" in each] == [[shown]]


async def test_a_call_waits_for_approval_and_gets_it(runtime: Runtime) -> None:
    runtime.agent.events = (Piece("May I?"), PENDING, Finish())
    waits = {
        "type": "approve_tool_call",
        "approval": {"id": "approval-1", "tool": "cancel_order", "arguments": {"id": "A1"}},
    }
    body = (await runtime.ask()).json()
    assert (body["status"], body["required_action"]) == ("requires_action", waits)
    last = events_of(await runtime.ask(stream=True))[-1]
    assert (last["status"], last["required_action"]) == ("requires_action", waits)
    await runtime.ask(
        messages=[], conversation_id="c", approval={"id": "approval-1", "approve": True}
    )
    assert runtime.agent.requests[-1].approval == Approval("approval-1", True)


async def test_missing_arguments_are_asked_for(runtime: Runtime) -> None:
    missing = Pending("p", ToolCall("c", "get_order", {}), missing=("id",))
    runtime.agent.events = (Piece("Which order?"), missing, Finish())
    action = (await runtime.ask()).json()["required_action"]
    assert action == {"type": "provide_arguments", "tool": "get_order", "missing": ["id"]}


async def test_it_says_what_it_does_without(runtime: Runtime) -> None:
    runtime.agent.degraded = ("sessions",)
    assert (await runtime.ask()).json()["degraded"] == ["sessions"]
    assert events_of(await runtime.ask(stream=True))[-1]["degraded"] == ["sessions"]


def message(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x", **more}]}


def within(schema: dict[str, Any]) -> dict[str, Any]:
    return tool(parameters={"type": "object", "properties": {"a": schema}})


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def tool(**more: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", **more}}]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        (message(content=5), "messages.0.content"),
        (message(content="a\0b"), "messages.0.content"),
        (message(content=[{"type": "image_url"}]), "messages.0.content.0.type"),
        (message(content=" " + "x" * MAX_QUESTION), "messages"),
        (message(role="tool", tool_call_id="nobody"), "messages.0.tool_call_id"),
        ({"stream": "yes"}, "stream"),
        ({"n": 2}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"conversation_id": "a\r\nX: y"}, "conversation_id"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        (tool(name="a b"), "tools.0.function.name"),
        (tool(parameters={"type": "nonsense"}), "tools.0.function.parameters.type"),
        (tool(parameters={"type": "array"}), "tools.0.function.parameters.type"),
        (within({"$ref": "http://169.254.169.254/x"}), "tools.0.function.parameters"),
        (within({"$ref": "file:///etc/passwd"}), "tools.0.function.parameters"),
        (within({"$ref": "#/$defs/absent"}), "tools.0.function.parameters"),
        (within({"maximum": 10**30}), "tools.0.function.parameters"),
        (within(deep(150)), "tools.0.function.parameters"),
        ({"tools": tool()["tools"] * 2}, "tools.1.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"approval": {"id": "a"}}, "approval.approve"),
    ],
)
async def test_what_cannot_be_answered_is_refused_by_field(
    runtime: Runtime, body: dict[str, Any], param: str
) -> None:
    reply = await runtime.ask(**body)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == param, error
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-agent-revision"] == "r1"
    assert reply.headers["x-conversation-id"]
    assert runtime.agent.requests == []


async def test_an_unknown_model_is_named(runtime: Runtime) -> None:
    reply = await runtime.ask(model="gpt-4o")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "gpt-4o" in error["message"]
    assert "'agent'" in error["message"]
    assert (await runtime.ask(model="extractive")).status_code == 200


async def test_a_schema_reaches_the_agent_with_its_references_written_out(runtime: Runtime) -> None:
    color = {"enum": ["red", "blue"], "type": "string"}
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema = {
        "type": "object",
        "properties": {"color": {"$ref": "#/$defs/Color"}, "node": {"$ref": "#/$defs/Node"}},
        "$defs": {"Color": color, "Node": node},
    }
    assert (await runtime.ask(**tool(parameters=schema))).status_code == 200
    properties: Any = runtime.agent.requests[-1].tools[0].parameters["properties"]
    assert properties["color"] == color
    assert properties["node"] == {"type": "object", "properties": {"next": {}}}


async def test_arguments_of_an_earlier_call_are_not_endlessly_deep(runtime: Runtime) -> None:
    def messages(levels: int) -> list[dict[str, Any]]:
        arguments = '{"a":' * levels + "1" + "}" * levels
        function = {"name": "f", "arguments": arguments}
        called = {"id": "call-1", "type": "function", "function": function}
        return [
            *message()["messages"],
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "call-1", "content": "done"},
        ]

    assert (await runtime.ask(messages=messages(MAX_DEPTH))).status_code == 200
    refused = await runtime.ask(messages=messages(MAX_DEPTH + 1))
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith("messages.1.tool_calls.0")
