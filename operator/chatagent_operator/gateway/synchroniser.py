"""Holds HAProxy to the last good intent: at once when it changes, and by looking twice a second.

Looking again is how a new HAProxy process, a failed command or a stranger's change is noticed.
HAProxy itself goes on with what it has while this does not run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from chatagent_operator.core.routing.routes import Routes, RoutesError, parse_routes
from chatagent_operator.gateway.commands import plan_commands, synced_command
from chatagent_operator.gateway.in_force import InForce
from chatagent_operator.gateway.measures import Measures
from chatagent_operator.gateway.runtime_socket import HAProxyError, RuntimeSocket

_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 0.1  # while HAProxy is away or new, so that it is soon ready

log = logging.getLogger(__name__)


@dataclass
class Synchroniser:
    """One HAProxy, one intent."""

    socket: RuntimeSocket
    measures: Measures
    intent: Routes | None = None
    refused: str | None = None
    """Why the newest routes.json is not the intent."""
    in_force: InForce | None = None
    """What HAProxy did when last looked at; None while it cannot be reached."""
    trouble: str | None = None
    """Why HAProxy does not do what is intended."""
    looked_at: float = field(default_factory=time.monotonic)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _offered_at: float | None = None

    def offer(self, text: str | None) -> None:
        """Take a new routes.json; None when it is gone. A bad one leaves the intent as it is."""
        try:
            if text is None:
                raise RoutesError("routes.json is missing")
            intent = parse_routes(text)
        except RoutesError as error:
            if self.refused != str(error):
                log.error("the last good intent stays in force: %s", error)
                self.measures.errors.labels("intent").inc()
            self.refused = str(error)
            return
        self.refused = None
        if intent != self.intent:
            self.intent = intent
            self.measures.intended_generation.set(intent.generation)
            self._offered_at = time.monotonic()
            self._changed.set()

    @property
    def applied(self) -> bool:
        """Whether the present process does what the last good intent says."""
        return (
            self.intent is not None
            and self.in_force is not None
            and self.trouble is None
            and self.in_force.generation == self.intent.generation
        )

    @property
    def message(self) -> str:
        """For people: what is wrong, or that nothing is."""
        if self.refused:
            return f"refused, the last good intent stays in force: {self.refused}"
        if self.intent is None:
            return "no intent has been read yet"
        return self.trouble or ("in force" if self.applied else "not yet in force")

    async def run(self) -> None:
        """Look and apply until cancelled."""
        while True:
            self._changed.clear()
            await self.look()
            is_settled = self.in_force is not None and self.in_force.synced
            pause = _LOOK_SECONDS if is_settled else _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """One pass. What goes wrong is remembered and tried again by the next one."""
        try:
            now = await self._pass()
        except HAProxyError as error:
            if self.trouble != str(error):
                log.error("%s", error)
                self.measures.errors.labels("haproxy").inc()
            self.trouble, self.in_force = str(error), None
            self.measures.applied_generation.set(-1)
        else:
            self.trouble, self.in_force = None, now
            self.measures.applied_generation.set(-1 if now.generation is None else now.generation)
        self.looked_at = time.monotonic()

    async def _pass(self) -> InForce:
        now = await self.socket.in_force()
        if not now.synced and await self.socket.is_resynced():
            await self.socket.execute([synced_command(self.socket.slots_map)])
            log.info("HAProxy process %d holds %d conversations", now.pid, now.pins)
            now = await self.socket.in_force()
        # The intent of this moment, to the end of the pass; a newer one starts the next.
        intent, offered_at = self.intent, self._offered_at
        if intent is None:
            return now
        commands = plan_commands(intent, now, self.socket.slots_map)
        if not commands:
            return now
        if now.generation is None:
            log.info("HAProxy process %d has no intent yet", now.pid)
            self.measures.new_processes.inc()
        await self.socket.execute(commands)
        log.info("generation %d: %s", intent.generation, "; ".join(commands))
        now = await self.socket.in_force()
        if left := plan_commands(intent, now, self.socket.slots_map):
            raise HAProxyError(f"these had no effect: {'; '.join(left)}")
        if offered_at is not None and offered_at == self._offered_at:
            self.measures.apply_seconds.observe(time.monotonic() - offered_at)
            self._offered_at = None
        return now
