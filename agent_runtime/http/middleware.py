"""What holds for every request, as pure ASGI: names in the headers, a size limit, timing.

Starlette's BaseHTTPMiddleware would cost most of the throughput and buffer streams.
"""

from __future__ import annotations

import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_runtime.http.schemas import CONVERSATION
from agent_runtime.telemetry import Telemetry

CHAT = "/v1/chat/completions"
MAX_BODY = 1024 * 1024
TOO_LARGE = f"the request is larger than {MAX_BODY} bytes"


class Identity:
    """Puts X-Agent-Revision on every reply and X-Conversation-ID on those of a chat."""

    def __init__(self, app: ASGIApp, revision: str) -> None:
        self._app = app
        self._revision = revision

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        given = Headers(scope=scope).get("x-conversation-id", "")
        state["conversation_id"] = given if CONVERSATION.fullmatch(given) else str(uuid.uuid4())

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Agent-Revision"] = self._revision
                if scope["path"] == CHAT:
                    headers["X-Conversation-ID"] = state["conversation_id"]
            await send(message)

        await self._app(scope, receive, named)


class BodyLimit:
    """Refuses a body that is too large, announced or not, before it is held in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY or (announced.isdigit() and int(announced) > MAX_BODY):
                raise HTTPException(413, TOO_LARGE)
            return message

        await self._app(scope, limited, send)


class Timing:
    """Counts and times chat requests, to the last byte of a stream."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != CHAT:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        code, started = 500, False

        async def timed(message: Message) -> None:
            nonlocal code, started
            if message["type"] == "http.response.start":
                code = message["status"]
            elif message.get("body") and not started:
                started = True
                self._telemetry.metrics.first_token(time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, timed)
        finally:
            self._telemetry.metrics.request(code, time.perf_counter() - began)
