"""Leader election: of the replicas of an operator, the one that holds the Lease may write.

The leader renews the Lease. A standby polls it, and takes it once it has not changed for as long
as it says, or at once when its holder has released it. See docs/adr/0009-leader-election.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chatagent_operator.kube.errors import CONFLICT, ApiError
from chatagent_operator.kube.fence import Fence, read_clock
from chatagent_operator.kube.lease import NOT_FOUND, Lease

SHORTEST_DELAY_SECONDS = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of an election. A killed leader is replaced within `duration + poll`."""

    duration: float = 12.0
    """A Lease that has not changed for so long may be taken."""

    renew_deadline: float = 8.0
    """A leader that has not renewed for so long may not write any more."""

    retry: float = 2.0
    """Between two renewals."""

    poll: float = 1.0
    """Between two reads of a standby."""


class Election:
    """One candidate for a Lease."""

    def __init__(
        self,
        lease: Lease,
        name: str,
        identity: str,
        fence: Fence,
        timing: Timing = Timing(),
        clock: Callable[[], float] = read_clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """
        Args:
            lease: what the candidates compete for; read by the same clock.
            name: of the Lease, for messages.
            identity: of this candidate; no other process ever has the same.
            fence: opened while this candidate leads.
            timing: the same for all candidates.
            clock: counts seconds, also while the process or the machine is suspended.
            sleep: waits.
        """
        self._lease = lease
        self._name = name
        self._identity = identity
        self._fence = fence
        self._timing = timing
        self._clock = clock
        self._sleep = sleep
        self._is_leading = False
        self._is_current = False
        """The Lease is known as it is, and needs no reading before it is renewed."""
        self._trouble = ""

    async def run(self, start: Callable[[], None], stop: Callable[[], Awaitable[None]]) -> None:
        """Compete for the Lease until cancelled.

        Args:
            start: called when this candidate becomes the leader.
            stop: called when it is the leader no longer, and awaited before it tries again.
        """
        while True:
            await self.attempt()
            await self._follow(start, stop)
            await self._sleep(self.delay())
            await self._follow(start, stop)

    async def attempt(self) -> None:
        """Try once to take or to renew the Lease. A failure is logged, once for each cause."""
        trouble = ""
        try:
            await self._try()
        except ApiError as error:
            trouble = str(error)
        except Exception as error:  # nothing that is in a Lease may end the election
            trouble = repr(error)
        if trouble and trouble != self._trouble:
            what = "renew" if self._is_leading else "acquire"
            _log.warning("cannot %s the Lease %s: %s", what, self._name, trouble)
        self._trouble = trouble

    def delay(self) -> float:
        """Return seconds until the next attempt."""
        if left := self._fence.left:
            return max(SHORTEST_DELAY_SECONDS, min(self._timing.retry, left))
        expires = self._lease.expires_at(self._timing.duration) - self._clock()
        wait = min(self._timing.poll, expires) if expires > 0 else self._timing.poll
        return max(SHORTEST_DELAY_SECONDS, wait)

    async def release(self) -> None:
        """Lead no longer, and let a standby take the Lease at once. Call it when `run` has ended.

        Where the API server refuses or does not answer, the Lease expires.
        """
        holds = self._fence.left > 0
        self._fence.revoke()
        for last in (False, True) if holds else ():
            try:
                if not self._is_current:
                    await self._lease.read(self._limit)
                if self._lease.holder == self._identity:
                    await self._lease.release(self._limit)
                _log.info("released the Lease %s", self._name)
                return
            except ApiError as error:  # a renewal that was cut off may have changed it
                self._is_current = False
                if last:
                    _log.warning("cannot release the Lease %s: %s", self._name, error)

    async def _follow(self, start: Callable[[], None], stop: Callable[[], Awaitable[None]]) -> None:
        leads = self._fence.left > 0
        if leads == self._is_leading:
            return
        self._is_leading = leads
        if leads:
            _log.info("became leader: %s holds the Lease %s", self._identity, self._name)
            start()
            return
        if self._lease.holder == self._identity:
            seconds = self._timing.renew_deadline
            _log.warning("lost the Lease %s: not renewed for %.0f s", self._name, seconds)
        else:
            _log.warning("lost the Lease %s to %s", self._name, self._lease.holder or "nobody")
        await stop()

    async def _try(self) -> None:
        if self._is_current and await self._hold():
            return
        await self._lease.read(self._limit)
        if self._lease.holder not in ("", self._identity):
            self._fence.revoke()
            if self._clock() < self._lease.expires_at(self._timing.duration):
                return
        await self._hold()

    async def _hold(self) -> bool:
        """Write this candidate into the Lease. False: it may not, or another client was faster."""
        if self._is_leading and not self._fence.left:
            return False  # another may have led meanwhile: what runs is stopped first
        sent = self._clock()
        self._is_current = False
        try:
            await self._lease.hold(self._identity, self._timing.duration, self._limit)
        except ApiError as error:
            if error.status in (NOT_FOUND, CONFLICT):
                return False
            raise
        self._is_current = True
        # Counted from before it was sent: a standby counts from after it was stored.
        self._fence.extend(sent + self._timing.renew_deadline)
        return True

    @property
    def _limit(self) -> float:
        """Seconds that a request may take: two fit before a leader's deadline."""
        half = self._timing.renew_deadline / 2
        return min(half, self._fence.left or half)
