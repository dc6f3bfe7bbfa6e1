"""Tools that are operations of an HTTP API, described by an OpenAPI document or by a URL.

A token goes to the server that the configuration names, never to one that only a document names.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path

import httpx
import yaml

from agent_runtime.config import HttpTool, ToolConfig
from agent_runtime.domain import Json, Principal, ToolSpec
from agent_runtime.errors import InvalidConfigError, ToolFailedError
from agent_runtime.tools import openapi
from agent_runtime.tools.fetch import Reply, address, result, send
from agent_runtime.tools.late import Origin, reason

FETCH_SECONDS = 15.0
BROKEN = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
"""What a kept connection does that the other side closed meanwhile."""


class OpenApiDocument(Origin):
    """A document at a URL, fetched until it holds all operations that are wanted of it."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        super().__init__(url)
        self._client = client
        self._users: list[HttpOperation] = []

    def serve(self, user: HttpOperation) -> None:
        """Have a tool learn from the document once it is there."""
        self._users.append(user)

    async def attend(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                reply = await send(self._client, openapi.HttpRequest("GET", self.name), {})
        except (httpx.HTTPError, TimeoutError) as error:
            raise ToolFailedError(f"the document cannot be fetched: {reason(error)}") from error
        if reply.status != 200:
            raise ToolFailedError(f"the document cannot be fetched: HTTP {reply.status}")
        document = parsed(reply.text)
        for user in self._users:
            user.learn(document, self.name)
        self.settle(next((each.missing for each in self._users if each.missing), None))


class HttpOperation:
    """One operation as a tool. Without a document it is known from the start."""

    def __init__(
        self, config: ToolConfig, http: HttpTool, client: httpx.AsyncClient, bearer: str | None
    ) -> None:
        """Raises InvalidConfigError."""
        self._config = config
        self._http = http
        self._client = client
        self._bearer = bearer
        self._operation: openapi.Operation | None = None
        self.missing: str | None = "its OpenAPI document has not been read yet"
        if http.openapi is None and http.url is not None:
            self._take(openapi.of_template(http.method, http.url, config.parameters, ""))

    @property
    def problem(self) -> str | None:
        """Why it cannot be offered yet."""
        return self.missing

    @property
    def spec(self) -> ToolSpec:
        known, config = self._operation, self._config
        return ToolSpec(
            config.name,
            config.description or (known.description if known else "") or named(config.name),
            config.parameters or (known.parameters if known else {"type": "object"}),
            config.effect,
            config.examples,
        )

    def learn(self, document: Json, place: str) -> None:
        """Take the operation from a document, or note in `missing` why that cannot be."""
        name = self._http.operation_id or self._config.name
        try:
            operation = openapi.of_document(document, name, place, self._http.url)
            self._guard(operation, place)
        except InvalidConfigError as error:
            self.missing = reason(error)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.missing = f"the OpenAPI document is not as it should be: {reason(error)}"
        else:
            self._take(operation)

    def _guard(self, operation: openapi.Operation, place: str) -> None:
        if not operation.url.startswith(("http://", "https://")):
            raise InvalidConfigError("http.url: needed, since the document names no server")
        secret = self._bearer is not None or self._http.forward_user
        if secret and self._http.url is None and _foreign(operation.url, place):
            host = httpx.URL(operation.url).host
            raise InvalidConfigError(
                f"http.url: needed, since the document names another server, {host}, "
                "and a token is only sent where the configuration says so"
            )

    def _take(self, operation: openapi.Operation) -> None:
        self._operation, self.missing = operation, None

    async def call(self, arguments: Mapping[str, Json], caller: Principal) -> Json:
        if self._operation is None:
            raise ToolFailedError(f"it is not available: {self.missing}")
        request = self._operation.request(arguments)
        headers = dict(request.headers)
        # Who sends the user's token on never falls back on rights that the user has not got.
        token = caller.token if self._http.forward_user else self._bearer
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self._operation.idempotent:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        try:
            return result(await self._attempt(request, headers))
        except httpx.TimeoutException as error:
            raise ToolFailedError("the API did not answer in time") from error
        except httpx.HTTPError as error:
            raise ToolFailedError(f"the API does not answer: {reason(error)}") from error
        except httpx.InvalidURL as error:
            raise ToolFailedError(f"the URL is not possible: {reason(error)}") from error

    async def _attempt(self, request: openapi.HttpRequest, headers: dict[str, str]) -> Reply:
        """Send it, and once more where that cannot do the same thing twice."""
        try:
            return await send(self._client, request, headers)
        except BROKEN:
            if request.method != "GET" and "Idempotency-Key" not in headers:
                raise
            return await send(self._client, request, headers)


def read_document(place: str) -> Json:
    """Read an OpenAPI document from a file. Raises InvalidConfigError."""
    try:
        return parsed(Path(place).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ToolFailedError) as error:
        raise InvalidConfigError(f"http.openapi: {place}: {reason(error)}") from error


def parsed(text: str) -> Json:
    """Parse a document, in JSON or YAML. Raises ToolFailedError."""
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ToolFailedError(f"the document is neither JSON nor YAML: {reason(error)}") from error


def named(name: str) -> str:
    """Return a name as words: `get_order_status` is `get order status`."""
    return name.replace("_", " ").replace("-", " ")


def _foreign(url: str, place: str) -> bool:
    return not place.startswith(("http://", "https://")) or address(url) != address(place)
