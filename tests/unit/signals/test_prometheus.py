"""PromQL and its answers, against a stand-in of Prometheus' query API that says what a test wants.

What a real Prometheus makes of the queries is tried in tests/contract/signals.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from chatagent_operator.api.pods import SecretKeyRef
from chatagent_operator.api.rollout import Analysis, Metric, Prometheus
from chatagent_operator.api.status import MetricStatus
from chatagent_operator.core.judging.analysis import Reading, judge
from chatagent_operator.signals import prometheus
from chatagent_operator.signals.answers import Client
from chatagent_operator.signals.prometheus import Queries, fill_placeholders
from chatagent_operator.signals.wanted import Wanted

AT, BEGAN, NOW = "2026-01-01T00:01:30Z", "2026-01-01T00:00:00Z", datetime(2026, 1, 1, 0, 1, 30)
C, S = "aaaa1111", "bbbb2222"


def vector(*found: tuple[dict[str, str], float | str]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1.0, str(value)]} for labels, value in found]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@dataclass
class StandIn:
    """Answers queries by a text that they hold."""

    client: Client
    url: str = ""
    answers: dict[str, Callable[[], web.StreamResponse]] = field(
        default_factory=dict[str, Callable[[], web.StreamResponse]]
    )
    queries: list[str] = field(default_factory=list[str])
    tokens: set[str | None] = field(default_factory=set[str | None])

    def gives(self, part: str, *found: tuple[dict[str, str], float | str]) -> None:
        self.answers[part] = lambda: web.json_response(vector(*found))

    def has_counted(self) -> None:
        """100 turns of each revision, 20 errors of the canary."""
        self.gives('code!~"4.."', ({"revision": C}, 100), ({"revision": S}, 100))
        self.gives('code=~"5.."', ({"revision": C}, 20.5))
        found = [({"revision": each, "le": le}, 100) for each in (C, S) for le in ("0.1", "+Inf")]
        self.gives("agent_request_duration_seconds_bucket", *found)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = str((await request.post())["query"])
        self.queries.append(query)
        self.tokens.add(request.headers.get("Authorization"))
        for part, answer in self.answers.items():
            if part in query:
                return answer()
        return web.json_response(vector())

    async def reading(self, *metrics: Metric, **changes: Any) -> Reading:
        given = Prometheus(url=self.url, **changes)
        analysis = Analysis(metrics=metrics or None, prometheus=given)
        source = Queries(self.client, given, None, lambda: NOW.replace(tzinfo=UTC))
        wanted = wanting(analysis)
        await source.begin(wanted)
        return await source.read(wanted, AT)


def wanting(analysis: Analysis) -> Wanted:
    return Wanted(C, S, BEGAN, 30, {}, analysis, "shop", "help.desk")


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    async with Client() as client:
        stand_in = StandIn(client)
        app = web.Application()
        app.router.add_post("/prefix/api/v1/query", stand_in.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            stand_in.url = f"http://127.0.0.1:{listener.getsockname()[1]}/prefix/"
            await web.SockSite(runner, listener).start()
            yield stand_in
            await runner.cleanup()


async def test_what_both_revisions_counted_comes_from_one_query_each(server: StandIn) -> None:
    server.has_counted()
    server.gives('rating="down"', ({"revision": C}, 3), ({"revision": "other"}, 9))
    reading = await server.reading()
    assert reading.trouble is None
    assert (reading.canary.turns, reading.canary.errors) == (100, 20.5)
    assert (reading.stable.turns, reading.stable.errors) == (100, 0)
    assert reading.canary.negative_feedback == 3
    assert reading.stable.latency.buckets == ((0.1, 100), (float("inf"), 100))
    assert judge(Analysis(), reading, 1).verdict == "Failed"
    assert len(server.queries) == 11


async def test_a_query_is_of_both_revisions_of_this_agent_over_the_window(server: StandIn) -> None:
    await server.reading()
    assert server.queries[0] == (
        'sum by (revision) (increase(agent_requests_total{revision=~"aaaa1111|bbbb2222",'
        'namespace=~"shop|",'
        'pod=~"help\\\\.desk\\\\-aaaa1111-[a-z0-9]+(-[a-z0-9]+)?|'
        'help\\\\.desk\\\\-bbbb2222-[a-z0-9]+(-[a-z0-9]+)?|",'
        'code!~"4.."}[90s]))'
    )
    assert any(query.startswith("sum by (revision, le) (increase(") for query in server.queries)


@pytest.mark.parametrize(
    ("pod", "is_ours"),
    [
        ("help.desk-aaaa1111-7d4b9c6f58-x2x4z", True),
        ("help.desk-aaaa1111-7d4b9c6fx2x4z", True),  # of a name that Kubernetes cuts
        ("help.desk-aaaa1111-eu-aaaa1111-7d4b9c6f58-x2x4z", False),
        ("help.desk-aaaa1111-eu-aaaa1111-7d4b9c6fx2x4z", False),
        ("help.desk-cccc3333-7d4b9c6f58-x2x4z", False),
        ("helpXdesk-aaaa1111-7d4b9c6f58-x2x4z", False),
        ("", True),  # where Prometheus adds no such label
    ],
)
async def test_a_query_is_of_no_other_agent_s_pods(
    server: StandIn, pod: str, is_ours: bool
) -> None:
    await server.reading()
    pattern = json.loads(re.findall(r'pod=~("(?:[^"\\]|\\.)*")', server.queries[0])[0])
    assert bool(re.fullmatch(pattern, pod)) == is_ours


async def test_pods_that_are_not_scraped_are_trouble_and_not_a_good_revision(
    server: StandIn,
) -> None:
    reading = await server.reading()
    assert "check that it scrapes the agent's pods" in str(reading.trouble)
    assert judge(Analysis(), reading, 1).verdict == "Inconclusive"


QUERIED = Metric(name="mine", query="up{r='{{revision}}'}", max=1)
COMPARED = Metric(name="mine", query="up{r='{{revision}}'}", max_ratio=1.5)


async def test_a_users_query_is_asked_for_both_where_it_compares(server: StandIn) -> None:
    server.gives(C, ({}, 7))
    server.gives(S, ({}, 5))
    assert (await server.reading(COMPARED)).answers == {"mine": (7.0, 5.0)}
    server.queries.clear()
    reading = await server.reading(QUERIED)
    assert reading.answers["mine"][0] == 7.0
    assert server.queries == [f"up{{r='{C}'}}"]
    assert reading.trouble is None


async def test_a_scalar_is_a_number(server: StandIn) -> None:
    data = {"resultType": "scalar", "result": [1, "0.25"]}
    server.answers[C] = lambda: web.json_response({"status": "success", "data": data})
    assert (await server.reading(QUERIED)).answers["mine"][0] == 0.25


def test_placeholders_are_filled_in() -> None:
    query = 'x{r="{{revision}}", n="{{ namespace }}", a="{{agent}}"}[{{window}}] {{other}}'
    assert fill_placeholders(query, C, wanting(Analysis()), 90) == (
        f'x{{r="{C}", n="shop", a="help.desk"}}[90s] {{{{other}}}}'
    )


def refused(code: int = 400, **body: Any) -> Callable[[], web.StreamResponse]:
    return lambda: web.json_response({"status": "error", **body}, status=code)


def matrix() -> web.StreamResponse:
    return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": []}})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.json_response(vector()), "the query returns no result"),
        (lambda: web.json_response(vector(({}, "NaN"))), "the query returns NaN"),
        (lambda: web.json_response(vector(({}, "+Inf"))), "the query returns +Inf"),
        (lambda: web.json_response(vector(({}, "-Inf"))), "the query returns -Inf"),
        (
            lambda: web.json_response(vector(({"a": "1"}, 1), ({"a": "2"}, 2))),
            "the query returns 2 series; change it to return one number",
        ),
        (matrix, "the query returns a matrix; change it to return one number"),
        (
            refused(errorType="bad_data", error="parse error: unexpected <EOF>"),
            "Prometheus refused the query: bad_data: parse error: unexpected <EOF>",
        ),
        (refused(503, errorType="timeout"), "Prometheus refused the query: timeout: 503"),
        (
            lambda: web.Response(status=401),
            "Prometheus responded with 401; check analysis.prometheus.tokenSecretRef",
        ),
        (
            lambda: web.Response(status=404, text="no"),
            "the response with status 404 is not from Prometheus'",
        ),
        (
            lambda: web.Response(status=302, headers={"Location": "/login"}),
            "the response with status 302 is not from Prometheus'",
        ),
        (
            lambda: web.Response(text="<html>"),
            "the response with status 200 is not from Prometheus'",
        ),
        (lambda: web.json_response([1]), "the response with status 200 is not from Prometheus'"),
        (
            lambda: web.json_response({"status": "success", "data": {"resultType": "vector"}}),
            "Prometheus returned a result that cannot be parsed",
        ),
        (
            lambda: web.json_response(vector(({}, "seven"))),
            "Prometheus returned a result that cannot be parsed",
        ),
        (
            lambda: web.Response(body=b" " * (prometheus.MAX_BYTES + 1)),
            f"Prometheus did not respond: the response exceeds {prometheus.MAX_BYTES} bytes",
        ),
    ],
)
async def test_what_is_no_number_is_said_of_the_metric_alone(
    server: StandIn, answer: Callable[[], web.StreamResponse], said: str
) -> None:
    server.has_counted()
    server.answers[f"r='{C}'"] = answer
    errors = Metric(name="errors", measure="errorRate", max=0.9)
    reading = await server.reading(COMPARED, errors)
    assert str(reading.answers["mine"][0]).startswith(said)
    assert reading.trouble is None
    verdicts = {each.name: each.verdict for each in judge_all(reading, COMPARED, errors)}
    assert verdicts == {"mine": "Inconclusive", "errors": "Succeeded"}


def judge_all(reading: Reading, *metrics: Metric) -> tuple[MetricStatus, ...]:
    analysis = Analysis(metrics=metrics, prometheus=Prometheus(url="http://prometheus"))
    return judge(analysis, reading, 1).metrics


async def test_a_prometheus_that_is_not_there_is_trouble(server: StandIn) -> None:
    server.url = "http://127.0.0.1:1"
    reading = await server.reading()
    assert str(reading.trouble).startswith("Prometheus did not respond: Cannot connect to host")
    assert "Cannot connect" in str((await server.reading(QUERIED)).answers["mine"][0])


async def test_a_prometheus_that_hangs_is_trouble(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        server.url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        reading = await server.reading()
    assert reading.trouble == "Prometheus did not respond: no response within 0.05 s"


SECRET = SecretKeyRef(name="prometheus", key="token")


async def with_token(server: StandIn, value: str | Exception | None) -> Reading:
    async def token() -> str | None:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    given = Prometheus(url=server.url, token_secret_ref=SECRET)
    source = Queries(server.client, given, token, lambda: NOW.replace(tzinfo=UTC))
    wanted = wanting(Analysis(metrics=(QUERIED,), prometheus=given))
    return await source.read(wanted, AT)


async def test_the_token_goes_with_every_query(server: StandIn) -> None:
    server.gives(C, ({}, 7))
    assert (await with_token(server, "secret\n")).answers["mine"][0] == 7.0
    assert server.tokens == {"Bearer secret"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "Secret prometheus, key token does not exist or is empty; set it"),
        (" \n", "Secret prometheus, key token does not exist or is empty; set it"),
        (RuntimeError("forbidden"), "Secret prometheus, key token cannot be read: forbidden"),
    ],
)
async def test_without_the_token_nothing_is_asked(
    server: StandIn, value: str | Exception | None, said: str
) -> None:
    reading = await with_token(server, value)
    assert reading.trouble == f"analysis.prometheus.tokenSecretRef: {said}"
    assert not server.queries
