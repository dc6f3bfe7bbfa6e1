"""Sends HTTP requests to pods, and to a Prometheus that a spec names: to servers that may answer
anything, slowly, or never.

Redirects are not followed, since a pod could send the operator to what only the operator can
reach. A response has a maximum size and a time limit, and is not decompressed. There are no
cookies, and no proxy is taken from the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import aiohttp

MAX_BYTES = 64 * 1024
"""Maximum size of a response. The state of a pod or a gateway takes less than 1 KiB."""
CONNECTIONS = 256
"""Connections of one client at the same time. Those of all clients fit into the usual limit of 1024
open files."""
CONNECTIONS_PER_SERVER = 2
"""Of them, those to one server, which may hang."""


class NoResponseError(Exception):
    """There is no response. The message explains why."""


class Client:
    """An HTTP client with limits. Each signal has one of its own, so that pods that hang cannot
    take the connections that another signal needs."""

    def __init__(
        self, connections: int = CONNECTIONS, connections_per_server: int = CONNECTIONS_PER_SERVER
    ) -> None:
        # An address soon belongs to another pod, so that no connection is used twice.
        connector = aiohttp.TCPConnector(
            limit=connections, limit_per_host=connections_per_server, force_close=True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def fetch(
        self,
        url: str,
        seconds: float,
        limit: int = MAX_BYTES,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request and return the status code and the body.

        Args:
            url: URL of the request.
            seconds: time limit for connection, request and response together.
            limit: maximum size of the body, in bytes.
            form: is sent with POST, if given.
            headers: headers of the request.

        Raises:
            NoResponseError: there is no response, or it exceeds a limit.
        """
        method = "GET" if form is None else "POST"
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(
                method, url, data=form, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise NoResponseError("the response is compressed, which was not asked for")
                body = bytearray()
                async for part in answer.content.iter_any():
                    body += part
                    if len(body) > limit:
                        raise NoResponseError(f"the response exceeds {limit} bytes")
                return answer.status, bytes(body)
        except TimeoutError:
            raise NoResponseError(f"no response within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoResponseError(str(error) or type(error).__name__) from error


def build_url(ip: str, port: int, path: str) -> str:
    """Build the URL of a pod."""
    return f"http://{f'[{ip}]' if ':' in ip else ip}:{port}{path}"
