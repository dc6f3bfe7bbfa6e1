"""JSON and server-sent events as bytes, and JSON bodies as typed values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.responses import Response
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from agent_runtime.errors import InvalidRequestError

T = TypeVar("T")
DONE = b"data: [DONE]\n\n"
JSON = "application/json"


def encode(payload: object) -> bytes:
    """Encode JSON. What a tool returned may hold what strict JSON cannot say; it is replaced."""
    try:
        return orjson.dumps(payload)
    except TypeError:
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), default=str)
        return text.encode("utf-8", "replace")


def decode(shape: TypeAdapter[T], raw: bytes | None) -> T | None:
    """Decode a stored record; None for one that is not there, or that another version wrote, which
    is too old or too new."""
    try:
        return shape.validate_json(raw) if raw else None
    except ValidationError:
        return None


def event(payload: object, name: str | None = None) -> bytes:
    """Encode a server-sent event. JSON keeps line breaks escaped, so one data line is enough."""
    head = f"event: {name}\n".encode() if name else b""
    return b"".join((head, b"data: ", encode(payload), b"\n\n"))


def reply(payload: object, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON as a response."""
    return Response(encode(payload), code, headers, JSON)


async def read(request: Request, shape: TypeAdapter[T], empty: bytes | None = None) -> T:
    """Read a JSON body.

    Args:
        request: whose body it is.
        shape: what it has to be.
        empty: what an empty body stands for. None: it is refused.

    Raises:
        InvalidRequestError: it is not JSON, or a field is wrong.
        HTTPException: 415, it says that it is something else; 413, it is too large.
    """
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    raw = await request.body()
    if not raw and empty is not None:
        raw = empty
    elif kind != JSON and not kind.endswith("+json"):
        raise HTTPException(415, f"the body has to be {JSON}, not {kind or 'unnamed'}")
    if not raw:
        raise InvalidRequestError("the body is empty; JSON is needed")
    try:
        return shape.validate_json(raw)
    except ValidationError as error:
        raise refused(error.errors(include_url=False, include_input=False)[0]) from None


def refused(wrong: Mapping[str, Any]) -> InvalidRequestError:
    """Turn pydantic's first complaint into ours. Tags of unions, `<so>`, are no part of a name."""
    if wrong["type"] == "json_invalid":
        return InvalidRequestError(f"the body is not JSON: {wrong['ctx']['error']}")
    place = ".".join(str(part) for part in wrong["loc"] if not str(part).startswith("<"))
    message = wrong["msg"]
    if wrong["type"] == "union_tag_invalid":
        message = f"type {wrong['ctx']['tag']} is none of {wrong['ctx']['expected_tags']}"
        message = message.translate({ord("<"): None, ord(">"): None})
    return InvalidRequestError(f"{place or 'the body'}: {message}", place or None)
