"""What came of a client's functions, sent to a conversation that is named: over a real pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest

from agent_runtime.config import DialogueConfig, ToolCallsConfig
from agent_runtime.dialogue.intents import Intents
from agent_runtime.dialogue.manager import DialogueManager, RuleRewriter
from agent_runtime.dialogue.memory import Memory
from agent_runtime.domain import Finish, Piece, Session, State, ToolCall, told
from agent_runtime.errors import StateUnavailableError
from agent_runtime.http.app import build_app
from agent_runtime.pipeline import Pipeline
from agent_runtime.tools.policy import AccessPolicy
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots
from agent_runtime.tools.step import UseTools
from agent_runtime.tools.toolbox import Toolbox
from tests.unit.runtime.fakes import HashingVectors
from tests.unit.runtime.http.harness import CHAT, RESPONSES, Runtime

FUNCTION = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
OUTPUT = {"type": "function_call_output", "call_id": "call-1", "output": "sunny"}
WRONG = {**OUTPUT, "call_id": "call-9"}
TOLD = "get_weather: sunny"


async def model(state: State) -> State:
    """Calls the client's function for a question, and tells what came of it."""
    told_of = " ".join(f"{each.call.name}: {each.content}" for each in state.handed_in)
    calls = (ToolCall("call-1", "get_weather", {"city": "昆山"}), Finish("tool_calls"))
    asked = state.tools and (not told_of or state.request.tool_choice == "required")
    return state.replying(told(*(calls if asked else (Piece(told_of or "Ok."), Finish()))))


@pytest.fixture
async def client(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    vectors, slots = HashingVectors(), Slots()
    toolbox = Toolbox([], AccessPolicy([]), ToolCallsConfig(), [])
    dialogue = DialogueManager(DialogueConfig(), Intents((), vectors), RuleRewriter(vectors))
    use = UseTools(toolbox, Router(None, slots, 0.45), slots, native=True)
    pipeline = Pipeline(Memory(runtime.sessions, 5), dialogue, [use, model], runtime.telemetry)
    app = cast(Any, build_app(replace(runtime.parts, agent=pipeline)))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://agent"
    ) as client:
        begun = await client.post(
            RESPONSES,
            json={"input": "The weather?", "conversation": "mine", "tools": [FUNCTION]},
        )
        assert begun.json()["output"][0]["call_id"] == "call-1"
        yield client


async def items(client: httpx.AsyncClient) -> list[str]:
    """Say what the conversation is made of."""
    reply = await client.get("/v1/conversations/mine/items", params={"order": "asc"})
    return [each.get("role") or each["type"] for each in reply.json()["data"]]


def responded(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return reply.json()["output"][0]["content"][0]["text"]


@pytest.mark.parametrize("by", ["conversation", "header"])
async def test_an_output_alone_goes_on_with_the_named_conversation(
    client: httpx.AsyncClient, by: str
) -> None:
    named = {"conversation": {"id": "mine"}} if by == "conversation" else {}
    headers = {"X-Conversation-ID": "mine"} if by == "header" else {}
    body = {"input": [OUTPUT], "tools": [FUNCTION], "instructions": "Be brief.", **named}
    assert responded(await client.post(RESPONSES, json=body, headers=headers)) == TOLD
    seen = await items(client)
    assert [each for each in seen if each != "system"] == [
        "user", "function_call", "function_call_output", "assistant"
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["conversation_id", "header"])
async def test_an_output_alone_goes_on_in_chat(client: httpx.AsyncClient, by: str) -> None:
    message = {"role": "tool", "tool_call_id": "call-1", "content": "sunny"}
    named = {"conversation_id": "mine"} if by == "conversation_id" else {}
    headers = {"X-Conversation-ID": "mine"} if by == "header" else {}
    reply = await client.post(CHAT, json={"messages": [message], **named}, headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["message"]["content"] == TOLD
    assert await items(client) == ["user", "function_call", "function_call_output", "assistant"]


@pytest.mark.parametrize("before", [[], [{"role": "user", "content": "And?"}]])
async def test_an_output_for_no_call_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, before: Sequence[Any]
) -> None:
    body = {"input": [*before, WRONG], "conversation": "mine"}
    reply = await client.post(RESPONSES, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "input")
    assert "'call-9'" in error["message"]
    message = {"role": "tool", "tool_call_id": "call-9", "content": "sunny"}
    reply = await client.post(
        CHAT, json={"messages": [*before, message], "conversation_id": "mine"}
    )
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "messages")
    assert "'call-9'" in error["message"]
    assert await items(client) == ["user", "function_call"]


async def test_an_output_with_a_message_adds_to_what_is_remembered(
    client: httpx.AsyncClient,
) -> None:
    said = {"role": "user", "content": "And tomorrow?"}
    body = {"input": [OUTPUT, said], "conversation": "mine"}
    assert responded(await client.post(RESPONSES, json=body)) == "Ok."
    assert await items(client) == [
        "user", "function_call", "function_call_output", "user", "assistant"
    ]  # fmt: skip


async def test_who_goes_on_from_a_response_has_what_its_conversation_remembered(
    client: httpx.AsyncClient,
) -> None:
    body = {"input": [OUTPUT], "conversation": "mine", "instructions": "Be brief."}
    assert responded(await client.post(RESPONSES, json=body)) == TOLD
    body = {"input": "And tomorrow?", "conversation": "mine"}
    second = (await client.post(RESPONSES, json=body)).json()
    body = {"input": "And then?", "previous_response_id": second["id"]}
    assert responded(await client.post(RESPONSES, json=body)) == "Ok."
    # All but the instructions, which were for one response alone.
    assert await items(client) == [
        "user", "function_call", "function_call_output", "assistant", *["user", "assistant"] * 2
    ]  # fmt: skip


async def test_many_rounds_of_calls_for_one_question(client: httpx.AsyncClient) -> None:
    body = {"input": [OUTPUT], "conversation": "mine", "tools": [FUNCTION]}
    for _ in range(9):
        again = await client.post(RESPONSES, json={**body, "tool_choice": "required"})
        assert again.json()["output"][0]["type"] == "function_call"
    assert TOLD in responded(await client.post(RESPONSES, json=body))


async def test_without_sessions_nobody_is_told_that_the_call_is_wrong(
    client: httpx.AsyncClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(conversation_id: str) -> Session | None:
        raise StateUnavailableError("Redis is away")

    monkeypatch.setattr(runtime.sessions, "load", away)
    reply = await client.post(RESPONSES, json={"input": [OUTPUT], "conversation": "mine"})
    assert reply.status_code == 503


async def test_an_empty_message_is_named_by_its_field(client: httpx.AsyncClient) -> None:
    reply = await client.post(RESPONSES, json={"input": " "})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")
