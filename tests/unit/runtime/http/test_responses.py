"""Responses: shapes, events, items, and what is stored of them."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.domain import (
    Approval,
    Finish,
    Pending,
    Piece,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from agent_runtime.errors import GeneratorTimeoutError, StateUnavailableError
from agent_runtime.http.responses.stored import MAX_TURNS, StoredResponses
from tests.unit.runtime.http.harness import (
    ALICE,
    BOB,
    KEYS,
    QUOTE,
    RESPONSES,
    Runtime,
    events_of,
    hiding,
)

CALL = ToolCall("call-1", "get_weather", {"city": "昆山"})
FUNCTION = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
PENDING = Pending("approval-1", ToolCall("c", "cancel_order", {"id": "A1"}))
EVERYTHING = (
    ToolResult(ToolCall("own-1", "get_order", {"id": "A1"}), "ok", {"state": "sent"}),
    ToolResult(ToolCall("own-2", "get_order", {}), "error", "id is missing"),
    *(Piece(text) for text in ("It ", "was sent.")),
    CALL,
    PENDING,
    Finish("tool_calls", Usage(3, 4)),
)


async def test_a_response_has_openai_s_shape(runtime: Runtime) -> None:
    reply = await runtime.respond(instructions="Be brief.", metadata={"a": "b"})
    body = reply.json()
    assert (body["object"], body["status"], body["model"]) == (
        "response",
        "completed",
        "extractive",
    )
    (item,) = body["output"]
    (part,) = item["content"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    assert part["text"] == f"{QUOTE}And more."
    (annotation,) = part["annotations"]
    assert (annotation["type"], annotation["index"]) == ("file_citation", 0)
    assert (annotation["file_id"], annotation["filename"]) == ("s/a.md", "a.md")
    assert part["text"][annotation["start_index"] : annotation["end_index"]] == QUOTE
    assert body["usage"]["input_tokens"] == 7
    assert body["usage"]["total_tokens"] == 12
    assert body["conversation"]["id"] == reply.headers["x-conversation-id"]
    assert (body["instructions"], body["metadata"]) == ("Be brief.", {"a": "b"})
    assert runtime.agent.requests[0].turns == (
        Turn("system", "Be brief."),
        Turn("user", "How long?"),
    )


async def test_a_stream_tells_the_same_in_order(runtime: Runtime) -> None:
    runtime.agent.events = EVERYTHING
    plain = (await runtime.respond()).json()
    reply = await runtime.respond(stream=True)
    events = events_of(reply)
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    named = [line[7:] for line in reply.text.split("\n") if line.startswith("event: ")]
    assert named == [each["type"] for each in events]
    item = ["response.output_item.added", "response.output_item.done"]
    assert named == [
        "response.created", "response.in_progress",
        item[0], "response.mcp_call.completed", item[1],
        item[0], "response.mcp_call.failed", item[1],
        item[0], "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta",
        item[0], "response.function_call_arguments.delta",
        "response.function_call_arguments.done", item[1],
        *item,
        "response.output_text.done", "response.content_part.done", item[1],
        "response.completed",
    ]  # fmt: skip
    final = events[-1]["response"]
    assert [without_id(each) for each in final["output"]] == [
        without_id(each) for each in plain["output"]
    ]
    done = {each["output_index"]: each["item"] for each in events if each["type"] == item[1]}
    assert [done[index] for index in sorted(done)] == final["output"]
    assert final["required_action"] == plain["required_action"]


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "id"}


async def test_citations_are_streamed_as_they_come(runtime: Runtime) -> None:
    events = events_of(await runtime.respond(stream=True))
    added = [each for each in events if each["type"] == "response.output_text.annotation.added"]
    message = events[-1]["response"]["output"][0]
    assert [each["annotation"] for each in added] == message["content"][0]["annotations"]
    assert added[0]["item_id"] == message["id"]


async def test_functions_go_out_and_their_outputs_come_back(runtime: Runtime) -> None:
    runtime.agent.events = (CALL, Finish("tool_calls"))
    first = (await runtime.respond(tools=[FUNCTION], tool_choice="required")).json()
    (item,) = first["output"]
    assert (item["type"], item["call_id"]) == ("function_call", "call-1")
    assert (item["name"], item["arguments"]) == ("get_weather", '{"city":"昆山"}')
    output = {"type": "function_call_output", "call_id": "call-1", "output": "sunny"}
    reply = await runtime.respond(input=[output], previous_response_id=first["id"])
    assert reply.status_code == 200
    request = runtime.agent.requests[-1]
    assert request.turns == (
        Turn("user", "How long?"),
        Turn("assistant", "", (CALL,)),
        Turn("tool", "sunny", tool_call_id="call-1"),
    )
    assert request.conversation_id == first["conversation_id"]


async def test_a_long_response_is_not_cut_between_a_call_and_what_came_of_it(
    runtime: Runtime,
) -> None:
    call = {"type": "function_call", "call_id": "call-1", "name": "get_weather", "arguments": "{}"}
    output = {"type": "function_call_output", "output": "sunny"}
    said: list[dict[str, str]] = [{"role": "user", "content": "Where?"}]
    for number in range(MAX_TURNS // 2):
        id = {"call_id": f"call-{number}"}
        said += [{**call, **id}, {**output, **id}]
    first = (await runtime.respond(input=said)).json()
    assert (await runtime.respond(previous_response_id=first["id"])).status_code == 200
    kept = runtime.agent.requests[-1].turns
    assert (len(kept), kept[0].tool_calls[0].id) == (MAX_TURNS, "call-1")


async def test_items_say_what_a_client_keeps_itself(runtime: Runtime) -> None:
    runtime.agent.events = EVERYTHING
    output = (await runtime.respond(store=False)).json()["output"]
    user = {"role": "user", "content": [{"type": "input_text", "text": "Where?"}]}
    answer = {"type": "function_call_output", "call_id": "call-1", "output": "sunny"}
    approval = {
        "type": "mcp_approval_response", "approval_request_id": "approval-1", "approve": False
    }  # fmt: skip
    reply = await runtime.respond(input=[user, *output, answer, approval])
    assert reply.status_code == 200, reply.text
    request = runtime.agent.requests[-1]
    assert request.approval == Approval("approval-1", False)
    assert [turn.role for turn in request.turns] == [
        "user", "assistant", "tool", "assistant", "tool", "assistant", "assistant", "tool"
    ]  # fmt: skip
    assert request.turns[2] == Turn("tool", '{"state":"sent"}', tool_call_id="own-1")


async def test_an_approval_is_an_item(runtime: Runtime) -> None:
    runtime.agent.events = (Piece("May I?"), PENDING, Finish())
    body = (await runtime.respond()).json()
    assert body["output"][1] == {
        "id": "approval-1", "type": "mcp_approval_request", "name": "cancel_order",
        "arguments": '{"id":"A1"}', "server_label": "agent",
    }  # fmt: skip
    assert body["required_action"]["type"] == "approve_tool_call"
    said = {"type": "mcp_approval_response", "approval_request_id": "approval-1", "approve": True}
    await runtime.respond(input=[said], previous_response_id=body["id"])
    request = runtime.agent.requests[-1]
    assert request.approval == Approval("approval-1", True)
    assert request.conversation_id == body["conversation_id"]


async def test_a_response_cut_short_is_incomplete(runtime: Runtime) -> None:
    runtime.agent.events = (Piece("It was"), Finish("length"))
    events = events_of(await runtime.respond(stream=True, max_output_tokens=2))
    assert events[-1]["type"] == "response.incomplete"
    response = events[-1]["response"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert runtime.agent.requests[0].sampling.max_tokens == 2


async def test_a_stream_that_fails_says_so(runtime: Runtime) -> None:
    runtime.agent.late = GeneratorTimeoutError("too slow")
    failed, error = events_of(await runtime.respond(stream=True))[-2:]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"]["message"] == "too slow"
    assert (error["type"], error["code"]) == ("error", "GeneratorTimeout")
    assert error["error"] == {
        "message": "too slow", "type": "timeout_error", "param": None, "code": "GeneratorTimeout"
    }  # fmt: skip
    plain = await runtime.respond()
    assert plain.status_code == 504


async def test_a_stored_response_can_be_asked_for_and_forgotten(runtime: Runtime) -> None:
    made = (await runtime.respond()).json()
    one = f"{RESPONSES}/{made['id']}"
    assert (await runtime.client.get(one)).json() == made
    items = (await runtime.client.get(f"{one}/input_items")).json()
    assert items["data"][0]["content"] == [{"type": "input_text", "text": "How long?"}]
    assert (await runtime.client.post(f"{one}/cancel")).status_code == 409
    assert (await runtime.client.delete(one)).json()["deleted"] is True
    assert (await runtime.client.get(one)).status_code == 404
    gone = await runtime.respond(previous_response_id=made["id"])
    assert gone.status_code == 400
    assert gone.json()["error"]["code"] == "previous_response_not_found"


async def test_what_is_not_to_be_stored_is_not(runtime: Runtime) -> None:
    made = (await runtime.respond(store=False)).json()
    assert (await runtime.client.get(f"{RESPONSES}/{made['id']}")).status_code == 404


async def test_somebody_else_s_response_is_not_found(keyed: Runtime) -> None:
    made = (await keyed.respond(headers=ALICE)).json()
    one = f"{RESPONSES}/{made['id']}"
    for method in ("GET", "DELETE"):
        reply = await keyed.client.request(method, one, headers=BOB)
        assert reply.status_code == 404
    other = await keyed.respond(headers=BOB, previous_response_id=made["id"])
    assert other.status_code == 400
    assert (await keyed.client.get(one, headers=ALICE)).status_code == 200


async def test_an_answer_is_given_though_it_cannot_be_stored(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: object, **more: object) -> None:
        raise StateUnavailableError("Redis is away")

    monkeypatch.setattr(runtime.records, "put", away)
    body = (await runtime.respond()).json()
    assert (body["status"], body["store"], body["degraded"]) == ("completed", False, ["responses"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         "input.0.content.0.type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": ""}]}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"background": True}, "background"),
        ({"conversation": "c", "previous_response_id": "r"}, "conversation"),
        ({"conversation": "c c"}, "conversation"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.type"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_refused_by_field(
    runtime: Runtime, body: dict[str, Any], param: str
) -> None:
    reply = await runtime.respond(**body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


@pytest.mark.parametrize("hidden", ["get_order", "other"])
async def test_results_are_not_seen_without_the_right_to_their_tool(
    keyed: Runtime, hidden: str
) -> None:
    keyed.agent.events = [each for each in EVERYTHING if each is not CALL]
    given = (await keyed.respond(ALICE)).json()
    again = [{"role": "user", "content": "Where?"}, *given["output"][:3]]
    second = (await keyed.respond(ALICE, input=again, previous_response_id=given["id"])).json()
    alice = KEYS["alice-key"]
    whole = await StoredResponses(keyed.records).get(second["id"], alice)
    stored = await StoredResponses(keyed.records, hiding(hidden)).get(second["id"], alice)
    if hidden == "other":
        assert stored == whole
        return
    kinds = [each["type"] for each in stored.response["output"]]
    assert kinds == ["mcp_approval_request"]
    assert [each["type"] for each in stored.input] == ["message"]
    assert "sent" in str(whole)
    assert "sent" not in str(stored)
    assert stored.turns[0] == Turn("user", "How long?")
