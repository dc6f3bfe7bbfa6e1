"""What holds for every request, as pure ASGI: names in the headers, a size limit, timing.

Starlette's BaseHTTPMiddleware would cost most of the throughput and buffer streams.
"""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_runtime.http.errors import CLIENT_GONE
from agent_runtime.http.fields import CONVERSATION, issued_conversation
from agent_runtime.telemetry import Telemetry, Timings

log = logging.getLogger("agent_runtime.requests")

TURNS = frozenset({"/v1/chat/completions", "/v1/responses"})
_APPROVAL = re.compile(r"/v1/conversations/[^/]+/approvals/[^/]+")
MAX_BODY = 1024 * 1024
MAX_UPLOAD = 20 * 1024 * 1024
ENVELOPE = 64 * 1024
"""What multipart adds to a file."""
UPLOADS = "/v1/files"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Identity:
    """Names the revision and the request on every reply, the conversation on those of a turn."""

    def __init__(self, app: ASGIApp, revision: str) -> None:
        self._app = app
        self._revision = revision

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        given = Headers(scope=scope)
        named = given.get("x-conversation-id", "")
        if CONVERSATION.fullmatch(named):
            state["conversation_id"] = named
        elif scope["path"] in TURNS:
            state["conversation_id"] = issued_conversation(self._revision)
        request = given.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request):
            request = f"req_{uuid.uuid4().hex}"
        state["request_id"] = request

        async def with_names(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Agent-Revision"] = self._revision
                headers["X-Request-ID"] = request
                if "conversation_id" in state:
                    headers["X-Conversation-ID"] = state["conversation_id"]
            await send(message)

        await self._app(scope, receive, with_names)


class BodyLimit:
    """Refuses a body that is too large, announced or not, before it is held in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_UPLOAD + ENVELOPE if scope["path"] == UPLOADS else MAX_BODY
        announced = Headers(scope=scope).get("content-length", "")
        too_large = announced.isdigit() and int(announced) > limit
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if too_large or size > limit:
                raise HTTPException(413, f"the request is larger than {limit} bytes")
            return message

        await self._app(scope, limited, send)


class Timing:
    """Times a request for Server-Timing and traces; counts turns, to the last byte of a stream."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        counted = scope["method"] == "POST" and (path in TURNS or bool(_APPROVAL.fullmatch(path)))
        began = time.perf_counter()
        code, started, ended, left = 500, False, False, False
        with self._telemetry.request(Headers(scope=scope)) as timings:

            async def watched() -> Message:
                nonlocal left
                message = await receive()
                left = left or (message["type"] == "http.disconnect" and not ended)
                return message

            async def timed(message: Message) -> None:
                nonlocal code, started, ended
                if message["type"] == "http.response.start":
                    code = message["status"]
                    timings.add("total", time.perf_counter() - began)
                    MutableHeaders(scope=message)["Server-Timing"] = timings.header()
                elif counted and code < 400 and message.get("body") and not started:
                    started = True
                    self._telemetry.metrics.first_token(time.perf_counter() - began, timings.known)
                ended = message["type"] == "http.response.body" and not message.get("more_body")
                await send(message)

            try:
                await self._app(scope, watched, timed)
            finally:
                took = time.perf_counter() - began
                if left and code < 400:
                    code = CLIENT_GONE
                code = scope["state"].get("failed", code)
                if counted:
                    self._telemetry.metrics.request(code, took, timings.known)
                if log.isEnabledFor(logging.INFO):
                    log.info(
                        "%s %s %d", scope["method"], scope["path"], code,
                        extra={"fields": _fields(scope, code, took, timings)},
                    )  # fmt: skip


def _fields(scope: Scope, code: int, seconds: float, timings: Timings) -> dict[str, object]:
    """Return what is logged of a request: no text of a message, and no query."""
    state = scope["state"]
    return {
        "method": scope["method"],
        "path": scope["path"],
        "code": code,
        "seconds": round(seconds, 4),
        "request_id": state.get("request_id"),
        "conversation_id": state.get("conversation_id"),
        "phases": {name: round(took, 4) for name, took in timings.seconds.items()},
    }


class Head:
    """Answers HEAD like GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        await self._app({**scope, "method": "GET"}, receive, bodiless)
