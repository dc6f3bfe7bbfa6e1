"""Who asks: a bearer token becomes a Principal before anything else happens with the request."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agent_runtime.domain import NOBODY, Principal
from agent_runtime.errors import AgentError, UnauthenticatedError
from agent_runtime.http.errors import response_to
from agent_runtime.ports import Authenticator
from agent_runtime.telemetry import Telemetry

MAX_TOKEN = 16_384


class Authentication:
    """Puts the Principal into the request's state, for all that is below /v1.

    Without an authenticator everybody is anonymous and a token says nothing: OpenAI's clients
    always send one.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator | None,
        required: bool,
        telemetry: Telemetry,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._required = required
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            try:
                principal = await self._principal(Headers(scope=scope))
            except AgentError as error:
                self._telemetry.metrics.error(error.reason)
                await response_to(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)

    async def _principal(self, headers: Headers) -> Principal:
        given = headers.getlist("authorization")
        if self._authenticator is None:
            if self._required:
                raise UnauthenticatedError("a bearer token is needed, and none is known here")
            return NOBODY
        if not given:
            if self._required:
                raise UnauthenticatedError("a bearer token is needed")
            return NOBODY
        scheme, _, token = given[0].partition(" ")
        token = token.strip()
        if len(given) > 1 or scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
            raise UnauthenticatedError("Authorization has to be one bearer token")
        principal = await self._authenticator.authenticate(token)
        if principal is None:
            raise UnauthenticatedError("the bearer token is nobody's, or has expired")
        return principal
