"""A turn between its request and its response: admitted, cancelled when nobody waits for it.

What fails before the first event is raised; after that it is told inside the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, Protocol, TypeVar

from fastapi import Request as HttpRequest
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from agent_runtime.domain import Request
from agent_runtime.http.access import caller_of
from agent_runtime.http.admission import Admission
from agent_runtime.http.errors import body_of, reason_of, translation_of
from agent_runtime.http.wire import event
from agent_runtime.pipeline import Reply
from agent_runtime.telemetry import Telemetry

log = logging.getLogger(__name__)
T = TypeVar("T")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

SILENCE_SECONDS = 15.0
"""After which a stream says that it is still there. Proxies' own limits begin at 30 s."""
COMMENT = b": still there\n\n"
"""What clients of server-sent events ignore."""


class Agent(Protocol):
    """What answers: the pipeline."""

    async def respond(self, request: Request) -> Reply: ...


Render = Callable[[Reply], AsyncIterator[bytes]]
"""Turns a reply into server-sent events."""
Failure = Callable[[BaseException], AsyncIterator[bytes]]
"""Turns an error in the middle of a stream into its last events."""


class Turns:
    """Runs turns for the endpoints that answer."""

    def __init__(self, agent: Agent, admission: Admission, telemetry: Telemetry) -> None:
        self._agent = agent
        self._admission = admission
        self._telemetry = telemetry

    async def whole(
        self, http: HttpRequest, turn: Request, read: Callable[[Reply], Awaitable[T]]
    ) -> T:
        """Answer at once, with what `read` makes of the reply.

        Raises:
            AgentError: there is no answer.
            ClientDisconnect: nobody waits for it any more.
        """

        async def work() -> T:
            async with AsyncExitStack() as held:
                return await read(await self._begin(turn, held))

        return await unless_gone(http.receive, work())

    async def stream(
        self, http: HttpRequest, turn: Request, render: Render, failure: Failure | None = None
    ) -> EventStream:
        """Answer piece by piece. Raises like `whole` before there is a first event."""
        held = AsyncExitStack()
        try:
            reply = await unless_gone(http.receive, self._begin(turn, held))
        except BaseException:
            await held.aclose()
            raise
        return EventStream(reply, render, failure or told, held, self._telemetry)

    async def _begin(self, turn: Request, held: AsyncExitStack) -> Reply:
        """Get a place and a reply, both held until the stack is closed."""
        with self._telemetry.phase("queue"):
            await held.enter_async_context(self._admission.place(caller_of(turn.principal)))
        reply = await self._agent.respond(turn)
        await held.enter_async_context(aclosing(reply.events))
        return reply


async def told(error: BaseException) -> AsyncIterator[bytes]:
    """Yield an error as it stands in a plain response."""
    yield event(body_of(error))


class EventStream(Response):
    """A response of server-sent events. It ends its turn when the client goes away."""

    def __init__(
        self,
        reply: Reply,
        render: Render,
        failure: Failure,
        held: AsyncExitStack,
        telemetry: Telemetry,
    ) -> None:
        super().__init__()
        self.raw_headers = list(STREAM_HEADERS)
        self._reply = reply
        self._render = render
        self._failure = failure
        self._held = held
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Nobody is left to be told of a disconnection.
        with suppress(ClientDisconnect):
            async with self._held:
                await unless_gone(receive, self._send(send, scope["state"]))

    async def _send(self, send: Send, state: dict[str, Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        clock = asyncio.get_running_loop().time
        sent = clock()

        async def body(part: bytes) -> None:
            nonlocal sent
            sent = clock()
            await send({"type": "http.response.body", "body": part, "more_body": True})

        async def keep_alive() -> None:
            while True:
                await asyncio.sleep(sent + SILENCE_SECONDS - clock())
                if clock() >= sent + SILENCE_SECONDS:
                    await body(COMMENT)

        # Proxies between here and the client cut what says nothing for a while.
        keeping = asyncio.create_task(keep_alive())
        try:
            async for part in self._parts(state):
                await body(part)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _parts(self, state: dict[str, Any]) -> AsyncGenerator[bytes]:
        # Closed in the task that reads it: a generator keeps the context of its reader.
        async with aclosing(self._reply.events):
            try:
                async for part in self._render(self._reply):
                    yield part
            except Exception as error:
                # The client has seen a 200; for the metrics it is what the error says.
                state["failed"] = translation_of(error).status
                self._telemetry.metrics.error(reason_of(error))
                log.warning("a stream ended early: %s", reason_of(error), exc_info=error)
                async for part in self._failure(error):
                    yield part


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Wait for work, and cancel it when the client goes away. Raises ClientDisconnect."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
