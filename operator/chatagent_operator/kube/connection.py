"""HTTP to the API server as raw JSON: one request, or an answer that is read line by line.

Nothing here knows a kind of object or the models of the API, so that the gateway's sidecar can use
it too and stay small.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Self, cast

import aiohttp
from kubernetes.aio import client, config  # pyright: ignore[reportMissingTypeStubs]

from chatagent_operator.kube.errors import ApiError, SilentError, from_response

TIMEOUT_SECONDS = 15.0

Json = dict[str, Any]


class Connection:
    """One connection to one API server."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """Connect as a pod does where nothing is named, or else as kubectl does.

        Raises:
            ConfigException: there is no configuration, or no such context in it.
        """
        # Each kind that is watched keeps a connection open; none may wait for another to end.
        configuration = client.Configuration(connection_pool_maxsize=0)
        if kubeconfig is None and context is None:
            try:
                config.load_incluster_config(client_configuration=configuration)
                return cls(client.ApiClient(configuration))
            except config.ConfigException:
                pass  # not in a pod
        await config.load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=configuration
        )
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        """Close the connection."""
        await self._api.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """One request; returns the answer's JSON.

        Raises:
            ApiError: the server refused or did not answer.
        """
        headers = {"Accept": accept}
        response = await self._send(method, path, body, content_type, TIMEOUT_SECONDS, headers)
        try:
            text: bytes = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {error or type(error).__name__}") from error
        if response.status >= 400:
            raise from_response(response.status, text, response.headers.get("Retry-After"))
        try:
            return cast(Json, json.loads(text))
        except ValueError as error:
            raise ApiError(0, f"{method} {path}: the answer is not JSON: {error}") from error

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        """One request; yields the lines of its answer as they come.

        Args:
            headers: beside the usual ones.
            silence: seconds without a byte after which it has ended.

        Raises:
            SilentError: it was silent for too long.
            ApiError: the server refused, did not answer, or broke off.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=silence)
        sent = await self._send(method, path, body, "application/json", timeout, headers)
        response: aiohttp.ClientResponse = sent.response  # what it is wrapped in reads it whole
        rest = b""
        try:
            if response.status >= 400:
                text = await response.read()
                raise from_response(response.status, text, response.headers.get("Retry-After"))
            async for piece in response.content.iter_any():
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield line
        except aiohttp.SocketTimeoutError as error:
            raise SilentError(0, f"{method} {path}: silent for {silence:g} s") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            response.close()
        if rest:
            yield rest

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        content_type: str,
        limit: Any,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        headers: dict[str, str] = {"Content-Type": content_type, "Accept": "application/json"}
        headers |= more or {}
        query: list[tuple[str, str]] = []
        await self._api.update_params_for_auth(headers, query, ["BearerToken"], path, method, body)
        url = self._api.configuration.host + path
        try:
            return await self._api.call_api(
                method, url, headers, body, _request_timeout=limit, _preload_content=False
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {error or type(error).__name__}") from error
