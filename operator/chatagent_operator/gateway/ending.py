"""How a gateway pod ends: it takes no more connections, and goes when the last request is through.

HAProxy's own soft stop comes only then, for what idle connections bring in that moment: it leaves
its peers at once, and conversations whose first answer is still under way would be remembered
nowhere.
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

_LOOK_SECONDS = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """The end of one pod. HAProxy's container says that it ends, waits for this to be done, and is
    stopped then. A sidecar that ends alone, to be started again, leaves HAProxy as it is."""

    socket: RuntimeSocket
    linger_seconds: float = LINGER_SECONDS
    drain_seconds: float = DRAIN_SECONDS

    async def wait(self) -> None:
        """Returns once HAProxy may be stopped."""
        # The node goes on sending connections until it knows that the pod ends.
        await asyncio.sleep(self.linger_seconds)
        folder = Path(self.socket.path).parent
        if not (folder / ENDING_FILE).exists():
            log.info("only the sidecar ends; HAProxy goes on with what it has")
            return
        try:
            await self.socket.stop_listening()
            async with asyncio.timeout(self.drain_seconds):
                await self._empty()
        except (HAProxyError, TimeoutError) as error:
            log.warning("not all requests came to their end: %r", error)
        (folder / ENDED_FILE).touch()

    async def _empty(self) -> None:
        while True:
            if not await self.socket.requests():
                return
            await asyncio.sleep(_LOOK_SECONDS)
