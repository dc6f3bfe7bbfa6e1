"""Pods that send the operator elsewhere, too much, too slowly, or something else than was asked."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from chatagent_operator.core.observed.facts import PodFacts
from chatagent_operator.core.observed.objects import Child, Observed
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.untrusted import MAX_DEPTH, MESSAGE_BYTES
from chatagent_operator.signals import http_client, readiness
from chatagent_operator.signals.gateway import Gateways
from chatagent_operator.signals.http_client import MAX_BYTES, Client, NoResponseError, build_url
from chatagent_operator.signals.readiness import Readiness

SECONDS = 20.0
KEY = ("demo", "shop")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Written = Callable[[asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def pod(answer: Answer) -> AsyncGenerator[int]:
    """A pod on every address of loopback. Yields its port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with socket.create_server(("0.0.0.0", 0), backlog=512) as listener:
        await web.SockSite(runner, listener).start()
        yield listener.getsockname()[1]
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_pod(write: Written) -> AsyncGenerator[int]:
    """A pod that does not care about HTTP. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await write(writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def fetch(port: int, seconds: float = SECONDS) -> tuple[int, bytes]:
    async with asyncio.timeout(SECONDS), Client() as client:
        return await client.fetch(f"http://127.0.0.1:{port}/readyz", seconds)


def observed(*ips: str) -> Observed:
    """Running pods that are not ready, named by their numbers."""
    children = {
        ("Pod", f"p-{n}"): Child(
            "Pod", f"p-{n}", "", "agent", "a", None, None, 1, PodFacts(False, True, ip, None)
        )
        for n, ip in enumerate(ips)
    }
    return Observed(children)


async def ask(answer: Answer, *ips: str) -> dict[str, Trouble]:
    async with asyncio.timeout(SECONDS), pod(answer) as port, Client() as client:
        return dict(await Readiness(client, port).ask(KEY, observed(*(ips or ("127.0.0.1",)))))


def saying(body: Any) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body if isinstance(body, bytes) else json.dumps(body).encode())

    return answer


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_redirect_is_not_followed() -> None:
    followed: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        followed.append(request.path)
        body = json.dumps({"reason": "ModelNotFound", "message": "no model"})
        return web.Response(status=307, headers={"Location": "/secret"}, text=body)

    assert (await ask(redirect))["p-0"].message == "no model", "the answer itself counts"
    assert followed == ["/readyz"]


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_body_that_is_too_large_is_not_read(is_chunked: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = b" " * (10 * 1024 * 1024)
        if not is_chunked:
            return web.Response(body=body)
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await response.write(body)
        return response

    async with pod(answer) as port:
        with pytest.raises(NoResponseError, match=f"exceeds {MAX_BYTES} bytes"):
            await fetch(port)


async def test_a_body_that_never_ends_has_the_time_limit() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_pod(write) as port:
        with pytest.raises(NoResponseError, match=r"no response within 0\.3 s"):
            await fetch(port, 0.3)


async def test_slow_headers_have_the_time_limit() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            writer.write(f"X-{number}: 1\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_pod(write) as port:
        with pytest.raises(NoResponseError, match=r"no response within 0\.3 s"):
            await fetch(port, 0.3)


async def test_headers_without_end_are_not_read() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Header: 1\r\n" * 1000)
            await writer.drain()

    async with raw_pod(write) as port:
        with pytest.raises(NoResponseError):
            await fetch(port)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_nothing_is_decompressed(encoding: str) -> None:
    bomb = gzip.compress(b"\0" * (32 * 1024 * 1024))
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Accept-Encoding"))
        return web.Response(body=bomb, headers={"Content-Encoding": encoding})

    async with pod(answer) as port:
        with pytest.raises(NoResponseError, match="compressed"):
            await fetch(port)
    assert asked == ["identity"]


async def test_no_cookie_is_kept_and_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    cookies: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(text="{}", headers={"Set-Cookie": "a=b; Path=/"})

    async with pod(answer) as port, Client() as client:
        for _ in range(2):
            await client.fetch(f"http://localhost:{port}/readyz", SECONDS)
    assert cookies == [None, None]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        [],
        "text",
        None,
        {},
        {"message": "without a reason"},
        {"reason": 7, "message": "m"},
        {"reason": "two words"},
        {"reason": "A" * 65},
        {"reason": "Broken\n"},
        b'{"reason": "ModelNotFound", "more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"reason": "ModelNotFound", "more": ' + b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH + b"}",
        b'{"reason": "ModelNotFound", "more": NaN}',
        b'{"reason": "ModelNotFound", "message": "\\ud800"}',
        b"\xff\xfe",
    ],
)
async def test_an_invalid_report_is_no_problem(body: Any) -> None:
    assert await ask(saying(body)) == {}


@pytest.mark.parametrize("message", [7, None, ["a"], {"a": 1}])
async def test_a_message_that_is_no_text_is_left_out(message: Any) -> None:
    found = await ask(saying({"reason": "ModelNotFound", "message": message}))
    assert found == {"p-0": Trouble("ModelNotFound", "")}


async def test_a_message_is_cut_and_has_no_control_characters() -> None:
    message = "\x1b[31mred\x00\r\nline\u202e " + "模" * 5000
    trouble = (await ask(saying({"reason": "ModelNotFound", "message": message})))["p-0"]
    assert trouble.message.startswith("[31mred  line 模模")
    assert trouble.message.endswith("模 …")
    assert MESSAGE_BYTES - 3 < len(trouble.message.encode()) <= MESSAGE_BYTES


@pytest.mark.parametrize(
    "body",
    [
        {"generation": True},
        {"generation": 7.0},
        {"generation": 2**70},
        b'{"generation": 7, "more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"generation": 7}' + b" " * MAX_BYTES,
    ],
)
async def test_a_gateway_with_an_invalid_response_lags(body: Any) -> None:
    async with pod(saying(body)) as port, Client() as client:
        told = await Gateways(client, port).find_applied(KEY, {"g-0": "127.0.0.1"}, 7)
    assert (told.generation, set(told.behind)) == (None, {"g-0"})


async def test_pods_that_hang_do_not_make_a_gateway_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_SECONDS", 3.0)
    hanging = asyncio.Event()
    count = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal count
        if request.path == "/applied":
            return web.json_response({"generation": 7, "reached": ["a"]})
        count += 1
        if count == 100:
            hanging.set()
        return await hang(request)

    ips = [f"127.0.2.{n}" for n in range(1, 121)]
    async with pod(answer) as port, Client() as one, Client() as other:
        asked = asyncio.create_task(Readiness(one, port).ask(KEY, observed(*ips)))
        async with asyncio.timeout(SECONDS):
            await hanging.wait()
            told = await Gateways(other, port).find_applied(KEY, {"g-0": "127.0.0.1"}, 7)
            assert not asked.done()
            assert (told.generation, told.behind) == (7, {})
            assert await asked == {}


async def test_a_pod_that_hangs_takes_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_SECONDS", 2 * SECONDS)
    count, hanging = 0, asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal count
        if request.host.startswith("127.0.0.2"):
            return web.Response()
        count += 1
        if count == http_client.CONNECTIONS_PER_SERVER:
            hanging.set()
        return await hang(request)

    async with asyncio.timeout(SECONDS), pod(answer) as port, Client() as client:
        told = Readiness(client, port)
        asked = asyncio.gather(*(told.ask(KEY, observed("127.0.0.1")) for _ in range(20)))
        await hanging.wait()
        # A later connection, to another pod, is through: the others would have come before it.
        await client.fetch(build_url("127.0.0.2", port, "/readyz"), SECONDS)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert count == http_client.CONNECTIONS_PER_SERVER
