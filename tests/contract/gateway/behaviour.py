"""What every gateway does, whichever it is: a suite to inherit from, with a fixture `front` each.

The revisions behind it name new conversations, as the runtime does, and clients say the name again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web

from agent_runtime.http.fields import issued_conversation
from chatagent_operator.core.routing.routes import Backend, BackendState, Slot

CONVERSATIONS = 2000
CLIENTS = 16
CONVERSATION, REVISION = "X-Conversation-ID", "X-Agent-Revision"
STABLE, CANARY, NEXT = "aaaaaaaa", "bbbbbbbb", "cccccccc"


@dataclass
class Revision:
    """A revision's pods and its Service in one."""

    name: str
    host: str
    port: int = 0
    asked: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])
    """Headers of each request, names in lower case."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the streams that are open."""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({name.lower(): value for name, value in request.headers.items()})
        named = request.headers.get(CONVERSATION) or issued_conversation(self.name)
        headers = {CONVERSATION: named, REVISION: self.name}
        if request.path != "/stream":
            return web.json_response({}, headers=headers)
        stream = web.StreamResponse(headers=headers | {"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"data: first\n\n")
        await self.release.wait()
        await stream.write(b"data: [DONE]\n\n")
        return stream

    def takes(
        self, slot: Slot, weight: int = 0, state: BackendState = "ready", address: str = ""
    ) -> Backend:
        return Backend(
            slot=slot,
            revision=self.name,
            address=address or self.host,
            port=self.port,
            weight=weight,
            state=state,
        )


@contextlib.asynccontextmanager
async def running(name: str, host: str, port: int = 0) -> AsyncGenerator[Revision]:
    revision = Revision(name, host)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", revision.chat)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    revision.port = runner.addresses[0][1]
    try:
        yield revision
    finally:
        revision.release.set()
        await runner.cleanup()


class Front(Protocol):
    """A gateway."""

    @property
    def url(self) -> str:
        """Where clients find it."""
        ...

    @property
    def host(self) -> str:
        """What they call it."""
        ...

    async def intends(self, *backends: Backend, stable: str = STABLE) -> None:
        """Write an intent and wait until the gateway reports that it is applied."""
        ...


@dataclass
class Clients:
    """Some clients with connections of their own, which they keep."""

    url: str
    host: str
    http: aiohttp.ClientSession

    async def ask(self, conversation: str = "", **headers: str) -> tuple[str, str]:
        """One turn: the conversation's name, and which revision answered, or the status."""
        given = (
            headers | {"Host": self.host} | ({CONVERSATION: conversation} if conversation else {})
        )
        async with self.http.post(f"{self.url}/v1/chat/completions", headers=given) as answer:
            await answer.read()
            name = answer.headers.get(CONVERSATION, conversation)
            return name, answer.headers[REVISION] if answer.ok else str(answer.status)

    def stream(self) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """An answer that lasts until the revision releases it."""
        return self.http.get(f"{self.url}/stream", headers={"Host": self.host})

    async def ask_all(self, conversations: Iterable[str]) -> dict[str, str]:
        """One turn each, some at a time: conversation → revision."""
        answers: dict[str, str] = {}
        waiting = iter(conversations)

        async def client() -> None:
            for conversation in waiting:
                name, revision = await self.ask(conversation)
                answers[name] = revision

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return answers

    async def begin(self, count: int) -> dict[str, str]:
        """New conversations."""
        return await self.ask_all([""] * count)


@pytest.fixture
async def clients(front: Front) -> AsyncIterator[Clients]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        yield Clients(front.url, front.host, http)


def only(answers: Mapping[str, str], revision: str) -> list[str]:
    return [name for name, answered in answers.items() if answered == revision]


class GatewayBehaviour:
    """The suite."""

    @pytest.mark.parametrize("weight", [5, 25])
    async def test_new_conversations_go_by_the_weights(
        self, front: Front, clients: Clients, stable: Revision, canary: Revision, weight: int
    ) -> None:
        await front.intends(stable.takes("s1", 100 - weight), canary.takes("s2", weight))
        shares = Counter((await clients.begin(CONVERSATIONS)).values())
        share = weight / 100
        deviation = math.sqrt(CONVERSATIONS * share * (1 - share))
        assert set(shares) == {STABLE, CANARY}
        # Where the gateway draws, one run of five million is further off.
        assert abs(shares[CANARY] - CONVERSATIONS * share) <= 5.3 * deviation

    async def test_a_conversation_stays_through_every_weight(
        self, front: Front, clients: Clients, stable: Revision, canary: Revision
    ) -> None:
        await front.intends(stable.takes("s1", 50), canary.takes("s2", 50))
        began = await clients.begin(400)
        assert set(began.values()) == {STABLE, CANARY}
        for weight in (0, 5, 75, 100, 50):
            await front.intends(stable.takes("s1", 100 - weight), canary.takes("s2", weight))
            assert await clients.ask_all(began) == began

    async def test_an_abort_moves_every_conversation_at_once_and_for_good(
        self, front: Front, clients: Clients, stable: Revision, canary: Revision
    ) -> None:
        await front.intends(stable.takes("s1", 50), canary.takes("s2", 50))
        began = await clients.begin(200)
        canary.asked.clear()
        await front.intends(stable.takes("s1", 100), canary.takes("s2", 0, "maint"))
        assert set((await clients.ask_all(began)).values()) == {STABLE}
        assert set((await clients.begin(100)).values()) == {STABLE}
        assert canary.asked == []
        async with running(NEXT, canary.host) as following:
            await front.intends(
                stable.takes("s1", 50), canary.takes("s2", 0, "maint"), following.takes("s3", 50)
            )
            assert set((await clients.ask_all(began)).values()) == {STABLE}

    async def test_draining_keeps_conversations_and_takes_no_new_one(
        self, front: Front, clients: Clients, stable: Revision, canary: Revision
    ) -> None:
        await front.intends(stable.takes("s1", 50), canary.takes("s2", 50))
        began = await clients.begin(200)
        drained = [stable.takes("s1", 0, "drain"), canary.takes("s2", 100)]
        await front.intends(*drained, stable=CANARY)
        assert await clients.ask_all(began) == began
        assert set((await clients.begin(100)).values()) == {CANARY}

    @pytest.mark.parametrize("state", ["ready", "drain", "maint"])
    async def test_a_stream_is_not_cut(
        self,
        front: Front,
        clients: Clients,
        stable: Revision,
        canary: Revision,
        state: BackendState,
    ) -> None:
        await front.intends(stable.takes("s1", 0), canary.takes("s2", 100))
        async with clients.stream() as stream:
            assert await stream.content.readline() == b"data: first\n"
            for weight in (100, 50, 100):
                await front.intends(
                    stable.takes("s1", weight if state == "ready" else 100),
                    canary.takes("s2", 100 - weight, state),
                )
            assert (await clients.ask())[1] == STABLE
            canary.release.set()
            assert (await stream.content.read()).endswith(b"data: [DONE]\n\n")

    async def test_no_request_fails_while_weights_change(
        self, front: Front, clients: Clients, stable: Revision, canary: Revision
    ) -> None:
        await front.intends(stable.takes("s1", 100), canary.takes("s2", 0))
        answers: Counter[str] = Counter()
        over = asyncio.Event()

        async def client() -> None:
            while not over.is_set():
                answers[(await clients.ask())[1]] += 1

        asking = [asyncio.create_task(client()) for _ in range(4)]
        states: list[tuple[int, BackendState]] = [(5, "ready"), (50, "ready"), (0, "maint")]
        for weight, state in states * 3:
            canary_backend = canary.takes("s2", weight, state)
            await front.intends(stable.takes("s1", 100 - weight), canary_backend)
        over.set()
        await asyncio.gather(*asking)
        assert set(answers) == {STABLE, CANARY}, answers

    async def test_where_nothing_runs_a_status_says_so(
        self, front: Front, clients: Clients, stable: Revision
    ) -> None:
        async with running(NEXT, stable.host) as ended:
            await front.intends(ended.takes("s1", 100), stable=NEXT)
            _, answered = await clients.ask()
            assert answered == NEXT
        await front.intends(ended.takes("s1", 0, "maint"), stable=NEXT)
        assert (await clients.ask())[1] == "503"


def header_of(revision: Revision, name: str) -> Any:
    return revision.asked[-1].get(name.lower())
