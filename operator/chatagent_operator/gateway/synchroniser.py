"""Reconciles HAProxy with the last valid intent: when it changes, and by a resync twice a second.

The resync finds drift: a new HAProxy process, a command that failed, a change by someone else.
HAProxy continues unchanged while this does not run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from chatagent_operator.core.routing.routes import Routes, RoutesError, parse_routes
from chatagent_operator.gateway.commands import build_synced_command, plan_commands
from chatagent_operator.gateway.haproxy_state import HAProxyState
from chatagent_operator.gateway.measures import Measures
from chatagent_operator.gateway.runtime_socket import HAProxyError, RuntimeSocket

_RESYNC_SECONDS = 0.5
_RETRY_SECONDS = 0.1  # while HAProxy is unavailable or new, so that it becomes ready soon

log = logging.getLogger(__name__)


@dataclass
class Synchroniser:
    """Reconciles one HAProxy with one intent."""

    socket: RuntimeSocket
    measures: Measures
    intent: Routes | None = None
    rejected: str | None = None
    """Why the newest routes.json is rejected."""
    state: HAProxyState | None = None
    """State of HAProxy at the last reconciliation; None while it is not reachable."""
    error: str | None = None
    """Why the intent is not applied."""
    reconciled_at: float = field(default_factory=time.monotonic)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _intent_set_at: float | None = None

    def set_intent(self, text: str | None) -> None:
        """Set a new routes.json; None if it is deleted. An invalid one changes nothing."""
        try:
            if text is None:
                raise RoutesError("routes.json is missing")
            intent = parse_routes(text)
        except RoutesError as error:
            if self.rejected != str(error):
                log.error(
                    "routes.json is rejected, the last valid intent stays in effect: %s", error
                )
                self.measures.errors.labels("intent").inc()
            self.rejected = str(error)
            return
        self.rejected = None
        if intent != self.intent:
            self.intent = intent
            self.measures.intended_generation.set(intent.generation)
            self._intent_set_at = time.monotonic()
            self._changed.set()

    @property
    def applied(self) -> bool:
        """Whether the last valid intent is applied in the current process."""
        return (
            self.intent is not None
            and self.state is not None
            and self.error is None
            and self.state.generation == self.intent.generation
        )

    @property
    def message(self) -> str:
        """The state as a sentence for people."""
        if self.rejected:
            return (
                f"routes.json is rejected, the last valid intent stays in effect: {self.rejected}"
            )
        if self.intent is None:
            return "routes.json has not been read yet"
        return self.error or ("applied" if self.applied else "not applied yet")

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            self._changed.clear()
            await self.reconcile()
            is_settled = self.state is not None and self.state.synced
            pause = _RESYNC_SECONDS if is_settled else _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def reconcile(self) -> None:
        """Reconcile once. A failure is recorded, and retried by the next reconciliation."""
        try:
            now = await self._reconcile_once()
        except HAProxyError as error:
            if self.error != str(error):
                log.error("%s", error)
                self.measures.errors.labels("haproxy").inc()
            self.error, self.state = str(error), None
            self.measures.applied_generation.set(-1)
        else:
            self.error, self.state = None, now
            self.measures.applied_generation.set(-1 if now.generation is None else now.generation)
        self.reconciled_at = time.monotonic()

    async def _reconcile_once(self) -> HAProxyState:
        now = await self.socket.read_state()
        if not now.synced and await self.socket.is_resynced():
            await self.socket.execute([build_synced_command(self.socket.slots_map)])
            log.info(
                "HAProxy process %d has received the pins of %d conversations", now.pid, now.pins
            )
            now = await self.socket.read_state()
        # The current intent is used to the end; a newer one triggers the next reconciliation.
        intent, intent_set_at = self.intent, self._intent_set_at
        if intent is None:
            return now
        commands = plan_commands(intent, now, self.socket.slots_map)
        if not commands:
            return now
        if now.generation is None:
            log.info("HAProxy process %d is new; the complete intent is applied", now.pid)
            self.measures.new_processes.inc()
        await self.socket.execute(commands)
        log.info("applied generation %d: %s", intent.generation, "; ".join(commands))
        now = await self.socket.read_state()
        if left := plan_commands(intent, now, self.socket.slots_map):
            raise HAProxyError(f"commands had no effect: {'; '.join(left)}")
        if intent_set_at is not None and intent_set_at == self._intent_set_at:
            self.measures.apply_seconds.observe(time.monotonic() - intent_set_at)
            self._intent_set_at = None
        return now
