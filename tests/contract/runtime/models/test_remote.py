"""Generators behind a URL: against `transformers serve`, and against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.domain import Finish, Piece, Usage
from agent_runtime.errors import (
    AgentError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    InvalidRequestError,
    OverloadedError,
)
from agent_runtime.models.generators import load
from agent_runtime.ports import Generator
from tests.contract.runtime.models import tiny
from tests.contract.runtime.models.prompts import (
    AFTER_THE_CALL,
    ORDER_STATUS,
    answer,
    llm,
    prompt,
)
from tests.contract.runtime.models.servers import Exchange, TransformersServe, serving
from tests.ports import free_port

KINDS = ("openai", "hf-inference")
KEY = "secret"


@pytest.fixture(scope="module")
def serve(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersServe]:
    server = TransformersServe(sources / "tiny/described", tmp_path_factory.mktemp("serve"))
    server.start()
    yield server
    server.stop()


class Connecting:
    def __init__(self) -> None:
        self.opened: list[Generator] = []

    def __call__(self, kind: str, url: str, name: str = "org/m", **fields: Any) -> Generator:
        fields = {"timeoutSeconds": 20, "apiKeyEnv": "LLM_KEY", **fields}
        config = llm(f"{kind}/{name}", baseURL=url, **fields)
        self.opened.append(load(config, Path("nowhere"), KEY))
        return self.opened[-1]


@pytest.fixture
async def connecting() -> AsyncIterator[Connecting]:
    opened = Connecting()
    yield opened
    for generator in opened.opened:
        await generator.aclose()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_a_real_server_streams_its_reply(
    connecting: Connecting, serve: TransformersServe, kind: str
) -> None:
    generator = connecting(kind, serve.url, serve.model, timeoutSeconds=60)
    question, said = list(tiny.LESSONS.items())[1]
    events = [event async for event in generator.generate(prompt(question))]
    texts = [event.text for event in events if isinstance(event, Piece)]
    assert "".join(texts) == said
    assert len(texts) > 3
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"
    assert events[-1].usage.completion_tokens > 10
    assert events[-1].usage.prompt_tokens == 20
    short = await answer(generator.generate(prompt(question, max_tokens=3)))
    assert short.finish_reason == "length"
    assert said.startswith(short.text)
    assert (await answer(generator.generate(prompt("什么时候可以退货？")))).text == tiny.LESSONS[
        "什么时候可以退货？"
    ]


async def test_a_real_server_calls_tools(
    connecting: Connecting, serve: TransformersServe, kind: str
) -> None:
    generator = connecting(kind, serve.url, serve.model, timeoutSeconds=60)
    assert generator.calls_tools
    asked = prompt("Where is order A-1007?", functions=(ORDER_STATUS,))
    reply = await answer(generator.generate(asked))
    (call,) = reply.client_calls
    assert (call.name, call.arguments) == ("get_order_status", {"order_id": "A-1007"})
    assert reply.finish_reason == "tool_calls"
    assert (await answer(generator.generate(AFTER_THE_CALL))).text == tiny.AFTERWARDS


async def test_requests_carry_what_was_asked_for(connecting: Connecting, kind: str) -> None:
    seen: list[Exchange] = []

    async def note(exchange: Exchange) -> None:
        seen.append(exchange)
        await exchange.stream("Hello", " there")

    async with serving(note) as url:
        generator = connecting(kind, url, sampling={"maxTokens": 9, "stop": ["x"]})
        asked = prompt(
            "Hi", instructions="Be kind.", functions=(ORDER_STATUS,), tool_choice="required",
            temperature=0.5,
        )  # fmt: skip
        reply = await answer(generator.generate(asked))
    assert reply.text == "Hello there"
    assert reply.usage == Usage(5, 3)  # an estimate: the server told nothing
    (exchange,) = seen
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    body = exchange.body
    assert body["model"] == "org/m"
    assert [each["role"] for each in body["messages"]] == ["system", "user"]
    assert (body["max_tokens"], body["stop"], body["temperature"]) == (9, ["x"], 0.5)
    assert body["tools"][0]["function"]["name"] == "get_order_status"
    assert (body["stream"], body["tool_choice"]) == (True, "required")
    assert "top_p" not in body


@pytest.mark.parametrize(
    ("status", "message", "error", "match"),
    [
        (401, "no", GeneratorUnavailableError, r"refuses the key in LLM_KEY"),
        (403, "no", GeneratorUnavailableError, r"refuses the key in LLM_KEY"),
        (404, "no such model", GeneratorUnavailableError, r"404"),
        (429, "slow down", OverloadedError, r"too much to do"),
        (500, "oh", GeneratorUnavailableError, r"500"),
        (503, "loading", GeneratorUnavailableError, r"503"),
        (400, "Maximum context length is 10 tokens", InvalidRequestError, r"longer than"),
        (422, "`inputs` tokens must be <= 10", InvalidRequestError, r"longer than"),
        (504, "late", GeneratorTimeoutError, r"not done"),
    ],
)
async def test_refusals_become_errors_of_ours(
    connecting: Connecting,
    kind: str,
    status: int,
    message: str,
    error: type[AgentError],
    match: str,
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.refuse(status, message, retry_after="7")

    async with serving(refuse) as url:
        with pytest.raises(error, match=match) as raised:
            await answer(connecting(kind, url).generate(prompt("Hi")))
    if isinstance(raised.value, OverloadedError):
        assert raised.value.retry_after == 7
    if isinstance(raised.value, InvalidRequestError):
        assert raised.value.code == "context_length_exceeded"
    assert KEY not in str(raised.value)


async def test_nobody_listening_is_unavailable(connecting: Connecting, kind: str) -> None:
    generator = connecting(kind, f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(GeneratorUnavailableError):
        await answer(generator.generate(prompt("Hi")))


@pytest.mark.parametrize("texts", [None, (), ("Hel",)], ids=["no head", "no token", "one token"])
async def test_a_half_open_server_ends_in_a_timeout(
    connecting: Connecting, kind: str, texts: tuple[str, ...] | None
) -> None:
    async def hang(exchange: Exchange) -> None:
        if texts is not None:
            await exchange.stream(*texts, finish=None)
        await exchange.gone()

    async with serving(hang) as url:
        # Where tokens come, they have to come in time.
        generator = connecting(kind, url, timeoutSeconds=2 if texts else 0.5)
        seen: list[str] = []

        async def read() -> None:
            async for event in generator.generate(prompt("Hi")):
                assert isinstance(event, Piece)
                seen.append(event.text)

        with pytest.raises(GeneratorTimeoutError):
            await read()
        assert seen == list(texts or ())


async def test_a_reply_that_breaks_off_is_an_error_and_not_repeated(
    connecting: Connecting, kind: str
) -> None:
    requests: list[Exchange] = []

    async def break_off(exchange: Exchange) -> None:
        requests.append(exchange)
        await exchange.stream("Hel", finish=None)

    async with serving(break_off) as url:
        with pytest.raises(GeneratorUnavailableError, match="broke off"):
            await answer(connecting(kind, url).generate(prompt("Hi")))
    assert len(requests) == 1


async def test_who_stops_reading_hangs_up(connecting: Connecting, kind: str) -> None:
    gone = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.stream("Hel", finish=None)
        await exchange.gone()
        gone.set()

    async with serving(endless) as url:
        reply = connecting(kind, url).generate(prompt("Hi"))
        assert await anext(reply) == Piece("Hel")
        await reply.aclose()
        await asyncio.wait_for(gone.wait(), 10)


async def test_a_cancelled_reader_hangs_up(connecting: Connecting, kind: str) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        begun.set()
        await exchange.gone()
        gone.set()

    async with serving(silent) as url:
        task = asyncio.create_task(answer(connecting(kind, url).generate(prompt("Hi"))))
        await begun.wait()
        task.cancel()
        await asyncio.wait_for(gone.wait(), 10)
        assert (await asyncio.gather(task, return_exceptions=True))[0].__class__.__name__ == (
            "CancelledError"
        )


async def test_what_a_server_does_not_know_is_left_out(connecting: Connecting) -> None:
    bodies: list[Any] = []

    async def strict(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        for name in ("stream_options", "temperature", "max_tokens"):
            if name in exchange.body:
                await exchange.refuse(400, f"Unsupported parameter: '{name}'")
                return
        await exchange.stream("ok")

    async with serving(strict) as url:
        generator = connecting("openai", url)
        assert (await answer(generator.generate(prompt("Hi")))).text == "ok"
        assert (await answer(generator.generate(prompt("Hi")))).text == "ok"
    assert len(bodies) == 5
    assert bodies[-1]["max_completion_tokens"] == 512


async def test_a_parameter_whose_value_is_wrong_is_sent_again(connecting: Connecting) -> None:
    bodies: list[Any] = []

    async def strict(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        if len(bodies) == 1:
            said = "Invalid 'temperature': above the maximum; max_tokens is too large"
            await exchange.refuse(400, said)
        else:
            await exchange.stream("ok")

    async with serving(strict) as url:
        generator = connecting("openai", url)
        with pytest.raises(AgentError):
            await answer(generator.generate(prompt("Hi")))
        assert (await answer(generator.generate(prompt("Hi")))).text == "ok"
    assert len(bodies) == 2
    assert {"temperature", "max_tokens"} <= bodies[-1].keys()


async def test_a_lost_connection_is_tried_once_more(connecting: Connecting) -> None:
    requests: list[Exchange] = []

    async def flaky(exchange: Exchange) -> None:
        requests.append(exchange)
        if len(requests) > 1:
            await exchange.stream("ok")

    async with serving(flaky) as url:
        assert (await answer(connecting("openai", url).generate(prompt("Hi")))).text == "ok"


@pytest.mark.parametrize(
    ("arguments", "finish", "calls"),
    [
        (('{"order_id"', ': "A-1"}'), "tool_calls", [{"order_id": "A-1"}]),
        (("",), "tool_calls", [{}]),
        (('{"order_id"',), "length", []),
        (('{"order_id"', ": A}"), "tool_calls", None),
        (("[1]",), "tool_calls", None),
    ],
)
async def test_calls_are_put_together_from_their_parts(
    connecting: Connecting, kind: str, arguments: tuple[str, ...], finish: str,
    calls: list[Any] | None,
) -> None:  # fmt: skip
    async def call(exchange: Exchange) -> None:
        await exchange.stream(finish=None)
        for at, part in enumerate(arguments):
            function = {"name": "get_order_status"} if at == 0 else {}
            await exchange.send(
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "call_7",
                            "type": "function",
                            "function": {**function, "arguments": part},
                        }
                    ],
                }
            )
        await exchange.send({"role": "assistant"}, finish)

    async with serving(call) as url:
        replying = answer(connecting(kind, url).generate(prompt("Hi", functions=(ORDER_STATUS,))))
        if calls is None:
            with pytest.raises(GeneratorUnavailableError, match="no JSON object"):
                await replying
            return
        reply = await replying
    assert [dict(each.arguments) for each in reply.client_calls] == calls
    assert all(each.id == "call_7" for each in reply.client_calls)
    assert reply.finish_reason == ("tool_calls" if calls else finish)


async def test_many_replies_share_the_connections(connecting: Connecting, kind: str) -> None:
    async def reply(exchange: Exchange) -> None:
        await exchange.stream(exchange.body["messages"][-1]["content"], "!")

    async with serving(reply) as url:
        generator = connecting(kind, url)
        asked = [str(number) for number in range(30)]
        replies = await asyncio.gather(*(answer(generator.generate(prompt(q))) for q in asked))
    assert [each.text for each in replies] == [f"{q}!" for q in asked]
