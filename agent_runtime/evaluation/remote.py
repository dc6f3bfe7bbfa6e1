"""Asks an agent at a URL by OpenAI's API: its replies, and where it shows them, its passages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, cast

import httpx

from agent_runtime.domain import Turn
from agent_runtime.errors import AgentError, UnavailableError
from agent_runtime.evaluation.judging import AT, Cited, Observed

TIMEOUT_SECONDS = 120.0
ATTEMPTS = 3
"""How often a question is asked that the agent has no place for at the moment."""
FULL = 429
RETRY_SECONDS = 0.5
HEADERS = {"X-Agent-Evaluation": "1"}
"""Tells an agent to leave these requests out of the numbers that its users are counted in. No
conversation is named, so that each question is a new one and none is remembered."""


class Remote:
    """Open it with `async with`; what that gives is asked by calling it."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        wait: float = 0.0,
    ) -> None:
        """
        Args:
            url: with or without `/v1`.
            token: bearer token.
            wait: seconds for the agent to be there at all.
        """
        headers = HEADERS | ({"Authorization": f"Bearer {token}"} if token else {})
        base = url.rstrip("/").removesuffix("/v1")
        self._http = httpx.AsyncClient(
            base_url=f"{base}/v1/", headers=headers, timeout=TIMEOUT_SECONDS, transport=transport
        )
        self._store: str | None = None
        self._wait = wait

    async def __aenter__(self) -> Remote:
        """Find out whether the agent lets its passages be searched."""
        try:
            listed = (await self._stores()).get("data", [])
            self._store = str(listed[0]["id"]) if listed else None
        except UnavailableError:
            await self._http.aclose()
            raise
        except (AgentError, LookupError, TypeError):
            self._store = None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def __call__(self, question: str, history: Sequence[Turn]) -> Observed:
        """Ask. Raises UnavailableError or AgentError where there is no reply."""
        turns = [*history, Turn("user", question)]
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        started = time.perf_counter()
        reply = await self._send("POST", "chat/completions", {"messages": messages})
        seconds = time.perf_counter() - started
        try:
            message = reply["choices"][0]["message"]
            cited = [
                Cited(str(each["filename"]), str(each["quote"]))
                for each in message.get("annotations") or []
                if each["type"] == "file_citation"
            ]
            text = str(message["content"] or "")
        except (LookupError, TypeError) as error:
            raise AgentError(f"the reply is no chat completion: {error!r}") from error
        # What a follow-up was searched for is not known outside.
        retrieved = None if history else await self._retrieved(question)
        return Observed(text, tuple(cited), retrieved, seconds)

    async def _stores(self) -> dict[str, Any]:
        """Ask for the stores until something answers. Raises UnavailableError."""
        until = time.monotonic() + self._wait
        while True:
            try:
                return await self._send("GET", "vector_stores")
            except UnavailableError:
                if time.monotonic() >= until:
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    async def _retrieved(self, question: str) -> tuple[str, ...] | None:
        if self._store is None:
            return None
        body = {"query": question, "max_num_results": AT}
        try:
            found = await self._send("POST", f"vector_stores/{self._store}/search", body)
            return tuple(str(each["filename"]) for each in found["data"])
        except (AgentError, LookupError, TypeError):
            return None

    async def _send(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        response = await self._once(method, path, body)
        for _ in range(ATTEMPTS - 1):
            if response.status_code != FULL:
                break
            await asyncio.sleep(_seconds(response.headers.get("retry-after", "1")))
            response = await self._once(method, path, body)
        return _read(response)

    async def _once(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> httpx.Response:
        try:
            return await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise UnavailableError(f"{self._http.base_url}{path}: {what}") from error


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        body: object = response.json()
    except ValueError as error:
        raise AgentError(f"{response.url}: {response.status_code}, and no JSON") from error
    if response.is_success and isinstance(body, dict):
        return cast(dict[str, Any], body)
    raise AgentError(f"{response.url}: {response.status_code}: {response.text[:300]}")


def _seconds(header: str) -> float:
    return min(10.0, float(header)) if header.isdecimal() else 1.0
