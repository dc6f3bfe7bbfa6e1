"""The numbers of two revisions out of a real Prometheus, which scrapes what the runtime counts."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agent_runtime.telemetry.metrics import Metrics
from chatagent_operator.api.rollout import Analysis, Metric, Prometheus
from chatagent_operator.core.judging.analysis import Reading, judge
from chatagent_operator.signals.http_client import Client
from chatagent_operator.signals.prometheus import Queries
from chatagent_operator.signals.wanted import Wanted
from tests.contract.runtime.processes import Program, built
from tests.ports import free_port

pytestmark = pytest.mark.timeout(1200)  # the first of them may have to build Prometheus

CANARY, STABLE = "aaaa1111", "bbbb2222"
NAMESPACE, AGENT = "shop", "help.desk"
TURNS = 200
PATIENCE = 60.0


class PrometheusServer(Program):
    """It scrapes the targets that it starts with."""

    def __init__(self, folder: Path, targets: Sequence[Mapping[str, Any]]) -> None:
        self.port = free_port()
        scraping = {"job_name": "pods", "static_configs": targets}
        settings = {"global": {"scrape_interval": "250ms"}, "scrape_configs": [scraping]}
        config = folder / "prometheus.yml"
        config.write_text(json.dumps(settings))
        flags = [
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--scrape.discovery-reload-interval=100ms",
        ]
        super().__init__([built("prometheus"), *flags], folder / "prometheus.log")
        self.url = f"http://127.0.0.1:{self.port}"


@dataclass
class Pods:
    """What the runtimes count, each at an address of its own, and who scrapes them."""

    folder: Path
    session: aiohttp.ClientSession
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    server: PrometheusServer | None = None
    _runners: list[web.AppRunner] = field(default_factory=list[web.AppRunner])
    _targets: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def add(self, revision: str, **labels: str) -> Metrics:
        metrics = Metrics(revision)
        metrics.tool_known("look")

        async def answer(request: web.Request) -> web.Response:
            kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
            return web.Response(body=metrics.text(), headers=kind)

        app = web.Application()
        app.router.add_get("/metrics", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        self._runners.append(runner)
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        target = {"targets": [f"127.0.0.1:{listener.getsockname()[1]}"], "labels": labels}
        self._targets.append(target)
        return metrics

    async def watched(self) -> None:
        """Have a Prometheus scrape them all."""
        self.server = PrometheusServer(self.folder, self._targets)
        self.server.start()
        await self.scraped("count(count_over_time(up[1h]) >= 2)", len(self._targets))

    async def scraped(self, query: str, value: float) -> None:
        """Wait until a query gives at least that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while not (found := await self._asked(query)) or found[0] < value:
            assert loop.time() < deadline, f"{query} gives {found}, not {value}"
            await asyncio.sleep(0.05)

    async def _asked(self, query: str) -> list[float]:
        assert self.server is not None
        url = f"{self.server.url}/api/v1/query"
        try:
            async with self.session.post(url, data={"query": query}) as answer:
                answer.raise_for_status()
                result = (await answer.json())["data"]["result"]
        except aiohttp.ClientError:
            return []  # it starts
        return [float(each["value"][1]) for each in result]

    async def reading(self, *metrics: Metric) -> Reading:
        assert self.server is not None
        given = Prometheus(url=self.server.url)
        analysis = Analysis(metrics=metrics or None, prometheus=given)
        window = self.began.isoformat()
        wanted = Wanted(CANARY, STABLE, window, 30, {}, analysis, NAMESPACE, AGENT)
        at = datetime.now(UTC)
        # A scrape from before that moment may be stored between two of the queries.
        later = f"count(timestamp(up) > {at.timestamp():.3f})"
        await self.scraped(later, len(self._targets))
        async with Client() as client:
            queries = Queries(client, given, None, lambda: at)
            return await queries.read(wanted, at.isoformat())

    async def close(self) -> None:
        if self.server is not None:
            self.server.stop()
        for runner in self._runners:
            await runner.cleanup()


@pytest.fixture
async def pods(tmp_path: Path) -> AsyncIterator[Pods]:
    async with aiohttp.ClientSession() as session:
        pods = Pods(tmp_path, session)
        yield pods
        await pods.close()


def of_pod(revision: str, namespace: str = NAMESPACE) -> dict[str, str]:
    """The labels that a PodMonitor adds."""
    return {"namespace": namespace, "pod": f"{AGENT}-{revision}-7d4b9c-x2x4z"}


def count(metrics: Metrics, bad: int = 0) -> None:
    """Count turns, the last of them as bad ones."""
    for n in range(TURNS):
        metrics.request(500 if n >= TURNS - bad else 200, 0.08)
        metrics.first_token(0.02)
        metrics.tokens(100, 20)
        metrics.tool("look", "ok", 0.01)
    for _ in range(bad):
        metrics.no_answer()
        metrics.feedback("down")
        metrics.tool("look", "error", 0.01)


@pytest.mark.parametrize("labelled", [True, False], ids=["PodMonitor", "bare"])
async def test_both_revisions_are_counted_over_the_same_time(pods: Pods, labelled: bool) -> None:
    revisions = {CANARY: TURNS // 5, STABLE: 0}
    found = {each: await pods.add(each, **(of_pod(each) if labelled else {})) for each in revisions}
    stranger = await pods.add(CANARY, **of_pod(CANARY, "elsewhere"))
    await pods.watched()
    for revision, bad in revisions.items():
        count(found[revision], bad)
    count(stranger, TURNS)
    await pods.scraped('sum(agent_requests_total{namespace="elsewhere"})', TURNS)
    for revision in revisions:
        query = f'sum(agent_requests_total{{revision="{revision}",namespace!="elsewhere"}})'
        await pods.scraped(query, TURNS)

    reading = await pods.reading()
    assert reading.trouble is None
    canary, stable = reading.canary, reading.stable
    # `increase` draws a line as long as the window through what it saw: more than was counted,
    # and the shares stay.
    assert TURNS <= stable.turns < 3 * TURNS
    assert TURNS <= canary.turns < 3 * TURNS
    assert canary.errors / canary.turns == pytest.approx(0.2)
    assert canary.no_answers / canary.turns == pytest.approx(0.2)
    assert (
        canary.negative_feedback == pytest.approx(canary.feedback) == pytest.approx(canary.errors)
    )
    assert canary.tool_failures / canary.tool_calls == pytest.approx(0.2 / 1.2)
    assert stable.tool_failures == 0
    assert stable.errors == stable.no_answers == stable.negative_feedback == 0
    assert stable.tokens / stable.turns == pytest.approx(120)
    assert canary.latency.count == pytest.approx(canary.turns)
    assert 0.05 < (canary.latency.percentile(95) or 0) <= 0.1
    assert 0.01 < (stable.first_token.percentile(95) or 0) <= 0.025
    assert judge(Analysis(), reading, 1).verdict == "Failed"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(agent_nothing_total)", "the query returns no result"),
        ("0 / 0", "the query returns NaN"),
        ("1 / 0", "the query returns +Inf"),
        ("up", "the query returns 2 series; change it to return one number"),
        ("up[1m]", "the query returns a matrix; change it to return one number"),
        ("sum(", "Prometheus refused the query: bad_data: "),
        ("'text'", "the query returns a string; change it to return one number"),
    ],
)
async def test_a_query_without_a_number_says_so(pods: Pods, query: str, said: str) -> None:
    for revision in (CANARY, STABLE):
        await pods.add(revision, **of_pod(revision))
    await pods.watched()
    metric = Metric(name="mine", query=query, max=1)
    reading = await pods.reading(metric)
    assert str(reading.answers["mine"][0]).startswith(said)
    judged = judge(Analysis(metrics=(metric,), prometheus=Prometheus(url="http://p")), reading, 1)
    assert judged.verdict == "Inconclusive"


async def test_a_users_query_is_asked_for_both_revisions(pods: Pods) -> None:
    revisions = {CANARY: await pods.add(CANARY), STABLE: await pods.add(STABLE)}
    await pods.watched()
    count(revisions[CANARY])
    await pods.scraped(f'sum(agent_requests_total{{revision="{CANARY}"}})', TURNS)
    query = 'sum(increase(agent_requests_total{revision="{{revision}}"}[{{window}}])) > bool 1'
    reading = await pods.reading(Metric(name="mine", query=query, max_ratio=1.5))
    assert reading.answers["mine"] == (1.0, 0.0)
