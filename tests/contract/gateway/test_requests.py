"""What the gateway does with one request: streams, errors, headers, logs, and its own end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncGenerator, Iterator

import aiohttp
import pytest
from yarl import URL

from chatagent_operator.core.routing.haproxy import ENDED_FILE, ENDING_FILE
from chatagent_operator.gateway.ending import Ending
from tests.contract.gateway.loopback import Agent, Chats, Gateway, backend, until
from tests.ports import free_port


async def error(answer: aiohttp.ClientResponse) -> dict[str, str | None]:
    assert answer.content_type == "application/json"
    told = (await answer.json())["error"]
    assert set(told) == {"message", "type", "param", "code"}
    return told


async def test_streams_pass_as_they_come(gateway: Gateway, chats: Chats, stable: Agent) -> None:
    await gateway.intends(backend("s1", stable, 100))
    async with chats.http.post(f"{gateway.url}/stream", json={"conversation_id": "c"}) as answer:
        # The agent does not go on before the test has the first event.
        assert await answer.content.readline() == b"data: first\n"
        stable.release.set()
        assert (await answer.content.read()).endswith(b"data: [DONE]\n\n")


async def test_who_leaves_frees_the_agent(gateway: Gateway, chats: Chats, stable: Agent) -> None:
    await gateway.intends(backend("s1", stable, 100))
    question = asyncio.create_task(chats.http.post(f"{gateway.url}/slow"))
    await until(lambda: stable.asked == 1)
    question.cancel()
    await until(lambda: stable.given_up == 1)


async def test_no_revision(gateway: Gateway, chats: Chats, stable: Agent) -> None:
    await until(lambda: gateway.sidecar.synchroniser.in_force is not None)
    async with chats.http.post(f"{gateway.url}/chat", headers={"X-Request-ID": "r-1"}) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["X-Request-ID"] == "r-1"
        assert (await error(answer))["code"] == "unavailable"
    # Nobody listens there: as a Service without a ready endpoint.
    stable.port = free_port()
    await gateway.intends(backend("s1", stable, 100))
    async with chats.http.post(f"{gateway.url}/chat") as answer:
        assert answer.status == 503
        await error(answer)


@contextlib.contextmanager
def dropping_connections(host: str) -> Iterator[int]:
    """Yield a port that answers no attempt to connect: its queue is full. So do nodes with most of
    those to a Service without a pod, as they send few ICMP messages a second."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        waiting = stack.enter_context(socket.socket())
        waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


async def test_where_no_revision_can_be_reached_connections_are_kept(
    gateway: Gateway, chats: Chats, stable: Agent
) -> None:
    port = stable.port
    with dropping_connections(stable.host) as stable.port:
        await gateway.intends(backend("s1", stable, 100))

        async def is_at_once() -> bool:
            async with chats.http.get(f"{gateway.url}/now") as answer:
                assert answer.status == 503
            lines = (gateway.folder / "log").read_text().splitlines()
            return any('"/now"' in line.replace("\\", "") and "NOSRV" in line for line in lines)

        await until(is_at_once, 30)
        # Of an attempt that timed out, a client whose connection was kept is told nothing.
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.settings.http_port)
        for _ in range(3):
            writer.write(b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 503 ")
            assert b"\r\nretry-after: 2\r\n" in head
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            assert b"unavailable" in await reader.readexactly(int(length))
        writer.close()
    stable.port = port
    await gateway.intends(backend("s1", stable, 100))
    assert await chats.ask() == "stable"


async def test_a_new_conversation_avoids_a_revision_out_of_reach(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    canary.port = free_port()
    await gateway.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    assert {await chats.ask(name) for name in "abc"} == {"stable"}


@contextlib.asynccontextmanager
async def hanging_up(agent: Agent) -> AsyncGenerator[list[bytes]]:
    """An agent that reads a request and closes without a word."""
    requests: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    agent.port = free_port()
    async with await asyncio.start_server(take, agent.host, agent.port):
        yield requests


async def test_what_was_sent_is_not_sent_again(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    async with hanging_up(canary) as requests:
        await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
        async with chats.http.post(f"{gateway.url}/chat") as answer:
            assert answer.status == 502
            assert "Retry-After" not in answer.headers
            assert (await error(answer))["code"] == "bad_gateway"
    assert len(requests) == 1
    assert stable.asked == 0


async def test_every_request_has_a_connection_of_its_own(
    gateway: Gateway, chats: Chats, stable: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    for _ in range(5):
        await chats.ask("c")
    # So a Service spreads requests over its pods, and none meets a connection just closed.
    assert len(stable.connections) == 5


@pytest.mark.parametrize("gateway", [{"stream_timeout_seconds": 1}], indirect=True)
async def test_silence_ends_in_504(gateway: Gateway, chats: Chats, stable: Agent) -> None:
    await gateway.intends(backend("s1", stable, 100))
    async with chats.http.post(f"{gateway.url}/slow") as answer:
        assert answer.status == 504
        assert (await error(answer))["code"] == "gateway_timeout"


@pytest.mark.parametrize("gateway", [{"request_timeout_ms": 200}], indirect=True)
async def test_a_body_that_does_not_arrive_ends_in_408(
    gateway: Gateway, chats: Chats, stable: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.settings.http_port)
    writer.write(b'POST /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"conv')
    head = await reader.readuntil(b"\r\n\r\n")
    body = json.loads(await reader.read())
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 408")
    assert body["error"]["code"] == "request_timeout"
    assert stable.asked == 0


async def test_headers(gateway: Gateway, chats: Chats, stable: Agent) -> None:
    await gateway.intends(backend("s1", stable, 100))
    sent = {
        "X-Conversation-ID": "c",
        "X-Forwarded-For": "192.0.2.7",
        "X-Request-ID": "not safe; in a log",
        "Proxy": "x",
        "Proxy-Connection": "keep-alive",
        "TE": "trailers",
        "X-Agent-Evaluation": "true",
        "Authorization": "Bearer token",
    }
    async with chats.http.post(f"{gateway.url}/chat", headers=sent) as answer:
        request_id = answer.headers["X-Request-ID"]
        assert answer.headers["X-Agent-Revision"] == "stable"
        received = (await answer.json())["headers"]
    assert received["x-request-id"] == request_id != "not safe; in a log"
    assert received["x-forwarded-for"] == "192.0.2.7, 127.0.0.1"
    assert received["x-conversation-id"] == "c"
    assert received["authorization"] == "Bearer token"
    ended = {"proxy", "proxy-connection", "te", "keep-alive", "x-agent-evaluation"}
    assert not ended & set(received)


async def test_the_log_is_json_without_texts(gateway: Gateway, chats: Chats, stable: Agent) -> None:
    await gateway.intends(backend("s1", stable, 100))
    headers = {"X-Conversation-ID": "private-1", "X-Request-ID": "r-7"}
    url = URL(gateway.url + '/chat/"a?question=private-2', encoded=True)
    async with chats.http.post(url, headers=headers, data="private-3") as answer:
        assert answer.status == 200
    log = gateway.folder / "log"
    await until(lambda: "r-7" in log.read_text())
    text = log.read_text()
    assert "private" not in text
    line = json.loads(next(line for line in text.splitlines() if "r-7" in line))
    assert (line["status"], line["revision"], line["slot"]) == (200, "stable", "s1")
    assert (line["method"], line["path"]) == ("POST", '/chat/"a')


async def test_the_end_waits_for_what_is_open(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    (gateway.folder / ENDING_FILE).touch()
    async with chats.http.post(f"{gateway.url}/stream") as stream:
        await stream.content.readline()
        await chats.ask()  # leaves a connection open, for the next question

        async def only_the_stream() -> bool:
            return await gateway.sidecar.socket.count_requests() == 1

        await until(only_the_stream)  # the question's may be freed a moment after its answer
        ending = asyncio.create_task(Ending(gateway.sidecar.socket, linger_seconds=0).wait())
        await until(lambda: gateway.is_closed())
        assert await chats.ask() == "stable"
        # Weights still come, and HAProxy still tells its peers of conversations.
        await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
        assert not ending.done()
        assert not (gateway.folder / ENDED_FILE).exists()
        stable.release.set()
        assert (await stream.content.read()).endswith(b"[DONE]\n\n")
    # The connection of the stream is still open, but idle.
    await asyncio.wait_for(ending, 10)
    assert (gateway.folder / ENDED_FILE).exists()
    gateway.process.send_signal(signal.SIGUSR1)
    assert await asyncio.wait_for(gateway.process.wait(), 3) == 0


async def test_the_end_does_not_wait_for_ever(
    gateway: Gateway, chats: Chats, stable: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    (gateway.folder / ENDING_FILE).touch()
    async with chats.http.post(f"{gateway.url}/stream") as stream:
        await stream.content.readline()
        socket = gateway.sidecar.socket
        await Ending(socket, linger_seconds=0, drain_seconds=0.1).wait()
        assert (gateway.folder / ENDED_FILE).exists()
        await gateway.stop()
        (gateway.folder / ENDED_FILE).unlink()
        await Ending(socket, linger_seconds=0).wait()  # HAProxy is gone already
        assert (gateway.folder / ENDED_FILE).exists()


async def test_a_sidecar_that_ends_alone_leaves_haproxy_open(
    gateway: Gateway, chats: Chats, stable: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    await Ending(gateway.sidecar.socket, linger_seconds=0).wait()
    assert await chats.ask() == "stable"
