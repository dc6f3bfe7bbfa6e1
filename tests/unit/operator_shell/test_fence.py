"""No byte of a write leaves a process that may not write, and a write ends before its Lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import web

from chatagent_operator.kube import fence as fence_module
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError, NotLeaderError
from chatagent_operator.kube.fence import LEASES, Fence
from tests.unit.operator_shell.serving import connect, serving

SLOW = "/slow"
LEASE = f"{LEASES}v1/namespaces/a/leases/b"
WRITES = ["POST", "PUT", "PATCH", "DELETE"]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Server:
    """Remembers what reached it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.may_answer = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        self.seen.append(f"{request.method} {request.path}")
        if request.path == SLOW:
            await self.may_answer.wait()
        return web.json_response({})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fence(clock: Clock) -> Fence:
    return Fence(clock)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def kube(server: Server, fence: Fence) -> AsyncGenerator[Kube]:
    async with serving(server.answer) as url:
        found = connect(url, fence)
        yield found
        server.may_answer.set()
        await found.close()


@pytest.mark.parametrize("method", WRITES)
async def test_writes_are_refused_until_the_lease_is_held_and_after_it_ended(
    kube: Kube, server: Server, fence: Fence, clock: Clock, method: str
) -> None:
    with pytest.raises(NotLeaderError, match=f"{method} /a was refused here: this replica is not"):
        await kube.request(method, "/a", {})
    fence.extend(clock() + 8)
    clock.time += 7.9
    await kube.request(method, "/a", {})
    clock.time += 0.1
    with pytest.raises(NotLeaderError):
        await kube.request(method, "/a", {})
    fence.extend(clock() + 8)
    fence.revoke()
    with pytest.raises(NotLeaderError):
        await kube.request(method, "/a", {})
    assert server.seen == [f"{method} /a"]


async def test_reads_and_the_lease_itself_are_not_fenced(kube: Kube, server: Server) -> None:
    await kube.request("GET", "/a")
    await kube.request("PUT", LEASE, {})
    assert server.seen == ["GET /a", f"PUT {LEASE}"]


async def test_without_a_fence_every_write_is_sent(server: Server) -> None:
    async with serving(server.answer) as url:
        kube = connect(url)
        await kube.request("PATCH", "/a", {})
        await kube.close()
    assert server.seen == ["PATCH /a"]


@pytest.mark.parametrize("body", [{"a": 1}, None])
@pytest.mark.parametrize("method", WRITES)
async def test_a_write_that_waited_for_a_connection_is_not_sent_too_late(
    kube: Kube, server: Server, fence: Fence, clock: Clock, method: str, body: Any
) -> None:
    """As after a suspended machine: the fence ended, and no timer of the event loop has run."""
    api: Any = kube
    api._connect().connector._limit = 1
    fence.extend(clock() + 8)
    first = asyncio.create_task(kube.request("GET", SLOW))
    await _until(lambda: server.seen)
    second = asyncio.create_task(kube.request(method, "/a", body))
    await _until(lambda: api._connect().connector._waiters)
    clock.time += 60
    server.may_answer.set()
    with pytest.raises(NotLeaderError):
        await second
    await first
    assert server.seen == [f"GET {SLOW}"]
    fence.extend(clock() + 8)
    await kube.request(method, "/a", body)
    assert server.seen == [f"GET {SLOW}", f"{method} /a"], "the connection is of use again"


async def test_the_fence_is_checked_right_before_the_bytes_are_written(
    kube: Kube, server: Server, fence: Fence, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the headers and the first piece of the body the event loop may run other tasks."""
    fence.extend(clock() + 8)
    checks: list[float] = []
    check = fence.check

    def expire_after_two(method: str, path: str) -> float:
        checks.append(fence.left)
        if len(checks) == 3:
            clock.time += 60
        return check(method, path)

    monkeypatch.setattr(fence, "check", expire_after_two)
    with pytest.raises(NotLeaderError):
        await kube.request("PATCH", "/a", {"a": 1})
    assert len(checks) >= 3
    assert server.seen == []


async def test_a_write_takes_no_longer_than_the_rest_of_the_lease(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = Fence()
    async with serving(server.answer) as url:
        kube = connect(url, fence)
        fence.extend(fence_module.read_clock() + 0.2)
        begun = time.monotonic()
        with pytest.raises(NotLeaderError):
            await kube.request("PATCH", SLOW, {})
        assert 0.15 < time.monotonic() - begun < 2
        server.may_answer.set()
        await kube.close()


async def test_a_write_that_was_sent_is_awaited_although_its_caller_is_cancelled(
    kube: Kube, server: Server, fence: Fence, clock: Clock
) -> None:
    """The Lease must not be released while a write may still be carried out."""
    fence.extend(clock() + 8)
    task = asyncio.create_task(kube.request("PATCH", SLOW, {}))
    await _until(lambda: server.seen)
    task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    server.may_answer.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_answer_that_is_no_json_is_an_error_of_the_api_server() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with serving(answer) as url:
        kube = connect(url)
        with pytest.raises(ApiError, match="the answer is no JSON: b'<html>'"):
            await kube.request("GET", LEASE)
        await kube.close()


def test_the_clock_counts_seconds() -> None:
    before = fence_module.read_clock()
    time.sleep(0.01)
    assert 0.01 <= fence_module.read_clock() - before < 10


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - aiohttp's own state has no event
            await asyncio.sleep(0)
