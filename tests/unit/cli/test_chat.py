"""A conversation through the proxy: what is asked of whom, and what is shown of the answer."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from chatagent_operator.cli.arguments import build_parser
from chatagent_operator.cli.chatting import run_chat
from chatagent_operator.cli.errors import NO_ANSWER, REFUSED, USAGE, CommandError
from chatagent_operator.cli.result import Result
from chatagent_operator.kube.errors import ApiError, NotFoundError
from tests.conftest import Golden
from tests.unit.cli.cluster import FakeServer
from tests.unit.cli.stories import CANARY_STATUS, NOW, server

CITATIONS = [
    {"filename": "returns.md", "title": "Returns", "quote": "Within 30 days."},
    {"filename": "returns.md", "title": "Returns", "quote": "Within 30 days."},
    {"filename": "lamps.md", "title": "lamps.md", "quote": "No bulbs\ncan be returned."},
]


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode()


def answer(*texts: str, end: dict[str, Any] | None = None) -> list[bytes]:
    pieces = [
        event(conversation_id="conv_1", choices=[{"delta": {"content": text}}]) for text in texts
    ]
    cited = event(choices=[{"delta": {"content": "", "annotations": CITATIONS}}])
    last = event(choices=[{"delta": {}, "finish_reason": "stop"}], **(end or {}))
    return [*pieces, b"", b": a comment", cited, last, b"data: [DONE]"]


async def run(fake: FakeServer, *line: str) -> Result:
    return await run_chat(fake.cluster, build_parser().parse_args(["chat", "shop", *line]))


async def test_one_question(golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    fake = server(CANARY_STATUS)
    fake.answers = [answer("You can ", "return 它.", end={"degraded": ["sessions"]})]
    result = await run(fake, "-m", "Can I return a lamp?")
    path, body, headers = fake.streams[0]
    assert path == "/api/v1/namespaces/demo/services/http:shop:80/proxy/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "Can I return a lamp?"}]
    assert body["stream"] is True
    assert "X-Conversation-ID" not in headers
    streamed = capsys.readouterr().out
    assert streamed == "You can return 它."
    golden.check("cli-chat.txt", streamed + result.text(NOW) + "\n")


async def test_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    fake = server(CANARY_STATUS)
    fake.answers = [answer("Yes.")]
    result = await run(fake, "-m", "Can I?", "-o", "json")
    assert capsys.readouterr().out == "", "one document and nothing else"
    assert result.document["text"] == "Yes."
    assert result.document["conversationId"] == "conv_1"
    assert result.document["citations"] == CITATIONS


@pytest.mark.parametrize(
    ("word", "service"),
    [("canary", "shop-9d7f6748"), ("stable", "shop-5b1f0c9e"), ("1", "shop-1a2b3c4d")],
)
async def test_one_revision_without_the_gateway(word: str, service: str) -> None:
    fake = server(CANARY_STATUS)
    fake.answers = [answer("Yes.")]
    await run(fake, "-m", "Can I?", "--revision", word, "--conversation", "conv_0")
    path, _, headers = fake.streams[0]
    assert f"/services/http:{service}:8080/proxy/" in path
    assert headers["X-Conversation-ID"] == "conv_0"


async def test_the_stable_revision_where_the_gateway_is_the_cluster_s_own() -> None:
    gateway = {"provider": "gateway-api", "parentRefs": [{"name": "web"}]}
    fake = server(CANARY_STATUS, gateway=gateway)
    fake.answers = [answer("Yes."), answer("Yes.")]
    await run(fake, "-m", "Can I?")
    await run(fake, "-m", "Can I?", "--revision", "canary")
    services = [path.split("/")[6] for path, _, _ in fake.streams]
    assert services == ["http:shop-5b1f0c9e:8080", "http:shop-9d7f6748:8080"]
    with pytest.raises(CommandError, match="the agent has no stable revision"):
        await run(server({}, gateway=gateway), "-m", "Can I?")


async def test_a_conversation_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = server(CANARY_STATUS)
    fake.answers = [answer("One."), answer("Two.")]
    monkeypatch.setattr("sys.stdin", io.StringIO("first\n\nsecond\n"))
    result = await run(fake)
    assert result.render("text", NOW) == ""
    assert [each[2].get("X-Conversation-ID") for each in fake.streams] == [None, "conv_1"]
    printed = capsys.readouterr().out
    assert printed.index("One.") < printed.index("Two.")
    assert "[1] returns.md (Returns)" in printed


@pytest.mark.parametrize(
    ("given", "message", "code"),
    [
        (ApiError(503, '{"error": {"message": "the store is away"}}'), "the store is away", 3),
        (ApiError(401, '{"error": {"message": "no token"}}'), "no token", REFUSED),
        (ApiError(403, "you may not proxy"), "you may not proxy", REFUSED),
        (NotFoundError(404, 'services "shop" not found'), 'services "shop" not found', REFUSED),
        ([event(choices=[{"delta": {"content": "Yo"}}])], "the reply is incomplete", NO_ANSWER),
        ([event(error={"message": "the model failed"})], "the model failed", NO_ANSWER),
        ([b"data: {"], "the reply is not valid JSON", NO_ANSWER),
    ],
)
async def test_errors(given: Any, message: str, code: int) -> None:
    fake = server(CANARY_STATUS)
    fake.answers = [given]
    with pytest.raises(CommandError, match=message) as refused:
        await run(fake, "-m", "Can I?")
    assert refused.value.exit_code == code


async def test_a_document_needs_a_question() -> None:
    with pytest.raises(CommandError, match="--message") as refused:
        await run(server(CANARY_STATUS), "-o", "json")
    assert refused.value.exit_code == USAGE
