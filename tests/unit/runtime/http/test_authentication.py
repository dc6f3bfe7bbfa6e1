"""Who asks: tokens, no tokens, and tokens of nobody."""

from __future__ import annotations

import pytest

from agent_runtime.errors import UnavailableError
from tests.unit.runtime.http.harness import ALICE, KEYS, Runtime


async def test_without_issuers_a_token_says_nothing(runtime: Runtime) -> None:
    assert (await runtime.ask(headers={"Authorization": "Bearer unused"})).status_code == 200
    assert runtime.agent.requests[0].principal.anonymous


async def test_the_turn_knows_who_asks(keyed: Runtime) -> None:
    await keyed.ask(headers=ALICE)
    await keyed.ask(headers={"authorization": "bearer   bob-key "})
    await keyed.ask()
    principals = [request.principal for request in keyed.agent.requests]
    assert principals[:2] == list(KEYS.values())
    assert principals[2].anonymous


@pytest.mark.parametrize(
    "value", ["Bearer nobody", "Basic YTpi", "Bearer", "Bearer " + "x" * 20_000]
)
async def test_a_token_of_nobody_is_refused(keyed: Runtime, value: str) -> None:
    reply = await keyed.ask(headers={"Authorization": value})
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="agent"')
    assert reply.json()["error"]["type"] == "authentication_error"
    assert reply.headers["x-agent-revision"] == "r1"
    assert value not in reply.text
    assert keyed.agent.requests == []
    assert 'code="401"' in keyed.telemetry.metrics.text().decode()


async def test_two_tokens_are_none(keyed: Runtime) -> None:
    both = [("Authorization", "Bearer alice-key"), ("Authorization", "Bearer bob-key")]
    assert (await keyed.client.get("/v1/models", headers=both)).status_code == 401


async def test_where_it_is_required_nobody_is_anonymous() -> None:
    runtime = Runtime(known=True, required=True)
    async with runtime.client:
        assert (await runtime.ask()).status_code == 401
        assert (await runtime.ask(headers=ALICE)).status_code == 200
        assert (await runtime.client.get("/v1/models")).status_code == 401
        for open_to_all in ("/livez", "/metrics", "/openapi.json"):
            assert (await runtime.client.get(open_to_all)).status_code == 200


async def test_an_issuer_that_does_not_answer_is_a_503(
    keyed: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: object, token: str) -> None:
        raise UnavailableError("the issuer does not answer")

    monkeypatch.setattr(type(keyed.parts.authenticator), "authenticate", away)
    assert (await keyed.ask(headers=ALICE)).status_code == 503


async def test_tools_are_those_of_the_caller(keyed: Runtime) -> None:
    async def names(headers: dict[str, str]) -> list[str]:
        listed = (await keyed.client.get("/v1/tools", headers=headers)).json()["data"]
        return [each["name"] for each in listed]

    assert await names({}) == ["get_order"]
    assert await names(ALICE) == ["get_order", "cancel_order"]
    write = (await keyed.client.get("/v1/tools", headers=ALICE)).json()["data"][1]
    assert (write["effect"], write["requires_approval"]) == ("write", True)
    assert write["parameters"]["type"] == "object"
