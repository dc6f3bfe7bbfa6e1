"""HAProxy's runtime socket: one connection, one line of commands, one response."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from chatagent_operator.core.routing.haproxy import FRONTEND
from chatagent_operator.gateway.haproxy_state import (
    HAProxyState,
    UnreadableAnswerError,
    parse_requests,
    parse_resync,
    parse_state,
    state_queries,
)

_TIMEOUT_SECONDS = 5.0
# Responses of commands that succeeded; every other one is an error.
_ACCEPTED = ("IP changed from", "port changed from", "no need to change")


class HAProxyError(Exception):
    """HAProxy is not reachable, or rejects a command."""


@dataclass(frozen=True)
class RuntimeSocket:
    """The socket at `path`, of a process whose map of slots was read from `slots_map`."""

    path: str
    slots_map: str

    async def read_state(self) -> HAProxyState:
        """Read the state of HAProxy. Raises HAProxyError."""
        try:
            return parse_state(await self._send(state_queries(self.slots_map)))
        except UnreadableAnswerError as error:
            raise HAProxyError(f"unexpected response from HAProxy: {error}") from error

    async def is_resynced(self) -> bool:
        """Return whether the resync with the other gateways is complete. Raises HAProxyError."""
        return parse_resync(await self._send(["show peers"]))

    async def stop_listening(self) -> None:
        """Stop accepting connections. An open one is closed after its request.

        Raises HAProxyError.
        """
        await self.execute([f"shutdown frontend {FRONTEND}"])

    async def count_requests(self) -> int:
        """Count the client requests in progress. Raises HAProxyError."""
        return parse_requests(await self._send(["show sess"]))

    async def execute(self, commands: Sequence[str]) -> None:
        """Run commands in order, as one line. HAProxy serves requests between them.

        Raises HAProxyError if one is rejected; the commands after it are run nevertheless.
        """
        answer = await self._send(commands)
        rejected = [s for s in answer.splitlines() if s.strip() and not s.startswith(_ACCEPTED)]
        if rejected:
            raise HAProxyError(f"HAProxy rejected a command: {' '.join(rejected)[:300]}")

    async def _send(self, commands: Sequence[str]) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write((";".join(commands) + "\n").encode())
                    return (await reader.read()).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise HAProxyError(f"no response from HAProxy at {self.path}: {error!r}") from error
