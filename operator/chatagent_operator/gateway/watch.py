"""Follows one ConfigMap through the API server.

Every watch starts without a resource version, so it begins with the object as it is now: a
reconnect loses no change, and no version can be too old. It is short, so that a connection that
died without a word is noticed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

_BACKOFF_SECONDS = (0.1, 5.0)

log = logging.getLogger(__name__)


class WatchError(Exception):
    """The watch was refused or broke off. Worth another try."""


@dataclass(frozen=True)
class ConfigMapKey:
    """One text in one ConfigMap."""

    namespace: str
    name: str
    key: str


@dataclass
class Watch:
    """A watch that does not end. `on_failure` is called for each connection that fails."""

    api: client.ApiClient
    target: ConfigMapKey
    seconds: int = 20
    slack_seconds: float = 5.0
    """The server ends each watch after `seconds`; so much later it counts as dead."""
    on_failure: Callable[[], object] = lambda: None

    async def texts(self) -> AsyncGenerator[str | None]:
        """The text, now and after every change of the ConfigMap; None where it is gone."""
        pause = _BACKOFF_SECONDS[0]
        while True:
            try:
                async with aclosing(self._one_watch()) as texts:
                    async for text in texts:
                        pause = _BACKOFF_SECONDS[0]
                        yield text
            except (WatchError, ApiException, aiohttp.ClientError, OSError, ValueError) as error:
                self.on_failure()
                log.warning("the watch of %s failed: %r", self.target.name, error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(2 * pause, _BACKOFF_SECONDS[1])

    async def _one_watch(self) -> AsyncGenerator[str | None]:
        loop = asyncio.get_running_loop()
        time_is_over = loop.time() + self.seconds
        deadline = time_is_over + self.slack_seconds
        async with asyncio.timeout_at(deadline):
            response = await self._request()
        async with response:
            if response.status != 200:
                raise WatchError(f"{response.status} {(await response.text())[:300]}")
            while True:
                async with asyncio.timeout_at(deadline):
                    line = await response.content.readline()
                if not line and loop.time() < time_is_over - 1:
                    raise WatchError("ended before its time")
                if not line:
                    return
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield _text(event["object"], self.target.key)
                elif event["type"] == "DELETED":
                    yield None
                elif event["type"] == "ERROR":
                    raise WatchError(str(event["object"].get("message")))

    async def _request(self) -> aiohttp.ClientResponse:
        # Not by CoreV1Api: the import of its models takes 130 MB and seconds, in every gateway.
        path = f"/api/v1/namespaces/{self.target.namespace}/configmaps"
        selector = quote(f"metadata.name={self.target.name}")
        query = f"?watch=true&fieldSelector={selector}&timeoutSeconds={self.seconds}"
        headers = {"Accept": "application/json"}
        await self.api.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
        url = self.api.configuration.host + path + query
        answer = await self.api.call_api("GET", url, headers, _preload_content=False)
        return answer.response


def _text(config_map: dict[str, Any], key: str) -> str | None:
    return (config_map.get("data") or {}).get(key)
