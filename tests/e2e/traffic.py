"""People who talk to an agent all the while: conversations of several turns, from several clients.

Each turn opens a connection of its own, so that turns of a conversation meet all gateway pods, and
the next turn follows at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import aiohttp

TURNS = 3
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as its client saw it."""

    at: float
    """When it was sent, on the clock of time.time."""
    seconds: float
    conversation: int
    status: int
    """0: there was no answer."""
    revision: str
    error: str = ""


@dataclass
class Traffic:
    """Talks from entering to leaving it, or until so many turns were had."""

    url: str
    questions: Sequence[str]
    clients: int = 4
    pause: float = 0.0
    """Seconds between two turns of a client."""
    most: int = 100_000
    turns: list[Turn] = field(default_factory=list[Turn])
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _conversations: int = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join(SECONDS + 10)

    @property
    def failed(self) -> list[Turn]:
        """Turns that were not answered as they should."""
        return [turn for turn in self.turns if turn.status != 200]

    def flips(self, within: float = float("inf")) -> int:
        """Conversations that were answered by more than one revision before this time."""
        seen: defaultdict[int, set[str]] = defaultdict(set)
        for turn in self.turns:
            if turn.status == 200 and turn.at + turn.seconds < within:
                seen[turn.conversation].add(turn.revision)
        return sum(len(revisions) > 1 for revisions in seen.values())

    def openings(self) -> dict[int, Turn]:
        """The first turn of each conversation."""
        first: dict[int, Turn] = {}
        for turn in self.turns:
            first.setdefault(turn.conversation, turn)
        return first

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(self._client(session, n) for n in range(self.clients)))

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        while not self._over.is_set() and len(self.turns) < self.most:
            self._conversations += 1
            conversation, name = self._conversations, None
            for _ in range(TURNS):
                name = await self._turn(session, conversation, name, number)
                number += 1
                if self.pause:
                    await asyncio.sleep(self.pause)

    async def _turn(
        self, session: aiohttp.ClientSession, conversation: int, name: str | None, number: int
    ) -> str | None:
        question = self.questions[number % len(self.questions)]
        body = {"messages": [{"role": "user", "content": question}]}
        headers = {"X-Conversation-ID": name} if name else {}
        began, clock = time.time(), time.perf_counter()
        status, revision, error = 0, "", ""
        try:
            async with session.post(
                f"{self.url}/v1/chat/completions", json=body, headers=headers
            ) as answer:
                text = await answer.text()
                status, revision = answer.status, answer.headers.get("X-Agent-Revision", "")
                name = answer.headers.get("X-Conversation-ID", name)
                error = "" if status == 200 else text[:200]
        except (aiohttp.ClientError, TimeoutError) as failure:
            error = repr(failure)
        took = time.perf_counter() - clock
        self.turns.append(Turn(began, took, conversation, status, revision, error))
        return name
