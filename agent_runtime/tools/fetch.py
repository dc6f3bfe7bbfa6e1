"""Requests to an HTTP API that is not trusted to be short, to stay where it is, or to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx
import orjson

from agent_runtime.domain import Json
from agent_runtime.errors import ToolFailedError
from agent_runtime.tools.late import reason
from agent_runtime.tools.openapi import HttpRequest

MOST_BYTES = 4 * 1024 * 1024
"""Longest body that is read; results are cut much shorter."""
MOST_REDIRECTS = 3
LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply. `kind` is its media type, `text` its body as text."""

    status: int
    kind: str
    content: bytes
    encoding: str = "utf-8"

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding, "replace")

    @property
    def structured(self) -> bool:
        return self.kind.endswith("json")


async def send(
    client: httpx.AsyncClient, request: HttpRequest, headers: Mapping[str, str]
) -> Reply:
    """Send a request and read the reply, up to MOST_BYTES and on the same host all the way.

    Raises:
        ToolFailedError: it is too long, or leads to another host.
        httpx.HTTPError: there is no answer.
    """
    url, method = httpx.URL(request.url), request.method
    if request.query:
        url = url.copy_merge_params(list(request.query))
    body = orjson.dumps(request.body) if request.has_body else None
    if request.has_body:
        headers = {**headers, "Content-Type": "application/json"}
    for _ in range(MOST_REDIRECTS + 1):
        outgoing = client.build_request(method, url, headers=dict(headers), content=body)
        reply = await client.send(outgoing, stream=True, follow_redirects=False)
        try:
            if not reply.has_redirect_location:
                return await _read(reply)
        finally:
            await reply.aclose()
        target = url.join(reply.headers["location"])
        if address(target) != address(url):
            raise ToolFailedError(f"the API redirects to another host, {target.host}")
        if method != "GET" and reply.status_code not in (307, 308):
            raise ToolFailedError("the API redirects instead of taking the request")
        url = target
    raise ToolFailedError("the API redirects again and again")


def address(url: httpx.URL | str) -> tuple[str, str, int | None]:
    """Return what has to be the same for two URLs to be of one server."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


async def _read(reply: httpx.Response) -> Reply:
    read = bytearray()
    async for part in reply.aiter_bytes():
        read += part
        if len(read) > MOST_BYTES:
            raise ToolFailedError(f"the API's answer is longer than {MOST_BYTES} bytes")
    kind = reply.headers.get("content-type", "").split(";")[0].strip().lower()
    return Reply(reply.status_code, kind, bytes(read), reply.charset_encoding or "utf-8")


def result(reply: Reply) -> Json:
    """Return what an API said. Raises ToolFailedError where it said no, in its own words."""
    if reply.status >= 500:
        raise ToolFailedError(f"the API failed with HTTP {reply.status}")
    if not 200 <= reply.status < 300:
        raise ToolFailedError(_refusal(reply) or f"the API refused it with HTTP {reply.status}")
    if not reply.content:
        return {"status": "done"}
    if not reply.structured:
        return reply.text
    try:
        return orjson.loads(reply.content)
    except orjson.JSONDecodeError as error:
        raise ToolFailedError(f"the API's answer is broken JSON: {reason(error)}") from error


def _refusal(reply: Reply) -> str:
    """Return what the body of an error says, by the fields that APIs put it in."""
    if not reply.structured:
        return " ".join(reply.text.split())[:LONGEST_MESSAGE] if reply.kind == "text/plain" else ""
    try:
        body = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        return ""
    return _words(body)[:LONGEST_MESSAGE]


def _words(body: Json) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_words, cast(list[Json], body))))
    if not isinstance(body, dict):
        return ""
    fields = cast(dict[str, Any], body)
    if "msg" in fields and "loc" in fields:  # FastAPI's
        place = ".".join(str(each) for each in list(fields["loc"])[1:])
        return f"{place}: {fields['msg']}" if place else str(fields["msg"])
    for name in ("error", "message", "detail", "errors", "error_description", "title"):
        if said := _words(fields.get(name)):
            return said
    return ""
