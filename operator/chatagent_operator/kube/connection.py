"""HTTP to the API server as raw JSON: one request, or an answer that is read line by line.

The client of the `kubernetes` package finds the server, logs in and verifies it. The requests go
out on a session of our own, since that client reads its models, looks up a proxy in a thread for
each request, and wraps each answer. Nothing here knows a kind of object or the models of the API,
so that the gateway's sidecar can use it too and stay small.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Self, cast
from urllib.request import getproxies

import aiohttp
import orjson
from kubernetes.aio import client, config  # pyright: ignore[reportMissingTypeStubs]
from yarl import URL

from chatagent_operator.kube.errors import ApiError, NotLeaderError, SilentError, from_response
from chatagent_operator.kube.fence import Fence, finish

TIMEOUT_SECONDS = 15.0
MAX_LINE_BYTES = 16 * 1024 * 1024
"""Twice the longest log, of one line; an object of a watch has at most a few MiB."""
USER_AGENT = "chatagent-operator"
"""By which audit logs name it."""

Json = dict[str, Any]


class Connection:
    """One connection to one API server."""

    def __init__(self, api: client.ApiClient, fence: Fence | None = None) -> None:
        self._api = api
        self._fence = fence
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        fence: Fence | None = None,
    ) -> Self:
        """Connect as a pod does where nothing is named, or else as kubectl does.

        Args:
            kubeconfig: its path.
            context: one of its contexts.
            fence: asked before every write; None: this process may always write.

        Raises:
            ConfigException: there is no configuration, or no such context in it.
        """
        configuration = client.Configuration()
        if kubeconfig is None and context is None:
            try:
                config.load_incluster_config(client_configuration=configuration)
                return cls(client.ApiClient(configuration), fence)
            except config.ConfigException:
                pass  # not in a pod
        await config.load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=configuration
        )
        return cls(client.ApiClient(configuration), fence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._session:
            await self._session.close()
        await self._api.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        limit: float = TIMEOUT_SECONDS,
    ) -> Json:
        """One request; returns the answer's JSON.

        Args:
            limit: seconds that it may take. A write of a leader ends before its Lease does.

        Raises:
            NotLeaderError: it is a write, and this process is not the leader.
            ApiError: the server refused or did not answer, or not with JSON.
        """
        exchange = self._exchange(method, path, body, content_type, accept, limit)
        if self._fence and self._fence.covers(method, path):
            return await finish(exchange)
        return await exchange

    async def _exchange(
        self, method: str, path: str, body: Any, content_type: str, accept: str, limit: float
    ) -> Json:
        headers = {"Accept": accept}
        response = await self._send(method, path, body, content_type, limit, headers)
        try:
            text: bytes = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unanswered(method, path, error) from error
        if response.status >= 400:
            raise from_response(response.status, text, response.headers.get("Retry-After"))
        try:
            return cast(Json, orjson.loads(text))
        except ValueError as error:
            raise ApiError(0, f"{method} {path}: the answer is no JSON: {text[:200]!r}") from error

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        """One request; yields the lines of its answer as they come.

        Args:
            headers: beside the usual ones.
            silence: seconds without a byte after which it has ended.

        Raises:
            SilentError: it was silent for too long.
            ApiError: the server refused, did not answer or broke off, or a line is too long.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=silence)
        response = await self._send(method, path, body, "application/json", timeout, headers)
        rest = bytearray()
        try:
            if response.status >= 400:
                text = await response.read()
                raise from_response(response.status, text, response.headers.get("Retry-After"))
            async for piece in response.content.iter_any():
                *ends, more = piece.split(b"\n")
                for end in ends:
                    yield bytes(rest + end)
                    rest.clear()
                rest += more
                if len(rest) > MAX_LINE_BYTES:
                    raise ApiError(0, f"{method} {path}: a line exceeds {MAX_LINE_BYTES} bytes")
        except aiohttp.SocketTimeoutError as error:
            raise SilentError(0, f"{method} {path}: silent for {silence:g} s") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            # A stream that is left has no end to wait for, nor has its TLS session.
            if response.connection and response.connection.transport:
                response.connection.transport.abort()
            response.close()
        if rest:
            yield bytes(rest)

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        content_type: str,
        limit: float | aiohttp.ClientTimeout,
        more: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        headers: dict[str, str] = {"Content-Type": content_type, "Accept": "application/json"}
        headers |= more or {}
        query: list[tuple[str, str]] = []
        await self._api.update_params_for_auth(headers, query, ["BearerToken"], path, method, body)
        url = URL(self._api.configuration.host + path, encoded=True)
        data = None if body is None else orjson.dumps(body)
        if self._fence:
            left = self._fence.check(method, path)
            limit = limit if isinstance(limit, aiohttp.ClientTimeout) else min(limit, left)
        if not isinstance(limit, aiohttp.ClientTimeout):
            limit = aiohttp.ClientTimeout(total=limit)
        try:
            return await self._connect().request(
                method,
                url,
                data=data,
                headers=headers,
                timeout=limit,
                proxy=self._api.configuration.proxy,
                proxy_headers=self._api.configuration.proxy_headers,
                server_hostname=self._api.configuration.tls_server_name or None,
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unanswered(method, path, error) from error

    def _connect(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Each kind that is watched keeps a connection open; none waits for another to end.
            connector = aiohttp.TCPConnector(limit=0, ssl=self._api.rest_client.ssl_context)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": USER_AGENT},
                trust_env=bool(getproxies()),
                trace_configs=[self._fence.trace()] if self._fence else None,
            )
        return self._session

    def _unanswered(self, method: str, path: str, error: Exception) -> ApiError:
        try:
            if self._fence:
                self._fence.check(method, path)
        except NotLeaderError as refused:
            return refused
        return ApiError(0, f"{method} {path}: {error or type(error).__name__}")
