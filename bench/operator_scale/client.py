"""The benchmark's own requests to the API server: raw JSON over a few connections."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from dev.settings import API_URL

MERGE = "application/merge-patch+json"
CONNECTIONS = 32
LONGEST_EVENT = 4 * 2**20
Object = dict[str, Any]


class ClientError(RuntimeError):
    """The API server refused something."""


class Client:
    """An administrator, as an async context manager."""

    def __init__(self, credentials: Path) -> None:
        """
        Args:
            credentials: the folder in which `dev` keeps them.
        """
        config = json.loads((credentials / "admin.kubeconfig").read_text())
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._tls = ssl.create_default_context(cafile=str(credentials / "ca.crt"))

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=CONNECTIONS)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, read_bufsize=LONGEST_EVENT
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """One request. Raises ClientError."""
        text = None if body is None else json.dumps(body)
        headers = {"Content-Type": content}
        async with self._session.request(
            method, API_URL + path, params=query, data=text, headers=headers
        ) as answer:
            told = await answer.text()
        if answer.status >= 400:
            raise ClientError(f"{method} {path}: {answer.status} {told[:500]}")
        return json.loads(told)

    async def watch(self, path: str, selector: str = "") -> AsyncGenerator[tuple[str, Object]]:
        """What there is, as ADDED, and then what changes, for ever.

        Yields:
            ADDED, MODIFIED or DELETED, and the object.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_read=None)
        query: Mapping[str, str] = {"labelSelector": selector} if selector else {}
        while True:
            listed = await self.request("GET", path, query=query)
            for item in listed["items"]:
                yield "ADDED", item
            version = listed["metadata"]["resourceVersion"]
            follow = {**query, "watch": "1", "resourceVersion": version}
            async with self._session.get(API_URL + path, params=follow, timeout=timeout) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    yield event["type"], event["object"]
            await asyncio.sleep(0.1)
