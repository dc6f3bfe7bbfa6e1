"""What comes in broken, too large or for nobody, and what goes wrong inside."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from agent_runtime.domain import IndexInfo
from agent_runtime.errors import (
    AgentError,
    ConflictError,
    ForbiddenError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    IndexMissingError,
    NotFoundError,
    OverloadedError,
    StateUnavailableError,
    TooLargeError,
    UnauthenticatedError,
    UnreadableDocumentError,
    VectorStoreUnavailableError,
)
from agent_runtime.http.fields import issued_conversation
from agent_runtime.http.health import Health
from agent_runtime.http.middleware import MAX_BODY
from tests.unit.runtime.http.harness import CHAT, RESPONSES, Runtime, events_of

JSON = {"content-type": "application/json"}
ERRORS = [
    (UnauthenticatedError("x"), 401, "authentication_error", "invalid_api_key"),
    (ForbiddenError("x"), 403, "permission_error", "forbidden"),
    (NotFoundError("x"), 404, "invalid_request_error", "not_found"),
    (ConflictError("x"), 409, "conflict_error", "conflict"),
    (TooLargeError("x"), 413, "invalid_request_error", "too_large"),
    (UnreadableDocumentError("x"), 422, "invalid_request_error", "unreadable_document"),
    (OverloadedError("x", 7), 429, "rate_limit_error", "rate_limit_exceeded"),
    (VectorStoreUnavailableError("x"), 503, "service_unavailable", "VectorStoreUnavailable"),
    (GeneratorUnavailableError("x"), 503, "service_unavailable", "GeneratorUnavailable"),
    (StateUnavailableError("x"), 503, "service_unavailable", "StateUnavailable"),
    (IndexMissingError("x"), 503, "service_unavailable", "IndexMissing"),
    (GeneratorTimeoutError("x"), 504, "timeout_error", "GeneratorTimeout"),
]


@pytest.mark.parametrize(("error", "status", "kind", "code"), ERRORS)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_an_error_has_its_status_and_shape(
    runtime: Runtime, path: str, error: AgentError, status: int, kind: str, code: str
) -> None:
    runtime.agent.error = error
    asked = runtime.ask if path == CHAT else runtime.respond
    for stream in (False, True):
        reply = await asked(stream=stream)
        assert reply.status_code == status
        wanted = {"message": "x", "type": kind, "param": None, "code": code}
        assert reply.json() == {"error": wanted}
        assert reply.headers.get("retry-after") == {429: "7", 503: "5"}.get(status)
        assert ("www-authenticate" in reply.headers) == (status == 401)
    assert (
        f'reason="{error.reason}",revision="r1"}} 2.0' in runtime.telemetry.metrics.text().decode()
    )


async def test_a_fault_of_our_own_names_the_revision_and_tells_nothing(runtime: Runtime) -> None:
    runtime.agent.error = RuntimeError("secret")
    reply = await runtime.ask()
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "internal_error"
    assert "secret" not in reply.text
    assert reply.headers["x-agent-revision"] == "r1"


@pytest.mark.parametrize(
    ("late", "message"),
    [(GeneratorTimeoutError("too late"), "too late"), (KeyError("k"), "internal error")],
)
async def test_a_stream_that_fails_half_way_says_so_and_does_not_end_as_done(
    runtime: Runtime, late: Exception, message: str
) -> None:
    runtime.agent.late = late
    reply = await runtime.ask(stream=True)
    assert reply.status_code == 200
    assert events_of(reply)[-1]["error"]["message"] == message
    assert "[DONE]" not in reply.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"messages": "\xff"}', "not JSON"),
        (b"PK\x03\x04" + bytes(1000), "not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b'{"tools":' * 5000 + b"1" + b"}" * 5000, "not JSON"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "not JSON"),
        (b'{"messages": [], "temperature": NaN}', "temperature"),
        (b'{"messages": [], "temperature": Infinity}', "temperature"),
        (b'{"messages": [], "max_tokens": 1e400}', "max_tokens"),
        (b"null", "the body: Input should be an object"),
        (b"[]", "the body: Input should be an object"),
        (b'"x"', "the body: Input should be an object"),
        (b"\xef\xbb\xbf{}", "not JSON"),
    ],
)  # fmt: skip
async def test_a_broken_body_is_a_400_that_says_why(
    runtime: Runtime, body: bytes, said: str
) -> None:
    reply = await runtime.client.post(CHAT, content=body, headers=JSON)
    assert reply.status_code == 400
    assert said in reply.json()["error"]["message"]


async def test_a_schema_with_nan_in_it_is_refused_or_harmless(runtime: Runtime) -> None:
    body = (
        b'{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":'
        b'{"name":"f","parameters":{"type":"object","maximum":NaN}}}]}'
    )
    reply = await runtime.client.post(CHAT, content=body, headers=JSON)
    assert reply.status_code in (200, 400)


async def test_another_type_of_body_is_a_415(runtime: Runtime) -> None:
    form = await runtime.client.post(CHAT, data={"a": "b"})
    assert form.status_code == 415
    assert "application/json" in form.json()["error"]["message"]
    named = {"content-type": "application/json; charset=utf-8"}
    assert (await runtime.client.post(CHAT, content=b"{}", headers=named)).status_code == 400


async def test_a_body_too_large_is_refused_announced_or_not(runtime: Runtime) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY // 2)

    announced = await runtime.client.post(CHAT, content=b" " * (MAX_BODY + 1))
    streamed = await runtime.client.post(CHAT, content=endless())
    assert [announced.status_code, streamed.status_code] == [413, 413]
    assert announced.json()["error"]["code"] == "too_large"


async def test_an_unknown_path_a_wrong_method_and_what_is_allowed(runtime: Runtime) -> None:
    unknown, wrong = await runtime.client.get("/v1/nothing"), await runtime.client.get(CHAT)
    assert [each.status_code for each in (unknown, wrong)] == [404, 405]
    assert [each.json()["error"]["code"] for each in (unknown, wrong)] == [
        "not_found",
        "method_not_allowed",
    ]
    assert wrong.headers["allow"] == "POST"
    put = await runtime.client.put("/v1/conversations/c")
    assert put.headers["allow"] == "DELETE, GET, POST"
    options = await runtime.client.options(CHAT)
    assert (options.status_code, options.headers["allow"]) == (204, "POST")


async def test_head_is_get_without_a_body(runtime: Runtime) -> None:
    head, get = await runtime.client.head("/v1/models"), await runtime.client.get("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("id", ["a\r\nX-Evil: 1", "ä", "a b", "x" * 129, ""])
async def test_a_header_s_conversation_cannot_break_out(runtime: Runtime, id: str) -> None:
    reply = await runtime.client.post(
        CHAT,
        json={"messages": [{"role": "user", "content": "x"}]},
        headers={b"x-conversation-id": id.encode()},
    )
    assert reply.status_code == (400 if id else 200)
    assert "x-evil" not in reply.headers
    assert reply.headers["x-conversation-id"].startswith("conv_")


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_new_conversation_is_named_after_its_revision(runtime: Runtime, path: str) -> None:
    asked = runtime.ask if path == CHAT else runtime.respond
    named = (await asked()).headers["x-conversation-id"]
    assert re.fullmatch("conv_[0-9a-f]{32}-r1", named)
    made = (await runtime.client.post("/v1/conversations")).json()
    assert re.fullmatch("conv_[0-9a-f]{32}-r1", made["id"])
    assert made["created_at"] > 1_600_000_000


async def test_a_conversation_goes_on_at_any_revision(runtime: Runtime) -> None:
    theirs = "conv_" + "0" * 32 + "-r0"
    reply = await runtime.client.post(
        CHAT,
        json={"messages": [{"role": "user", "content": "x"}]},
        headers={"x-conversation-id": theirs},
    )
    assert reply.status_code == 200
    assert reply.headers["x-conversation-id"] == theirs


@pytest.mark.parametrize("revision", ["local", "Not a label", "x" * 64])
def test_a_revision_that_cannot_stand_in_a_name_is_left_out(revision: str) -> None:
    assert re.fullmatch("conv_[0-9a-f]{32}", issued_conversation(revision))


async def test_requests_have_ids(runtime: Runtime) -> None:
    mine = await runtime.client.get("/v1/models", headers={"x-request-id": "mine"})
    other = await runtime.client.get("/v1/models", headers={b"x-request-id": b"a\nb"})
    assert mine.headers["x-request-id"] == "mine"
    assert other.headers["x-request-id"].startswith("req_")


async def test_readiness_says_why_and_liveness_does_not_care(runtime: Runtime) -> None:
    starting = await runtime.client.get("/readyz")
    assert starting.status_code == 503
    assert starting.json()["reason"] == "Starting"
    runtime.health.drain()
    assert (await runtime.client.get("/readyz")).json()["reason"] == "Draining"
    assert (await runtime.client.get("/livez")).status_code == 200


def test_a_degraded_agent_is_ready_and_says_what_it_does_without() -> None:
    info = IndexInfo("c", "1", "m", 64, 3, 12, False)
    parts = {"retrieval": ("IndexMissing", "there is no collection 'c'")}
    code, body = Health(lambda: info, "r1", lambda: parts).readiness()
    assert (code, body["ready"], body["degraded"]) == (200, True, ["retrieval"])
    reason = {"part": "retrieval", "reason": "IndexMissing", "message": parts["retrieval"][1]}
    assert body["reasons"] == [reason]
    well = Health(lambda: info, "r1").readiness()[1]
    assert (well["degraded"], well["reasons"]) == ([], [])


async def test_metrics_count_by_revision(runtime: Runtime) -> None:
    for reply in (await runtime.ask(), await runtime.ask(stream=True), await runtime.ask(n=2)):
        assert "total;dur=" in reply.headers["server-timing"]
    text = (await runtime.client.get("/metrics")).text
    for line in (
        'agent_requests_total{code="200",revision="r1"} 2.0',
        'agent_requests_total{code="400",revision="r1"} 1.0',
        'agent_request_errors_total{reason="InvalidRequest",revision="r1"} 1.0',
        'agent_request_duration_seconds_count{answer="made",revision="r1"} 2.0',
        'agent_time_to_first_token_seconds_count{answer="made",revision="r1"} 2.0',
        'agent_turns{revision="r1",state="running"} 0.0',
    ):
        assert line in text
    assert 'agent_request_duration_seconds_bucket{answer="made",le="0.005",revision="r1"}' in text
