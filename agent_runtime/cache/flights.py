"""The same question from many at once is answered once, in one process.

The first leads; the others wait for what it brings home. Whether it fails, is cancelled or brings
something that is only its own, the others lose nothing but the wait, which is bounded.
"""

from __future__ import annotations

import asyncio

from agent_runtime.domain import Answer

PATIENCE_SECONDS = 5.0


class Lead:
    """The duty to answer a question for all who wait. It ends with one call, whichever is first."""

    def __init__(self, flights: Flights, key: str) -> None:
        self._flights = flights
        self._key = key
        self.outcome: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

    def land(self, answer: Answer) -> None:
        """Give the answer to all who wait. It must be one that may be cached."""
        self._end(answer)

    def alone(self) -> None:
        """Let all who wait answer for themselves: it failed, or a tool is used."""
        self._end(None)

    def abandon(self) -> None:
        """Let one of those who wait lead: whoever asked has gone away."""
        if not self.outcome.done():
            self.outcome.cancel()
        self._flights.ended(self._key, self)

    def _end(self, answer: Answer | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(answer)
        self._flights.ended(self._key, self)


class Flights:
    """The questions that are being answered, by the key of their scope and words."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._leads: dict[str, Lead] = {}

    async def board(self, key: str) -> Answer | Lead:
        """Return the answer of somebody who leads, or the duty to answer oneself."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while (lead := self._leads.get(key)) is not None:
            left = deadline - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait([lead.outcome], timeout=max(0.0, left))
            if not done:
                break  # Too slow, or lost: whoever comes now waits for this one.
            if lead.outcome.cancelled():
                continue
            return lead.outcome.result() or Lead(self, key)
        self._leads[key] = mine = Lead(self, key)
        return mine

    def ended(self, key: str, lead: Lead) -> None:
        """Forget a lead that is over."""
        if self._leads.get(key) is lead:
            del self._leads[key]

    def __len__(self) -> int:
        return len(self._leads)
