"""The fence: refuses a write of a process that may not be the leader any more.

It is checked where a request begins and once more before its bytes go to the socket, because
waiting for a connection, a proxy look-up or a paused process may lie between the two.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp

from chatagent_operator.kube.errors import NotLeaderError

LEASES = "/apis/coordination.k8s.io/"
"""Requests for Leases are not fenced: they are how a candidate becomes the leader."""

T = TypeVar("T")

_READS = {"GET", "HEAD", "OPTIONS"}
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_clock() -> float:
    """Return seconds on a clock that nobody sets and that counts while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class Fence:
    """Knows until when this process may write. It is closed until it is extended."""

    def __init__(self, clock: Callable[[], float] = read_clock) -> None:
        self._clock = clock
        self._until = -math.inf

    def extend(self, until: float) -> None:
        """Allow writes until a time of the clock."""
        self._until = until

    def revoke(self) -> None:
        """Refuse writes from now on."""
        self._until = -math.inf

    @property
    def left(self) -> float:
        """Seconds for which writes are still allowed; 0: none is."""
        return max(0.0, self._until - self._clock())

    def covers(self, method: str, path: str) -> bool:
        """Return whether a request is one that only the leader may send."""
        return method not in _READS and LEASES not in path

    def check(self, method: str, path: str) -> float:
        """Return the seconds that a request may take; infinity for one that is not fenced.

        Raises:
            NotLeaderError: it is a write, and this process may not write.
        """
        if not self.covers(method, path):
            return math.inf
        if (left := self.left) <= 0:
            raise NotLeaderError(method, path)
        return left

    def trace(self) -> aiohttp.TraceConfig:
        """Return hooks for a client session that check each piece of a request before it is sent.

        aiohttp calls them before it writes, and sends the headers with the first piece of the body.
        """

        async def check(
            _session: aiohttp.ClientSession,
            _context: SimpleNamespace,
            sent: aiohttp.TraceRequestHeadersSentParams | aiohttp.TraceRequestChunkSentParams,
        ) -> None:
            self.check(sent.method, sent.url.path)

        config = aiohttp.TraceConfig()
        config.on_request_headers_sent.append(check)
        config.on_request_chunk_sent.append(check)
        return config


async def finish(sending: Coroutine[Any, Any, T]) -> T:
    """Await a write to its end, also where the caller is cancelled meanwhile.

    What was sent may be carried out. The Lease must not be released before that is over.
    """
    task = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
