"""Reads from `/readyz` why running pods are not ready, and what ready ones lack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.trouble import Trouble, parse_readiness
from chatagent_operator.core.untrusted import parse_object
from chatagent_operator.signals.http_client import Client, NoResponseError, build_url

TIMEOUT_SECONDS = 0.5
"""An abort waits for the reconciliation in progress, and so for this."""

GOOD_SECONDS = 20.0
"""How long a ready pod that lacks nothing is not asked again."""

_NEVER = float("-inf")


class Readiness:
    """Reads the readiness of pods over HTTP."""

    def __init__(
        self, client: Client, port: int = PORT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._port = port
        self._clock = clock
        self._good: dict[Key, dict[str, float]] = {}
        """When each ready pod of an agent last lacked nothing."""

    def forget(self, key: Key) -> None:
        """Forget an agent that was deleted."""
        self._good.pop(key, None)

    async def ask(self, key: Key, observed: Observed) -> Mapping[str, Trouble]:
        """Return the trouble of each running pod that is not ready or lacks something, by its name.

        A pod that is not ready is asked each time, a ready one that lacks nothing now and then.
        """
        now, before = self._clock(), self._good.get(key, {})
        running = observed.pods(names.ROLE_AGENT)
        # One that just became ready lacks nothing: no decision has to wait for its answer.
        good = {child.name: before.get(child.name, now) for child, pod in running if pod.ready}
        asked = [
            (child.name, pod.ip)
            for child, pod in running
            if pod.running and pod.ip and now - good.get(child.name, _NEVER) >= GOOD_SECONDS
        ]
        answers = await asyncio.gather(*(self._ask(ip) for _, ip in asked))
        found = {name: answer for (name, _), answer in zip(asked, answers, strict=True)}
        good |= {name: _NEVER if found[name] else now for name in found if name in good}
        self._good[key] = good
        return {name: trouble for name, trouble in found.items() if trouble}

    async def _ask(self, ip: str) -> Trouble | None:
        try:
            _, body = await self._client.fetch(
                build_url(ip, self._port, "/readyz"), TIMEOUT_SECONDS
            )
        except NoResponseError:
            return None  # it responds later, or fails its liveness probe
        report = parse_object(body)
        return None if report is None else parse_readiness(report)
