"""Reads which routes an agent's gateway has applied, and which revisions it can connect to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from chatagent_operator.core.children.gateway_pods import SYNC_PORT
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.applied_routes import (
    Applied,
    PodAnswer,
    combine_answers,
    read_answer,
)
from chatagent_operator.core.untrusted import parse_object
from chatagent_operator.signals.http_client import Client, NoResponseError, build_url

TIMEOUT_SECONDS = 1.0


class Gateways:
    """Reads the state of gateways from their sidecars, and keeps track of lagging pods."""

    def __init__(
        self,
        client: Client,
        port: int = SYNC_PORT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._port = port
        self._now = now
        self._behind: dict[Key, dict[str, float]] = {}
        """Time since which each pod lags."""

    async def find_applied(self, key: Key, pods: Mapping[str, str | None], newest: int) -> Applied:
        """Return what all gateway pods of an agent have applied and can connect to, within 1 s.

        Args:
            pods: IPs of the ready pods, by name. One without an IP does not respond.
            newest: generation of the routes that they should apply.
        """
        given = await asyncio.gather(*(self._ask(ip) for ip in pods.values()))
        answers = dict(zip(pods, given, strict=True))
        now, before = self._now(), self._behind.get(key, {})
        since = {
            name: before.get(name, now)
            for name, answer in answers.items()
            if answer is None or answer.generation < newest
        }
        self._behind[key] = since
        return combine_answers(answers, {name: now - then for name, then in since.items()})

    def reset(self) -> None:
        """Forget since when pods lag, which was not observed while another replica led."""
        self._behind.clear()

    def forget(self, key: Key) -> None:
        """Forget the lagging pods of an agent whose gateway is not waited for any more."""
        self._behind.pop(key, None)

    async def _ask(self, ip: str | None) -> PodAnswer | None:
        if not ip:
            return None
        url = build_url(ip, self._port, "/applied")
        try:
            _, body = await self._client.fetch(url, TIMEOUT_SECONDS)
        except NoResponseError:
            return None
        fields = parse_object(body)
        return None if fields is None else read_answer(fields)
