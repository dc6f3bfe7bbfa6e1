"""Errors in OpenAI's shape, `{"error": {message, type, param, code}}`: the only translation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from typing_extensions import TypedDict

from agent_runtime.errors import (
    AgentError,
    ConflictError,
    ForbiddenError,
    GeneratorTimeoutError,
    IndexMismatchError,
    IndexMissingError,
    InvalidRequestError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnreadableDocumentError,
)
from agent_runtime.http.names import UnknownModelError
from agent_runtime.http.wire import refused, reply
from agent_runtime.telemetry import Telemetry

log = logging.getLogger(__name__)

RETRY_SECONDS = 5
CLIENT_GONE = 499
"""Nobody reads it; it is for the metrics."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What a client is told of a kind of error."""

    status: int
    type: str
    code: str | None = None
    """None: the error's reason."""
    param: str | None = None


REFUSED = "invalid_request_error"
UNAVAILABLE = Translation(503, "service_unavailable")
TABLE: dict[type[AgentError], Translation] = {
    InvalidRequestError: Translation(400, REFUSED),
    UnauthenticatedError: Translation(401, "authentication_error", "invalid_api_key"),
    ForbiddenError: Translation(403, "permission_error", "forbidden"),
    UnknownModelError: Translation(404, REFUSED, "model_not_found", "model"),
    NotFoundError: Translation(404, REFUSED, "not_found"),
    ConflictError: Translation(409, "conflict_error", "conflict"),
    TooLargeError: Translation(413, REFUSED, "too_large"),
    UnreadableDocumentError: Translation(422, REFUSED, "unreadable_document"),
    OverloadedError: Translation(429, "rate_limit_error", "rate_limit_exceeded"),
    UnavailableError: UNAVAILABLE,
    NotReadyError: UNAVAILABLE,
    IndexMissingError: UNAVAILABLE,
    IndexMismatchError: UNAVAILABLE,
    GeneratorTimeoutError: Translation(504, "timeout_error"),
}
INTERNAL = Translation(500, "server_error", "internal_error")
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class ErrorDetail(TypedDict):
    """What went wrong. `param` names the field of the request."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """An error, as OpenAI's clients read it."""

    error: ErrorDetail


def translation_of(error: BaseException) -> Translation:
    """Return what a client is told of an error; of a fault of our own, nothing."""
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), INTERNAL)


def body_of(error: BaseException) -> ErrorBody:
    """Return the body that tells a client of an error."""
    found = translation_of(error)
    if found is INTERNAL:
        return body("internal error", found.type, code=found.code)
    if isinstance(error, InvalidRequestError):
        return body(str(error), found.type, error.param, error.code)
    code = found.code or reason_of(error)
    return body(str(error), found.type, found.param, code)


def body(
    message: str, kind: str = REFUSED, param: str | None = None, code: str | None = None
) -> ErrorBody:
    """Return an error's body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response_to(error: AgentError) -> Response:
    """Return the whole response."""
    found = translation_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, OverloadedError):
        headers["Retry-After"] = str(error.retry_after)
    elif found.status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    elif found.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="agent"'
    return reply(body_of(error), found.status, headers)


def reason_of(error: BaseException) -> str:
    """Return the label that the error is counted under."""
    return error.reason if isinstance(error, AgentError) else AgentError.reason


def install(app: FastAPI, telemetry: Telemetry) -> None:
    """Translate everything that a route raises."""

    def agent_error(request: Request, error: Exception) -> Response:
        failed = cast(AgentError, error)
        telemetry.metrics.error(failed.reason)
        if translation_of(failed) is INTERNAL:
            log.error("%s: %s", failed.reason, failed)
        return response_to(failed)

    def validation_error(request: Request, error: Exception) -> Response:
        first = cast(RequestValidationError, error).errors()[0]
        # The first part says where it was found: query, path, …
        return agent_error(request, refused({**first, "loc": first["loc"][1:]}))

    def http_error(request: Request, error: Exception) -> Response:
        refusal = cast(HTTPException, error)
        allowed = _allowed(app, request) if refusal.status_code == 405 else None
        if allowed and request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allowed})
        telemetry.metrics.error(InvalidRequestError.reason)
        where = f"{request.method} {request.url.path}"
        unknown = refusal.status_code in (404, 405)
        message = f"{where}: {refusal.detail}" if unknown else str(refusal.detail)
        headers = {"Allow": allowed} if allowed else refusal.headers
        code = _BY_STATUS.get(refusal.status_code)
        return reply(body(message, code=code), refusal.status_code, headers)

    def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)

    def unexpected(request: Request, error: Exception) -> Response:
        telemetry.metrics.error(AgentError.reason)
        return reply(body_of(error), INTERNAL.status)

    app.add_exception_handler(AgentError, agent_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unexpected)


def _allowed(app: FastAPI, request: Request) -> str:
    """Return the methods of a path, of which several routes may have one each."""
    path = request.url.path
    found: set[str] = set()
    for route in cast(list[Any], app.routes):
        if route.path_regex.fullmatch(path):
            found |= route.methods
    return ", ".join(sorted(found))
