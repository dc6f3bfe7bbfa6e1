"""Ratings: counted for the revision, refused with the field's name, silent about comments."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agent_runtime.domain import Session
from agent_runtime.errors import StateUnavailableError
from agent_runtime.state.memory import MemorySessions
from agent_runtime.telemetry import Telemetry
from tests.unit.runtime.http.harness import ALICE, BOB, Runtime

FEEDBACK = "/v1/feedback"


def count(runtime: Runtime, rating: str) -> float | None:
    labels = {"revision": "r1", "rating": rating}
    return runtime.telemetry.metrics.registry.get_sample_value("agent_feedback_total", labels)


async def test_a_rating_is_counted_for_the_revision(runtime: Runtime) -> None:
    assert (count(runtime, "up"), count(runtime, "down")) == (0, 0)
    asked = await runtime.ask()
    given = {"conversation_id": asked.json()["conversation_id"], "response_id": asked.json()["id"]}
    reply = await runtime.client.post(FEEDBACK, json={"rating": "down", **given})
    assert reply.status_code == 200
    assert reply.json() == {"object": "feedback", "rating": "down", **given}
    assert reply.headers["x-conversation-id"] == given["conversation_id"]
    assert (count(runtime, "up"), count(runtime, "down")) == (0, 1)


async def test_the_header_names_the_conversation_before_the_body(runtime: Runtime) -> None:
    body = {"rating": "up", "conversation_id": "one"}
    headers = {"X-Conversation-ID": "other"}
    reply = await runtime.client.post(FEEDBACK, json=body, headers=headers)
    assert reply.json()["conversation_id"] == "other"
    assert reply.json()["response_id"] is None
    reply = await runtime.client.post(FEEDBACK, json={"rating": "up"}, headers=headers)
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"rating": "good"}, "rating"),
        ({"rating": 1}, "rating"),
        ({"rating": None}, "rating"),
        ({"conversation_id": None}, "conversation_id"),
        ({"conversation_id": ""}, "conversation_id"),
        ({"conversation_id": "a b"}, "conversation_id"),
        ({"conversation_id": 7}, "conversation_id"),
        ({"response_id": "a b"}, "response_id"),
        ({"comment": "x" * 2001}, "comment"),
        ({"comment": "\0"}, "comment"),
    ],
)
async def test_what_is_wrong_is_named_and_not_counted(
    runtime: Runtime, wrong: dict[str, Any], param: str
) -> None:
    body = {"rating": "up", "conversation_id": "c1", **wrong}
    reply = await runtime.client.post(FEEDBACK, json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert (count(runtime, "up"), count(runtime, "down")) == (0, 0)


async def test_a_rating_is_needed(runtime: Runtime) -> None:
    reply = await runtime.client.post(FEEDBACK, json={"conversation_id": "c1"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "rating")


async def test_only_who_has_a_conversation_rates_it(keyed: Runtime) -> None:
    await keyed.sessions.save(Session("hers", "alice", "one"))
    body = {"rating": "down", "conversation_id": "hers"}
    for somebody_else in (BOB, {}):
        reply = await keyed.client.post(FEEDBACK, json=body, headers=somebody_else)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    assert count(keyed, "down") == 0
    assert (await keyed.client.post(FEEDBACK, json=body, headers=ALICE)).status_code == 200


async def test_a_token_is_needed_where_one_is_needed_for_turns() -> None:
    runtime = Runtime(known=True, required=True)
    async with runtime.client:
        body = {"rating": "up", "conversation_id": "c1"}
        assert (await runtime.client.post(FEEDBACK, json=body)).status_code == 401


async def test_without_redis_ratings_are_counted_all_the_same(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: MemorySessions, conversation_id: str) -> Session | None:
        raise StateUnavailableError("Redis does not answer")

    monkeypatch.setattr(MemorySessions, "load", away)
    reply = await runtime.client.post(FEEDBACK, json={"rating": "up", "conversation_id": "c1"})
    assert reply.status_code == 200
    assert count(runtime, "up") == 1


@pytest.mark.parametrize("wished", [True, False])
def test_a_comment_is_logged_only_where_messages_are(
    caplog: pytest.LogCaptureFixture, wished: bool
) -> None:
    caplog.set_level(logging.INFO)
    Telemetry("r1", log_messages=wished).rated("down", "it was wrong")
    logged = [getattr(record, "fields", None) for record in caplog.records]
    assert logged == ([{"rating": "down", "comment": "it was wrong"}] if wished else [])
