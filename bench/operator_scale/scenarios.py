"""What is done to a contestant, one thing after the other, and what that came to."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.operator_scale.audit import (
    Call,
    by_verb_and_resource,
    first_child_writes,
    percentile,
    strays,
)
from bench.operator_scale.client import Client
from bench.operator_scale.cluster import USER, Cluster
from bench.operator_scale.contestants import Contestant
from bench.operator_scale.fleet import Fleet, until
from bench.operator_scale.process import Process
from dev.credentials import ADMIN

ONE_AT_A_TIME = 20
CHANGED = 100
CHANGED_MEANWHILE = 5
QUIET_SECONDS, LONGEST_TAIL = 5.0, 90.0
SORTS = ("write", "Event", "read", "list", "watch")

Value = float | None
"""None: it did not come to that in time."""


@dataclass(frozen=True)
class Limits:
    """Seconds after which something is given up."""

    burst: float = 900
    change: float = 600
    restart: float = 300
    single: float = 15
    idle: float = 60


@dataclass
class Outcome:
    """Of one run of one contestant."""

    values: dict[str, Value] = field(default_factory=dict[str, Value])
    calls: Counter[str] = field(default_factory=Counter[str])
    """Of the burst, by verb and resource."""
    idle: Counter[str] = field(default_factory=Counter[str])
    load: tuple[float, float] = (0, 0)
    """The machine's load average before and after the burst."""


class Run:
    """One contestant, with one number of agents, on one new cluster."""

    def __init__(
        self, contestant: Contestant, cluster: Cluster, client: Client, limits: Limits
    ) -> None:
        self._contestant = contestant
        self._cluster = cluster
        self._limits = limits
        self._fleet = Fleet(client, contestant)
        self.outcome = Outcome()

    async def all(self, count: int) -> Outcome:
        """Everything, in order. What needs the burst to be through is left out where it is not."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._fleet.follow())
            names = await self._fleet.prepare(count)
            self._process = await self._start()
            try:
                await self._settle()
                if await self._burst(names):
                    await self._one_at_a_time()
                    await self._idle()
                    await self._change(names[:CHANGED])
                    await self._restart(names[:CHANGED_MEANWHILE])
            finally:
                self._process.stop()
                following.cancel()
        return self.outcome

    async def _burst(self, names: Sequence[str]) -> bool:
        values, before, began = self.outcome.values, self._process.cpu, time.time()
        load = os.getloadavg()[0]
        await self._fleet.create(names)
        rest = self._limits.burst - (time.time() - began)
        done = await until(lambda: self._fleet.ready(names) == len(names), rest)
        values["burst ready"] = None if done is None else time.time() - began
        values["burst unready"] = len(names) - self._fleet.ready(names)
        await self._settle()
        values["burst CPU"] = 1000 * (self._process.cpu - before) / len(names)
        values["burst memory"] = self._process.peak_memory
        calls = self._calls(began)
        self._first_writes("burst", calls, self._asked(began))
        for sort in SORTS:
            values[f"burst {sort}"] = sum(call.sort == sort for call in calls) / len(names)
        values["burst calls"] = len(calls) / len(names)
        parents = self._contestant.parents
        children = {
            (call.resource.partition("/")[0], call.name)
            for call in calls
            if call.owner and call.is_child_write(parents)
        }
        values["children"] = len(children) / len(names)
        self.outcome.calls = by_verb_and_resource(calls)
        self.outcome.load = load, os.getloadavg()[0]
        return done is not None

    async def _one_at_a_time(self) -> None:
        names = await self._fleet.prepare(ONE_AT_A_TIME)
        await self._settle()
        began = time.time()
        for name in names:
            await self._fleet.create([name])
            await until(lambda name=name: self._fleet.ready([name]) == 1, self._limits.single)
        await self._settle()
        self._first_writes("single", self._calls(began), self._asked(began))

    async def _idle(self) -> None:
        began, before = time.time(), self._process.cpu
        await asyncio.sleep(self._limits.idle)
        calls = self._calls(began)
        self.outcome.values["idle calls"] = len(calls)
        self.outcome.values["idle CPU"] = 1000 * (self._process.cpu - before)
        self.outcome.idle = by_verb_and_resource(calls)

    async def _change(self, names: Sequence[str]) -> None:
        values, began = self.outcome.values, time.time()
        before = await self._fleet.change(names)
        rest = self._limits.change - (time.time() - began)
        done = await until(lambda: self._fleet.rolled_out(before) == len(names), rest)
        values["change done"] = None if done is None else time.time() - began
        values["change undone"] = len(names) - self._fleet.rolled_out(before)
        await self._settle()
        self._first_writes("change", self._calls(began), self._asked(began))

    async def _restart(self, names: Sequence[str]) -> None:
        values, patience = self.outcome.values, self._limits.restart
        await asyncio.to_thread(self._process.stop)
        before = await self._fleet.change(names)
        began = time.time()
        self._process = await self._start()

        def handled() -> dict[str, float]:
            since = dict.fromkeys(names, began)
            return first_child_writes(self._calls(began), self._contestant.parents, since)

        rest = patience - (time.time() - began)
        await until(lambda: len(handled()) == len(names), rest, every=0.5)
        found = handled()
        values["restart first"] = min(found.values(), default=None)
        values["restart all"] = max(found.values()) if len(found) == len(names) else None
        rest = patience - (time.time() - began)
        done = await until(lambda: self._fleet.rolled_out(before) == len(names), rest)
        values["restart done"] = None if done is None else time.time() - began
        await self._settle()
        calls = self._calls(began)
        values["restart calls"] = len(calls)
        values["restart others"] = sum(call.owner not in names for call in calls)
        values["restart lists"] = sum(call.sort == "list" for call in calls)
        values["restart strays"] = len(strays(calls, names))
        values["restart CPU"] = self._process.cpu
        values["restart memory"] = self._process.memory
        values["restart peak"] = self._process.peak_memory

    async def _start(self) -> Process:
        return await asyncio.to_thread(self._contestant.start, self._cluster)

    async def _settle(self) -> None:
        """Wait until the contestant asks nothing any more, but for a lease."""
        began = time.time()

        def is_quiet() -> bool:
            since = max(began, time.time() - QUIET_SECONDS)
            recent = (call for call in self._calls(since) if call.resource != "leases")
            return time.time() - began > QUIET_SECONDS and not any(recent)

        await until(is_quiet, LONGEST_TAIL, every=0.5)

    def _calls(self, since: float) -> list[Call]:
        """The contestant's."""
        calls = self._cluster.audit.read()
        return [call for call in calls if call.user == USER.name and call.ended >= since]

    def _asked(self, since: float) -> dict[str, float]:
        """When the API server had stored what people did to each agent."""
        return {
            call.name: call.ended
            for call in self._cluster.audit.read()
            if call.user == ADMIN.name
            and call.ended >= since
            and call.resource == self._contestant.parents
        }

    def _first_writes(self, what: str, calls: list[Call], asked: dict[str, float]) -> None:
        found = first_child_writes(calls, self._contestant.parents, asked)
        seconds = [found.get(name, math.inf) for name in asked]
        for percent in (50, 99):
            value = percentile(seconds, percent)
            self.outcome.values[f"{what} p{percent}"] = value if math.isfinite(value) else None


@contextmanager
def pods_answering(cluster: Cluster) -> Generator[None]:
    """Somebody answers for all pods, in a process of its own."""
    command = [sys.executable, "-m", "bench.operator_scale.standin"]
    log = cluster.paths.logs / "standin.log"
    with log.open("ab") as out:
        child = subprocess.Popen([*command, str(cluster.paths.credentials)], stdout=out, stderr=out)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def median(values: Sequence[Value]) -> Value:
    """Of several runs; None where most of them did not come to it."""
    reached = [value for value in values if value is not None]
    return statistics.median(reached) if 2 * len(reached) > len(values) else None
