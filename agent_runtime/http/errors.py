"""Errors in OpenAI's shape, `{"error": {message, type, param, code}}`: the only translation."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agent_runtime.errors import AgentError, InvalidRequestError
from agent_runtime.telemetry import Telemetry

RETRY_SECONDS = "5"


def install(app: FastAPI, telemetry: Telemetry) -> None:
    """Translate everything that a route raises."""

    def agent_error(request: Request, error: Exception) -> JSONResponse:
        failed = cast(AgentError, error)
        telemetry.metrics.error(failed.reason)
        refused = isinstance(failed, InvalidRequestError)
        headers = None if refused else {"Retry-After": RETRY_SECONDS}
        return JSONResponse(body_of(failed), 400 if refused else 503, headers)

    def validation_error(request: Request, error: Exception) -> JSONResponse:
        first = cast(RequestValidationError, error).errors()[0]
        telemetry.metrics.error(InvalidRequestError.reason)
        if first["type"] == "json_invalid":
            return JSONResponse(_body(f"the body is not JSON: {first['ctx']['error']}"), 400)
        place = ".".join(str(part) for part in first["loc"][1:])
        message = f"{place}: {first['msg']}" if place else str(first["msg"])
        return JSONResponse(_body(message, param=place or None), 400)

    def http_error(request: Request, error: Exception) -> JSONResponse:
        refused = cast(HTTPException, error)
        where = f"{request.method} {request.url.path}"
        detail = f"{where}: {refused.detail}" if refused.status_code in (404, 405) else None
        return JSONResponse(_body(detail or refused.detail), refused.status_code, refused.headers)

    def unexpected(request: Request, error: Exception) -> JSONResponse:
        telemetry.metrics.error("InternalError")
        return JSONResponse(_body("internal error", kind="server_error"), 500)

    app.add_exception_handler(AgentError, agent_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unexpected)


def body_of(error: AgentError) -> dict[str, Any]:
    """Return the body that tells a client of an error."""
    if isinstance(error, InvalidRequestError):
        return _body(str(error), param=error.param, code=error.code)
    return _body(str(error), kind="service_unavailable", code=error.reason)


def _body(
    message: str,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
