"""Shutdown of a gateway pod: it stops accepting connections and ends after the last request.

HAProxy's own soft stop follows only then, for requests that arrive on idle connections meanwhile.
It disconnects from its peers immediately, so that conversations whose first response is still in
progress would be lost.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from chatagent_operator.core.routing.haproxy import (
    DRAIN_SECONDS,
    ENDED_FILE,
    ENDING_FILE,
    LINGER_SECONDS,
)
from chatagent_operator.gateway.runtime_socket import HAProxyError, RuntimeSocket

_POLL_SECONDS = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """Shutdown of one pod. HAProxy's container announces it, waits until it is complete, and is
    stopped then. A sidecar that is restarted alone leaves HAProxy as it is."""

    socket: RuntimeSocket
    linger_seconds: float = LINGER_SECONDS
    drain_seconds: float = DRAIN_SECONDS

    async def wait(self) -> None:
        """Wait until HAProxy may be stopped."""
        # Nodes send new connections until they know that the pod is terminating.
        await asyncio.sleep(self.linger_seconds)
        folder = Path(self.socket.path).parent
        if not (folder / ENDING_FILE).exists():
            log.info("only the sidecar is being terminated; HAProxy continues unchanged")
            return
        try:
            await self.socket.stop_listening()
            async with asyncio.timeout(self.drain_seconds):
                await self._wait_for_requests()
        except (HAProxyError, TimeoutError) as error:
            log.warning("stopping HAProxy before all requests have ended: %r", error)
        (folder / ENDED_FILE).touch()

    async def _wait_for_requests(self) -> None:
        while True:
            if not await self.socket.count_requests():
                return
            await asyncio.sleep(_POLL_SECONDS)
