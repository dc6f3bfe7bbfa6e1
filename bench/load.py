"""An HTTP load generator that is light enough to share two cores with what it measures.

One process, raw asyncio with httptools on keep-alive connections. `python -m bench.load` prints its
own ceiling against a server that does nothing: figures near it say nothing about a server.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import subprocess
import sys
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httptools
import uvloop

T = TypeVar("T")
SECONDS = 60.0
"""How long a reply may take before it counts as an error."""


@dataclass(slots=True)
class Reply:
    """A reply; `first` is when its first byte arrived, on the clock of time.perf_counter."""

    status: int
    body: bytes
    first: float


@dataclass(slots=True)
class Result:
    """What a load did: latencies in seconds, of good replies only, and how long it all took."""

    seconds: float
    latencies: list[float] = field(default_factory=list[float])
    errors: list[str] = field(default_factory=list[str])

    @property
    def rate(self) -> float:
        """Good replies a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Return the latency in milliseconds that so many percent stay within."""
        if not self.latencies:
            return math.nan
        ordered = sorted(self.latencies)
        rank = max(1, math.ceil(percent / 100 * len(ordered)))
        return ordered[rank - 1] * 1000

    def add(self, other: Result) -> None:
        """Take in another round."""
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.errors += other.errors


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._parts: list[bytes] = []
        self._first = 0.0
        self._keep = True

    @property
    def open(self) -> bool:
        """Whether another request may be sent on it."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> asyncio.Future[Reply]:
        """Send a request and return its reply to come. Fails with ConnectionError."""
        assert self._transport is not None
        self._parts, self._first = [], 0.0
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiter

    def close(self) -> None:
        """Close it, even with a request in flight."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionError("closed before the reply ended"))

    def data_received(self, data: bytes) -> None:
        self._first = self._first or time.perf_counter()
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self._keep = self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            status = self._parser.get_status_code()
            self._waiter.set_result(Reply(status, b"".join(self._parts), self._first))


class Client:
    """Sends requests to one server over as many connections as are in flight."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port = parts.hostname, parts.port or 80
        self._idle: deque[Connection] = deque()

    async def send(self, request: bytes) -> Reply:
        """Return the reply. Raises OSError or TimeoutError."""
        connection = await self._connection()
        try:
            async with asyncio.timeout(SECONDS):
                reply = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.open:
            self._idle.append(connection)
        return reply

    async def _connection(self) -> Connection:
        while self._idle:
            if (idle := self._idle.pop()).open:
                return idle
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, self._host, self._port))[1]

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a POST of JSON as it goes over the wire, made once and sent often."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def open_loop(url: str, requests: Sequence[bytes], rate: float, seconds: float) -> Result:
    """Send so many requests a second, however long the replies take.

    A request's latency counts from when it was due: a slow reply cannot hide the ones behind it.
    """
    client, result, turn = Client(url), Result(seconds), cycle(requests)
    began = time.perf_counter() + 0.01

    async def one(due: float, request: bytes) -> None:
        _note(result, due, await _safely(client.send(request)))

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await _until(due)
            group.create_task(one(due, next(turn)))
    client.close()
    return result


async def _until(due: float) -> None:
    """Sleep, and watch the clock at the end: the loop's timers are a millisecond wide."""
    while (left := due - time.perf_counter()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(left - 0.002 if left > 0.003 else 0)


async def closed_loop(url: str, requests: Sequence[bytes], clients: int, seconds: float) -> Result:
    """Let so many clients send one request after the other."""
    client, result, turn = Client(url), Result(seconds), cycle(requests)
    began = time.perf_counter()
    end = began + seconds

    async def one() -> None:
        while (now := time.perf_counter()) < end:
            _note(result, now, await _safely(client.send(next(turn))))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
    result.seconds = time.perf_counter() - began
    client.close()
    return result


async def _safely(reply: Coroutine[Any, Any, Reply]) -> Reply | str:
    try:
        return await reply
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        return repr(error)


def _note(result: Result, since: float, reply: Reply | str) -> None:
    if isinstance(reply, str):
        result.errors.append(reply)
    elif reply.status != 200:
        result.errors.append(f"{reply.status}: {reply.body[:200]!r}")
    else:
        result.latencies.append(time.perf_counter() - since)


class _Trivial(asyncio.Protocol):
    """Answers each request with the same bytes."""

    REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(self.REPLY)


async def _serve_trivially(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Trivial, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def ceiling(body: bytes, rate: float, clients: int, seconds: float) -> tuple[Result, Result]:
    """Return what this generator reaches, at a rate and at full speed, where nothing is done."""
    command = [sys.executable, "-m", "bench.load", "--trivial", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
        requests = [post(url, body)]
        return (
            await open_loop(url, requests, rate, seconds),
            await closed_loop(url, requests, clients, seconds),
        )
    finally:
        server.kill()
        server.wait()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fast loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trivial", type=int, metavar="PORT", help="be the server, 0: any port")
    port = parser.parse_args().trivial
    if port is not None:
        run(_serve_trivially(port))
        return
    paced, full = run(ceiling(b"x" * 200, rate=100, clients=32, seconds=5))
    print(f"at 100/s: p50 {paced.percentile(50):.2f} ms, p95 {paced.percentile(95):.2f} ms,"
          f" p99 {paced.percentile(99):.2f} ms; 32 clients: {full.rate:.0f}/s")  # fmt: skip


if __name__ == "__main__":
    main()
