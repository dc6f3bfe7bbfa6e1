"""The HTTP edge over a pipeline of fakes: shapes, names, errors, streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from starlette.types import ASGIApp

from agent_runtime.domain import Citation, Evidence, Piece
from agent_runtime.errors import VectorStoreUnavailableError
from agent_runtime.http.app import build_app
from agent_runtime.http.chat import Chat
from agent_runtime.http.health import Health
from agent_runtime.http.middleware import MAX_BODY
from agent_runtime.http.schemas import MAX_QUESTION
from agent_runtime.pipeline import Pipeline
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.telemetry import Telemetry
from tests.unit.runtime.fakes import HashingEmbedder, MemoryStore, indexed

CHAT = "/v1/chat/completions"
QUOTE = "退款 3 天到账。\n"


class Parrot:
    """Retriever and generator in one: quotes a line, or fails as it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.late: Exception | None = None
        self.question = ""

    async def retrieve(self, question: str) -> Evidence:
        if self.error:
            raise self.error
        self.question = question
        return Evidence(question, HashingEmbedder().embed([question])[0], True, {}, [])

    async def generate(self, evidence: Evidence) -> AsyncIterator[Piece]:
        yield Piece(QUOTE, Citation(0, len(QUOTE), QUOTE, 0.5, indexed(QUOTE).chunk))
        if self.late:
            raise self.late
        yield Piece("", refusal=True)


class Runtime:
    def __init__(self) -> None:
        self.parrot = Parrot()
        self.telemetry = Telemetry("r1")
        follower = IndexFollower(MemoryStore(), HashingEmbedder(), lambda snapshot: None)
        self.health = Health(follower, "r1")
        pipeline = Pipeline(self.parrot, self.parrot, self.telemetry)
        chat = Chat(pipeline, lambda text: len(text.split()), "extractive")
        app: ASGIApp = build_app(chat, self.health, follower, self.telemetry, "r1")
        transport = httpx.ASGITransport(cast(Any, app), raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://agent")

    async def ask(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": "How long?"}]
        return await self.client.post(CHAT, json={"messages": messages, **body}, headers=headers)


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    runtime = Runtime()
    async with runtime.client:
        yield runtime


async def test_a_reply_has_openai_s_shape(runtime: Runtime) -> None:
    reply = await runtime.ask(model="gpt-x", temperature=0.3, unknown={"a": 1})
    body = reply.json()
    message = body["choices"][0]["message"]
    assert (body["object"], body["model"]) == ("chat.completion", "gpt-x")
    assert message["content"] == QUOTE
    assert message["annotations"][0] == {
        "type": "file_citation", "file_id": "s/a.md", "filename": "a.md", "title": "Title",
        "start_index": 0, "end_index": len(QUOTE), "quote": QUOTE, "score": 0.5,
        "chunk_id": "s/a.md#f-0",
    }  # fmt: skip
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert reply.headers["x-conversation-id"] == body["conversation_id"]
    assert reply.headers["x-agent-revision"] == "r1"


async def test_a_stream_says_the_same(runtime: Runtime) -> None:
    reply = await runtime.ask(stream=True, stream_options={"include_usage": True})
    *lines, done, end = reply.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    deltas = [each["choices"][0]["delta"] for each in events if each["choices"]]
    plain = (await runtime.ask()).json()
    message = plain["choices"][0]["message"]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == message["content"]
    assert [d["annotations"] for d in deltas if "annotations" in d] == [message["annotations"]]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"] == plain["usage"]
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-conversation-id"] == events[0]["conversation_id"]


async def test_a_conversation_keeps_its_name(runtime: Runtime) -> None:
    named = await runtime.ask(headers={"X-Conversation-ID": "a"}, conversation_id="b")
    assert named.headers["x-conversation-id"] == named.json()["conversation_id"] == "a"
    assert (await runtime.ask(conversation_id="b")).headers["x-conversation-id"] == "b"
    one, two = [(await runtime.ask()).headers["x-conversation-id"] for _ in range(2)]
    assert one != two


async def test_the_last_user_message_is_the_question(runtime: Runtime) -> None:
    turns = [
        {"role": "user", "content": "First?"},
        {"role": "assistant", "content": "Yes.", "tool_calls": None},
        {"role": "user", "content": [{"type": "text", "text": "Second?"}]},
        {"role": "assistant", "content": None},
    ]
    await runtime.ask(messages=turns)
    assert runtime.parrot.question == "Second?"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"stream": "yes"}, "stream"),
        ({"n": 2}, "n"),
        ({"conversation_id": "a\r\nX: y"}, "conversation_id"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * (MAX_QUESTION + 1)}]}, "messages"),
    ],
)
async def test_what_cannot_be_answered_is_refused_by_field(
    runtime: Runtime, body: dict[str, Any], param: str
) -> None:
    reply = await runtime.ask(**body)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["param"]) == (
        400,
        "invalid_request_error",
        param,
    )
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-agent-revision"] == "r1"
    assert reply.headers["x-conversation-id"]


async def test_broken_json_an_unknown_path_and_a_wrong_method(runtime: Runtime) -> None:
    broken = await runtime.client.post(
        CHAT, content=b"{", headers={"content-type": "application/json"}
    )
    assert broken.json()["error"]["param"] is None
    assert "not JSON" in broken.json()["error"]["message"]
    unknown, wrong = await runtime.client.get("/v1/nothing"), await runtime.client.get(CHAT)
    assert [each.status_code for each in (broken, unknown, wrong)] == [400, 404, 405]
    assert all("message" in each.json()["error"] for each in (broken, unknown, wrong))


async def test_a_body_too_large_is_refused_announced_or_not(runtime: Runtime) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY // 2)

    announced = await runtime.client.post(CHAT, content=b" " * (MAX_BODY + 1))
    streamed = await runtime.client.post(CHAT, content=endless())
    assert [announced.status_code, streamed.status_code] == [413, 413]


async def test_a_store_that_is_down_is_a_503_to_be_tried_again(runtime: Runtime) -> None:
    runtime.parrot.error = VectorStoreUnavailableError("the vector store at h:1: refused")
    reply = await runtime.ask(stream=True)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert reply.json()["error"]["code"] == "VectorStoreUnavailable"


async def test_a_stream_that_fails_half_way_says_so_and_does_not_end_as_done(
    runtime: Runtime,
) -> None:
    runtime.parrot.late = VectorStoreUnavailableError("gone")
    reply = await runtime.ask(stream=True)
    last = reply.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "gone"


async def test_a_fault_of_our_own_names_the_revision_and_tells_nothing(runtime: Runtime) -> None:
    runtime.parrot.error = RuntimeError("secret")
    reply = await runtime.ask()
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert reply.headers["x-agent-revision"] == "r1"


async def test_readiness_says_why_and_liveness_does_not_care(runtime: Runtime) -> None:
    starting = await runtime.client.get("/readyz")
    assert starting.status_code == 503
    assert starting.json()["reason"] == "Starting"
    runtime.health.drain()
    assert (await runtime.client.get("/readyz")).json()["reason"] == "Draining"
    assert (await runtime.client.get("/livez")).status_code == 200


async def test_metrics_count_by_revision(runtime: Runtime) -> None:
    await asyncio.gather(runtime.ask(), runtime.ask(stream=True), runtime.ask(n=2))
    text = (await runtime.client.get("/metrics")).text
    for line in (
        'agent_requests_total{code="200",revision="r1"} 2.0',
        'agent_requests_total{code="400",revision="r1"} 1.0',
        'agent_request_errors_total{reason="InvalidRequest",revision="r1"} 1.0',
        'agent_request_duration_seconds_count{revision="r1"} 3.0',
        'agent_time_to_first_token_seconds_count{revision="r1"} 3.0',
        'agent_retrieval_duration_seconds_count{revision="r1"} 2.0',
        'agent_no_answer_total{revision="r1"} 2.0',
    ):
        assert line in text
    assert 'agent_request_duration_seconds_bucket{le="0.005",revision="r1"}' in text


async def test_the_agent_lists_its_model(runtime: Runtime) -> None:
    listed = (await runtime.client.get("/v1/models")).json()
    assert [each["id"] for each in listed["data"]] == ["extractive"]
