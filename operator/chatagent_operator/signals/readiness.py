"""Reads from `/readyz` why running pods are not ready."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.trouble import Trouble, parse_trouble
from chatagent_operator.core.untrusted import parse_object
from chatagent_operator.signals.answers import Client, NoResponseError, build_url

TIMEOUT_SECONDS = 0.5
"""An abort waits for the reconciliation in progress, and so for this."""

_EXPECTED = {"Starting", "Draining", "IndexMissing"}
"""Transient reasons that are not reported: a pod starts, terminates, or waits for the ingestion
Job, which has its own condition."""


class Readiness:
    """Reads the readiness of pods over HTTP."""

    def __init__(self, client: Client, port: int = PORT) -> None:
        self._client = client
        self._port = port

    async def ask(self, observed: Observed) -> Mapping[str, Trouble]:
        """Return the trouble of each running pod that is not ready, by its name."""
        waiting = [
            (child.name, pod.ip)
            for child, pod in observed.pods(names.ROLE_AGENT)
            if pod.running and not pod.ready and pod.ip
        ]
        answers = await asyncio.gather(*(self._ask(ip) for _, ip in waiting))
        return {
            name: trouble
            for (name, _), trouble in zip(waiting, answers, strict=True)
            if trouble and trouble.reason not in _EXPECTED
        }

    async def _ask(self, ip: str) -> Trouble | None:
        try:
            _, body = await self._client.fetch(
                build_url(ip, self._port, "/readyz"), TIMEOUT_SECONDS
            )
        except NoResponseError:
            return None  # it responds later, or fails its liveness probe
        report = parse_object(body)
        return None if report is None else parse_trouble(report)
