"""The tasks that measure: a window each, never in the way of anybody, hard to stop by accident."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from agent_runtime.telemetry.metrics import Metrics
from chatagent_operator.api.pods import SecretKeyRef
from chatagent_operator.api.rollout import Analysis, Prometheus
from chatagent_operator.core.judging.analysis import Reading
from chatagent_operator.core.names import Key
from chatagent_operator.signals.analyst import Analyst, Wanted
from chatagent_operator.signals.http_client import Client
from chatagent_operator.signals.scrape import Scrape

KEY: Key = ("shop", "help")
WANTED = Wanted(
    canary="canary",
    stable="stable",
    window="2026-01-01T00:00:00Z",
    interval=0.02,
    addresses={"canary": ("127.0.0.1",), "stable": ("127.0.0.2",)},
    analysis=Analysis(),
    namespace="shop",
    agent="help",
)
SECONDS = 20.0


NOW = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


@dataclass
class Bench:
    """An analyst with a canary and a stable pod."""

    analyst: Analyst
    registry: CollectorRegistry
    canary: Metrics = field(default_factory=lambda: Metrics("canary"))
    stable: Metrics = field(default_factory=lambda: Metrics("stable"))
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    marked: asyncio.Queue[Key] = field(default_factory=asyncio.Queue[Key])
    now: datetime = NOW

    async def metrics(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.asked.set()
        ip = request.transport.get_extra_info("sockname")[0]
        return web.Response(body=(self.canary if ip == "127.0.0.1" else self.stable).text())

    async def next(self) -> Reading:
        """The first reading that begins from now on."""
        async with asyncio.timeout(SECONDS):
            while not self.marked.empty():
                self.marked.get_nowait()
            assert await self.marked.get() == KEY
            assert await self.marked.get() == KEY
        reading = self.analyst.reading(KEY)
        assert reading is not None
        return reading

    async def begun(self) -> None:
        """Until the window has its baseline."""
        async with asyncio.timeout(SECONDS):
            await self.marked.get()

    async def is_quiet(self) -> None:
        """Check that no reading is taken now."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await self.marked.get()

    async def restart(self, wanted: Wanted, **changes: Any) -> Wanted:
        """Let another replica go on with what is stored."""
        kept = self.analyst.window(KEY, wanted.window)
        await self.analyst.close()
        while not self.marked.empty():
            self.marked.get_nowait()
        again = replace(wanted, kept=kept, **changes)
        self.analyst.want(KEY, again)
        return again

    def failures(self) -> float | None:
        return self.registry.get_sample_value("chatagent_operator_analysis_failures_total")


async def no_token(key: Key, secret: SecretKeyRef) -> str | None:
    return None


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    registry = CollectorRegistry()
    with socket.create_server(("0.0.0.0", 0)) as listener:
        async with Client() as client:
            marks: list[Bench] = []
            analyst = Analyst(
                client,
                client,
                lambda key: marks[0].marked.put_nowait(key),
                no_token,
                lambda: made.now,
                registry=registry,
                port=listener.getsockname()[1],
            )
            made = Bench(analyst, registry)
            marks.append(made)
            app = web.Application()
            app.router.add_get("/metrics", made.metrics)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.SockSite(runner, listener).start()
            yield made
            await analyst.close()
            await runner.cleanup()


async def test_a_reading_is_the_increase_since_the_window_began(bench: Bench) -> None:
    bench.canary.request(500, 0.1)
    bench.analyst.want(KEY, WANTED)
    assert bench.analyst.reading(KEY) is None
    await bench.begun()
    for code in (200, 500):
        bench.canary.request(code, 0.1)
    bench.stable.request(200, 0.1)
    reading = await bench.next()
    assert reading.trouble is None
    assert (reading.canary.turns, reading.canary.errors) == (2, 1)
    assert (reading.stable.turns, reading.window) == (1, WANTED.window)


async def test_the_baseline_is_taken_at_once_and_the_first_reading_after_an_interval(
    bench: Bench,
) -> None:
    bench.analyst.want(KEY, replace(WANTED, interval=3600))
    await bench.begun()
    assert bench.asked.is_set()
    assert bench.analyst.window(KEY, WANTED.window) is not None, "which is to be stored"
    assert bench.analyst.window(KEY, "another") is None
    assert bench.analyst.reading(KEY) is None
    assert bench.marked.empty()


async def test_wanting_the_same_again_keeps_the_window(bench: Bench) -> None:
    bench.analyst.want(KEY, WANTED)
    await bench.begun()
    bench.canary.request(200, 0.1)
    await bench.next()
    bench.analyst.want(KEY, replace(WANTED, addresses={"canary": (), "stable": ("127.0.0.2",)}))
    assert bench.analyst.reading(KEY) is not None
    reading = await bench.next()
    assert reading.canary.turns == 1
    assert reading.trouble == "the new revision has no pods"


async def test_a_new_window_starts_from_0(bench: Bench) -> None:
    bench.analyst.want(KEY, WANTED)
    await bench.begun()
    bench.canary.request(200, 0.1)
    assert (await bench.next()).canary.turns == 1
    later = replace(WANTED, window="2026-01-01T01:00:00Z")
    bench.analyst.want(KEY, later)
    assert bench.analyst.reading(KEY) is None
    reading = await bench.next()
    assert (reading.canary.turns, reading.window) == (0, later.window)


async def test_a_window_that_is_no_longer_wanted_ends(bench: Bench) -> None:
    bench.analyst.want(KEY, WANTED)
    await bench.next()
    bench.analyst.want(KEY, None)
    bench.analyst.want(KEY, None)
    assert bench.analyst.reading(KEY) is None
    await bench.analyst.close()
    while not bench.marked.empty():
        bench.marked.get_nowait()
    assert not [task for task in asyncio.all_tasks() if "_measure" in str(task.get_coro())]


async def test_an_internal_error_is_counted_and_followed_by_the_next_reading(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Scrape.read
    errors = [RuntimeError("broken"), RuntimeError("broken")]

    async def broken(self: Scrape, wanted: Wanted, at: str) -> Reading:
        if errors:
            raise errors.pop()
        return await whole(self, wanted, at)

    monkeypatch.setattr(Scrape, "read", broken)
    bench.analyst.want(KEY, WANTED)
    assert (await bench.next()).trouble is None
    assert bench.failures() == 2


async def test_a_prometheus_that_hangs_delays_no_other_agent(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        slow = replace(WANTED, analysis=Analysis(prometheus=Prometheus(url=url)))
        bench.analyst.want(("shop", "slow"), slow)
        await bench.begun()
        bench.analyst.want(KEY, WANTED)
        assert (await bench.next()).trouble is None
        assert bench.analyst.reading(("shop", "slow")) is None


async def test_a_configured_prometheus_is_queried(bench: Bench) -> None:
    named = Prometheus(url="http://127.0.0.1:1", token_secret_ref=SecretKeyRef(name="p", key="k"))
    bench.analyst.want(KEY, replace(WANTED, analysis=Analysis(prometheus=named)))
    assert "tokenSecretRef" in str((await bench.next()).trouble)


async def test_a_window_survives_nine_restarts(bench: Bench) -> None:
    """Each comes before the next reading is due, and turns go on while nobody leads."""
    wanted = replace(WANTED, interval=3600.0)
    bench.canary.request(500, 0.1)
    bench.analyst.want(KEY, wanted)
    await bench.begun()
    for number in range(9):
        bench.canary.request(500 if number % 3 else 200, 0.1)
        bench.stable.request(200, 0.1)
        bench.now += timedelta(minutes=5)
        wanted = await bench.restart(wanted)
        await bench.begun()
        assert bench.analyst.reading(KEY) is None, "none before it is due"
    bench.now += timedelta(minutes=15)
    await bench.restart(wanted)
    await bench.begun()
    await bench.begun()
    reading = bench.analyst.reading(KEY)
    assert reading is not None
    assert (reading.canary.turns, reading.canary.errors, reading.stable.turns) == (9, 6, 9)


async def test_another_replica_measures_when_it_is_due_and_not_before(bench: Bench) -> None:
    wanted = replace(WANTED, interval=3600.0)
    bench.analyst.want(KEY, wanted)
    await bench.begun()
    measured_at = (bench.now + timedelta(hours=1)).isoformat()
    bench.now += timedelta(hours=1, minutes=59)
    wanted = await bench.restart(wanted, measured_at=measured_at)
    await bench.begun()
    await bench.is_quiet()
    bench.now += timedelta(minutes=1)
    await bench.restart(wanted)
    await bench.begun()
    await bench.begun()
    assert bench.analyst.reading(KEY) is not None


async def test_a_clock_that_was_set_back_makes_it_wait_an_interval(bench: Bench) -> None:
    bench.analyst.want(KEY, WANTED)
    await bench.begun()
    future = (bench.now + timedelta(hours=1)).isoformat()
    await bench.restart(WANTED, measured_at=future)
    assert (await bench.next()).trouble is None


async def test_a_process_that_has_ended_restarts_the_window_of_both(bench: Bench) -> None:
    wanted = replace(WANTED, interval=3600.0)
    bench.analyst.want(KEY, wanted)
    await bench.begun()
    bench.stable.request(200, 0.1)
    bench.now += timedelta(hours=2)
    kept = bench.analyst.window(KEY, wanted.window)
    assert kept is not None
    assert kept.canary is not None
    gone = kept.canary.model_copy(update={"processes": ("00000000",)})
    await bench.analyst.close()
    lost = replace(wanted, kept=kept.model_copy(update={"canary": gone}))
    bench.analyst.want(KEY, lost)
    await bench.begun()
    assert bench.analyst.reading(KEY) is None, "an interval after it begins anew"
    again = bench.analyst.window(KEY, wanted.window)
    assert again is not None
    assert again.stable != kept.stable
    assert datetime.fromisoformat(again.began_at) == bench.now
    bench.now += timedelta(minutes=59)
    await bench.restart(lost, measured_at=kept.began_at)
    await bench.begun()
    await bench.is_quiet()


async def test_with_a_prometheus_a_restart_does_not_restart_the_interval(bench: Bench) -> None:
    asked = Analysis(prometheus=Prometheus(url="http://127.0.0.1:1"))
    wanted = replace(WANTED, interval=3600.0, analysis=asked)
    bench.analyst.want(KEY, wanted)
    await bench.begun()
    bench.now += timedelta(hours=1)
    await bench.restart(wanted)
    await bench.begun()
    await bench.begun()
    assert "Prometheus did not respond" in str(getattr(bench.analyst.reading(KEY), "trouble", ""))
