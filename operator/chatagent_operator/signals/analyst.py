"""Reads the metrics of canaries and stable revisions in the background, one task for each agent.

A reconciliation requests measurements and uses the newest reading. It waits neither for pods nor
for Prometheus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from prometheus_client import CollectorRegistry, Counter

from chatagent_operator.api.pods import SecretKeyRef
from chatagent_operator.api.status import WindowStatus
from chatagent_operator.core.agent import PORT
from chatagent_operator.core.judging.analysis import Reading
from chatagent_operator.core.names import Key
from chatagent_operator.core.rollout.times import elapsed
from chatagent_operator.signals.http_client import Client
from chatagent_operator.signals.prometheus import Queries
from chatagent_operator.signals.scrape import Scrape
from chatagent_operator.signals.wanted import Source, Wanted

__all__ = ["Analyst", "Wanted"]

_log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(eq=False)
class _Watch:
    """The measurements of one window of one agent."""

    wanted: Wanted
    task: asyncio.Task[None] | None = None
    reading: Reading | None = None
    kept: WindowStatus | None = None
    """What another replica continues the window with."""


class Analyst:
    """Runs a task for each agent that is measured."""

    def __init__(
        self,
        pods: Client,
        prometheus: Client,
        mark: Callable[[Key], None],
        token: Callable[[Key, SecretKeyRef], Awaitable[str | None]],
        now: Callable[[], datetime] = _now,
        registry: CollectorRegistry | None = None,
        port: int = PORT,
    ) -> None:
        """
        Args:
            pods: sends requests to pods.
            prometheus: sends requests to the Prometheus that a spec names.
            mark: called for each new reading.
            token: reads a key of a Secret; returns None if it does not exist.
            now: the clock.
            registry: registers the counter of failures.
            port: port of the pods' metrics.
        """
        self._pods = pods
        self._prometheus = prometheus
        self._mark = mark
        self._token = token
        self._now = now
        self._port = port
        self._watches: dict[Key, _Watch] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._failures = Counter(
            "chatagent_operator_analysis_failures",
            "Readings that failed because of an internal error",
            registry=registry,
        )

    def want(self, key: Key, wanted: Wanted | None) -> None:
        """Request measurements from now on; None: stop them.

        A request for the same window only updates addresses and limits. Another window restarts.
        """
        watch = self._watches.get(key)
        if watch and wanted and _window(watch.wanted) == _window(wanted):
            watch.wanted = wanted
            return
        if watch:
            self._end(self._watches.pop(key))
        if wanted:
            watch = self._watches[key] = _Watch(wanted)
            watch.task = asyncio.create_task(self._measure(key, watch))

    def reading(self, key: Key) -> Reading | None:
        """Return the newest reading of the current window, if there is one."""
        watch = self._watches.get(key)
        return watch.reading if watch else None

    def window(self, key: Key, window: str | None) -> WindowStatus | None:
        """Return what another replica continues a window with, once it has begun."""
        watch = self._watches.get(key)
        return watch.kept if watch and watch.wanted.window == window else None

    async def close(self) -> None:
        """End all tasks."""
        for key in list(self._watches):
            self._end(self._watches.pop(key))
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, watch: _Watch) -> None:
        if watch.task:
            watch.task.cancel()
            self._ending.add(watch.task)
            watch.task.add_done_callback(self._ending.discard)

    async def _measure(self, key: Key, watch: _Watch) -> None:
        """Take a reading every interval, the first one an interval after the window started, or
        after the last measurement that another replica took in it."""
        source = self._source(key, watch.wanted)
        began_at = ""
        next_at = asyncio.get_running_loop().time()
        while True:
            wait = watch.wanted.interval
            try:
                if began_at:
                    read = watch.reading = await source.read(watch.wanted, self._at())
                    turns = f"{read.canary.turns:g} and {read.stable.turns:g} turns"
                    result = read.trouble or f"{turns} of it and the stable revision"
                    _log.info("%s/%s: measured %s: %s", *key, watch.wanted.canary, result)
                else:
                    now, kept = self._at(), watch.wanted.kept
                    if await source.begin(watch.wanted) and kept:
                        began_at = kept.began_at
                        wait = self._find_wait(watch.wanted, began_at)
                    else:
                        began_at = now
                watch.kept = source.keep(watch.wanted, began_at)
                self._mark(key)
            except Exception:
                self._failures.inc()
                _log.exception("%s/%s: the metrics could not be read", *key)
            now = asyncio.get_running_loop().time()
            next_at = max(next_at + wait, now)
            await asyncio.sleep(next_at - now)

    def _find_wait(self, wanted: Wanted, began_at: str) -> float:
        """Return the seconds until the next reading. A time in the future counts as now."""
        now = self._at()
        times = (began_at, wanted.measured_at or began_at)
        passed = min(max(0.0, elapsed(each, now)) for each in times)
        return max(0.0, wanted.interval - passed)

    def _source(self, key: Key, wanted: Wanted) -> Source:
        prometheus = wanted.analysis.prometheus
        if prometheus is None:
            return Scrape(self._pods, lambda: self._now().timestamp(), self._port)
        secret = prometheus.token_secret_ref
        token = partial(self._token, key, secret) if secret else None
        return Queries(self._prometheus, prometheus, token, self._now)

    def _at(self) -> str:
        return self._now().isoformat(timespec="seconds").replace("+00:00", "Z")


def _window(wanted: Wanted) -> tuple[object, ...]:
    """Return what identifies a window: readings of different windows are not comparable."""
    return wanted.canary, wanted.stable, wanted.window, wanted.analysis.prometheus
