"""Which weights are in force in an agent's gateway, and whom it reaches: its pods are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from chatagent_operator.core.applied import Applied, PodAnswer, common, read_answer
from chatagent_operator.core.gateway import SYNC_PORT

TIMEOUT_SECONDS = 1.0


class Gateways:
    """Asks the sidecars of gateways over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, port: int = SYNC_PORT) -> None:
        self._session = session
        self._port = port

    async def in_force(self, pods: Mapping[str, str | None]) -> Applied:
        """What all of these pods follow and reach, in a second at most.

        Args:
            pods: the gateway's ready pods, name → IP. One without an IP counts as silent.
        """
        answers = await asyncio.gather(*(self._ask(ip) for ip in pods.values()))
        return common(dict(zip(pods, answers, strict=True)))

    async def _ask(self, ip: str | None) -> PodAnswer | None:
        if not ip:
            return None
        url = f"http://{f'[{ip}]' if ':' in ip else ip}:{self._port}/applied"
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with self._session.get(url, timeout=timeout) as answer:
                body: Any = await answer.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return None
        return read_answer(body)
