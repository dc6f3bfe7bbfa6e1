"""Conversations: whose they are, what is in them, what they wait for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.domain import Approval, Pending, Session, ToolCall, Turn
from agent_runtime.errors import NotFoundError
from agent_runtime.http.conversations.remembered import Conversations
from agent_runtime.http.items import items_of
from tests.unit.runtime.http.harness import ALICE, BOB, KEYS, Runtime, events_of, hiding

PATH = "/v1/conversations"
HELLO = {"role": "user", "content": "Hello"}


async def begun(runtime: Runtime, **body: Any) -> Any:
    reply = await runtime.client.post(PATH, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_conversation_is_begun_noted_and_forgotten(runtime: Runtime) -> None:
    made = await begun(runtime, metadata={"topic": "orders"})
    assert made["object"] == "conversation"
    assert made["created_at"] > 1_600_000_000
    one = f"{PATH}/{made['id']}"
    assert (await runtime.client.get(one)).json() == made
    changed = (await runtime.client.post(one, json={"metadata": {"topic": "returns"}})).json()
    assert changed["metadata"] == {"topic": "returns"}
    assert (await runtime.client.get(one)).json() == changed
    gone = (await runtime.client.delete(one)).json()
    assert gone == {"id": made["id"], "object": "conversation.deleted", "deleted": True}
    assert (await runtime.client.get(one)).status_code == 404


async def test_it_can_begin_with_nothing_at_all(runtime: Runtime) -> None:
    reply = await runtime.client.post(PATH)
    assert (reply.status_code, reply.json()["metadata"]) == (200, {})


async def test_items_are_listed_added_and_taken_away(runtime: Runtime) -> None:
    made = await begun(runtime, items=[HELLO, {"role": "assistant", "content": "Hi"}])
    items = f"{PATH}/{made['id']}/items"
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "done"}
    added = (await runtime.client.post(items, json={"items": [call, output]})).json()
    assert [each["type"] for each in added["data"]] == ["function_call", "function_call_output"]
    listed = (await runtime.client.get(items, params={"order": "asc"})).json()["data"]
    assert [each["type"] for each in listed] == [
        "message", "message", "function_call", "function_call_output"
    ]  # fmt: skip
    assert listed[1]["content"][0] == {
        "type": "output_text", "text": "Hi", "annotations": [], "logprobs": []
    }  # fmt: skip
    assert listed[2:] == added["data"]
    one = f"{items}/{listed[1]['id']}"
    assert (await runtime.client.get(one)).json() == listed[1]
    assert (await runtime.client.delete(one)).status_code == 200
    assert (await runtime.client.get(one)).status_code == 404
    left = (await runtime.client.get(items, params={"order": "asc"})).json()["data"]
    assert left == [listed[0], *listed[2:]]


async def test_pages_follow_each_other(runtime: Runtime) -> None:
    said = [{"role": "user", "content": str(number)} for number in range(5)]
    made = await begun(runtime, items=said)
    items, seen, query = f"{PATH}/{made['id']}/items", list[str](), {"limit": "2"}
    page: Any = None
    for _ in range(3):
        page = (await runtime.client.get(items, params=query)).json()
        seen += [each["content"][0]["text"] for each in page["data"]]
        query = {"limit": "2", "after": page["last_id"]}
    assert seen == ["4", "3", "2", "1", "0"]
    assert page["has_more"] is False
    for wrong in ({"limit": "0"}, {"limit": "x"}, {"order": "up"}, {"after": "nobody"}):
        reply = await runtime.client.get(items, params=wrong)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, next(iter(wrong)))


async def test_what_a_turn_said_is_in_its_conversation(runtime: Runtime) -> None:
    turns = (Turn("user", "How long?"), Turn("assistant", "3 days."))
    await runtime.sessions.save(Session("mine", turns=turns))
    listed = (await runtime.client.get(f"{PATH}/mine/items")).json()["data"]
    assert [each["content"][0]["text"] for each in listed] == ["3 days.", "How long?"]


async def test_somebody_else_s_conversation_is_not_found(keyed: Runtime) -> None:
    made = (await keyed.client.post(PATH, json={"metadata": {"a": "b"}}, headers=ALICE)).json()
    one = f"{PATH}/{made['id']}"
    for method, path, body in (
        ("GET", one, None),
        ("POST", one, {"metadata": {}}),
        ("GET", f"{one}/items", None),
        ("POST", f"{one}/items", {"items": [HELLO]}),
        ("POST", f"{one}/approvals/a", {"approve": True}),
        ("DELETE", one, None),
    ):
        for headers in (BOB, {}):
            reply = await keyed.client.request(method, path, json=body, headers=headers)
            assert reply.status_code == 404, (method, path)
    assert (await keyed.client.get(one, headers=ALICE)).json()["metadata"] == {"a": "b"}


async def test_a_call_is_approved_in_its_conversation(runtime: Runtime) -> None:
    pending = Pending("approval-1", ToolCall("c", "cancel_order", {"id": "A1"}))
    await runtime.sessions.save(Session("c-1", turns=(Turn("user", "Cancel A1"),), pending=pending))
    found = (await runtime.client.get(f"{PATH}/c-1")).json()
    assert found["required_action"]["approval"]["id"] == "approval-1"
    url = f"{PATH}/c-1/approvals/approval-1"
    reply = await runtime.client.post(url, json={"approve": True})
    assert reply.json()["object"] == "chat.completion"
    assert reply.headers["x-conversation-id"] == "c-1"
    request = runtime.agent.requests[-1]
    assert (request.approval, request.turns) == (Approval("approval-1", True), ())
    streamed = await runtime.client.post(url, json={"approve": False, "stream": True})
    assert events_of(streamed)[0]["object"] == "chat.completion.chunk"
    other = await runtime.client.post(f"{PATH}/c-1/approvals/other", json={"approve": True})
    assert other.status_code == 404
    wrong = await runtime.client.post(url, json={"approve": "yes"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "approve")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {"a": "\0"}}, "metadata.a"),
        ({"items": [HELLO] * 21}, "items"),
        ({"items": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}]},
         "items.0.arguments"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_refused_by_field(
    runtime: Runtime, body: dict[str, Any], param: str
) -> None:
    reply = await runtime.client.post(PATH, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


turn = st.builds(
    Turn,
    st.sampled_from(["user", "assistant", "system"]),
    st.sampled_from(["", "a", "b", "昆山"]),
)


@given(st.lists(turn, max_size=12), st.data())
def test_an_item_keeps_its_id_when_another_one_goes(turns: list[Turn], data: st.DataObject) -> None:
    ids = [item["id"] for _, item in items_of(turns)]
    assert len(set(ids)) == len(ids) == len(turns)
    if turns:
        at = data.draw(st.integers(0, len(turns) - 1))
        same = [n for n, turn in enumerate(turns) if turn == turns[at]]
        left = [id for n, id in enumerate(ids) if n != same[-1]]
        fewer = [turn for n, turn in enumerate(turns) if n != same[-1]]
        assert [item["id"] for _, item in items_of(fewer)] == left


async def test_results_are_not_seen_without_the_right_to_their_tool(runtime: Runtime) -> None:
    alice, secret, open_ = KEYS["alice-key"], ToolCall("1", "secret", {}), ToolCall("2", "open", {})
    turns = (
        Turn("user", "Both?"), Turn("assistant", "", (secret, open_)),
        Turn("tool", "hush", tool_call_id="1"), Turn("tool", "loud", tool_call_id="2"),
        Turn("assistant", "Done."), Turn("user", "And?"), Turn("assistant", "Done."),
    )  # fmt: skip
    parts = runtime.sessions, runtime.records, "r1"
    made = await Conversations(*parts).create(alice, turns, {})
    hidden = Conversations(*parts, hiding("secret"))
    items = await hidden.items(made.id, alice)
    assert [each["type"] for each in items] == [
        "message", "function_call", "function_call_output", "message", "message"
    ]  # fmt: skip
    assert "hush" not in str(items)
    added = await hidden.add(made.id, alice, (Turn("user", "Bye"),))
    assert added == (await hidden.items(made.id, alice))[5:]
    full = await Conversations(*parts).items(made.id, alice)
    (unseen,) = [each["id"] for each in full if each.get("output") == "hush"]
    with pytest.raises(NotFoundError):
        await hidden.remove(made.id, alice, unseen)
    # Of two that say the same, the one that is seen goes.
    left = await hidden.remove(made.id, alice, items[-1]["id"])
    assert left.session.turns == (*turns[:-1], Turn("user", "Bye"))
    left = await hidden.remove(made.id, alice, items[1]["id"])
    assert all(open_ not in turn.tool_calls for turn in left.session.turns)
