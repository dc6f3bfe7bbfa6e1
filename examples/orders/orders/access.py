"""Who may ask: everybody, or who has the token of ORDERS_TOKEN, over HTTP and MCP alike."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = ("/healthz", "/openapi.json")
"""Paths that need no token: an agent reads the document before it knows of one."""


class RequireToken:
    """Answers 401 to a request without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = Headers(scope=scope).get("authorization", "").encode()
            if not hmac.compare_digest(given, self._expected):
                problem = {"code": "unauthorized", "message": "a valid bearer token is needed"}
                headers = {"WWW-Authenticate": "Bearer"}
                await JSONResponse({"error": problem}, 401, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)
