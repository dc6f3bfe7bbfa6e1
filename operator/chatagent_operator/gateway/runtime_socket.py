"""HAProxy's runtime socket: one line of commands, one answer, one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from chatagent_operator.core.routing.haproxy import FRONTEND
from chatagent_operator.gateway.in_force import (
    InForce,
    UnreadableAnswerError,
    questions,
    read_in_force,
    read_requests,
    read_resync,
)

_TIMEOUT_SECONDS = 5.0
# What HAProxy says when it did as told; everything else is a refusal.
_CONSENT = ("IP changed from", "port changed from", "no need to change")


class HAProxyError(Exception):
    """HAProxy cannot be reached, or refuses a command."""


@dataclass(frozen=True)
class RuntimeSocket:
    """The socket at `path`, of a process whose map of slots was read from `slots_map`."""

    path: str
    slots_map: str

    async def in_force(self) -> InForce:
        """What HAProxy does now. Raises HAProxyError."""
        try:
            return read_in_force(await self._ask(questions(self.slots_map)))
        except UnreadableAnswerError as error:
            raise HAProxyError(f"HAProxy answered something else: {error}") from error

    async def is_resynced(self) -> bool:
        """Whether it has the other gateways' pins, or asks no more. Raises HAProxyError."""
        return read_resync(await self._ask(["show peers"]))

    async def stop_listening(self) -> None:
        """Take no more connections. One that is open ends with its request.

        Raises HAProxyError.
        """
        await self.execute([f"shutdown frontend {FRONTEND}"])

    async def requests(self) -> int:
        """Requests of clients that are under way. Raises HAProxyError."""
        return read_requests(await self._ask(["show sess"]))

    async def execute(self, commands: Sequence[str]) -> None:
        """Run commands in their order, as one line. HAProxy serves requests between them.

        Raises HAProxyError where one is refused; those after it have been run all the same.
        """
        answer = await self._ask(commands)
        refused = [s for s in answer.splitlines() if s.strip() and not s.startswith(_CONSENT)]
        if refused:
            raise HAProxyError(f"HAProxy refused: {' '.join(refused)[:300]}")

    async def _ask(self, commands: Sequence[str]) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write((";".join(commands) + "\n").encode())
                    return (await reader.read()).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise HAProxyError(f"no answer at {self.path}: {error!r}") from error
