"""What a pod's /metrics say, as the runtime itself writes them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from agent_runtime.telemetry.metrics import Metrics
from chatagent_operator.api.rollout import Analysis
from chatagent_operator.signals import scrape
from chatagent_operator.signals.http_client import Client
from chatagent_operator.signals.scrape import Scrape, parse_metrics
from chatagent_operator.signals.wanted import Wanted

AT = "2026-01-01T00:00:30Z"
LATER = 4_000_000_000.0
"""After any process of these tests began."""


def metrics(revision: str = "aaaa1111") -> Metrics:
    return Metrics(revision)


def test_a_runtime_that_has_answered_nothing_has_counted_nothing() -> None:
    sample = parse_metrics(metrics().text().decode(), "aaaa1111")
    assert sample.tally.turns == 0
    assert sample.tally.latency.count == 0
    assert sample.born is not None


def test_every_number_that_a_rollout_is_judged_by_is_read() -> None:
    ours = metrics()
    for code in (200, 200, 500, 503, 504):
        ours.request(code, 0.15)
    ours.first_token(0.04)
    ours.no_answer()
    ours.tokens(100, 20)
    for status in ("ok", "ok", "error", "denied"):
        ours.tool("get_order", status, 0.1)
    tally = parse_metrics(ours.text().decode(), "aaaa1111").tally
    assert (tally.turns, tally.errors, tally.no_answers) == (5, 3, 1)
    assert (tally.tool_calls, tally.tool_failures) == (4, 1)
    assert tally.tokens == 120
    assert tally.latency.count == 5
    assert tally.latency.above(0.2) == 0
    assert tally.latency.above(0.1) == 5
    assert tally.first_token.count == 1


def test_a_known_answer_is_a_turn_whose_times_are_not_compared() -> None:
    ours = metrics()
    for known in (True, True, False):
        ours.request(200, 0.15, known)
        ours.first_token(0.04, known)
    tally = parse_metrics(ours.text().decode(), "aaaa1111").tally
    assert (tally.turns, tally.latency.count, tally.first_token.count) == (3, 1, 1)


@pytest.mark.parametrize("code", [400, 401, 404, 413, 429, 499])
def test_a_client_error_is_neither_a_turn_nor_a_server_error(code: int) -> None:
    ours = metrics()
    ours.request(code, 0.1)
    tally = parse_metrics(ours.text().decode(), "aaaa1111").tally
    assert (tally.turns, tally.errors) == (0, 0)


@pytest.mark.parametrize("text", ["", "<html>", 'agent_requests_total{revision="aaaa1111"', "{}"])
def test_text_that_is_no_metrics_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the parser has words of its own
        parse_metrics(text, "aaaa1111")


@pytest.mark.parametrize(
    "line",
    [
        'agent_requests_total{revision="aaaa1111",code="200"} NaN',
        'agent_requests_total{revision="aaaa1111",code="200"} +Inf',
        'agent_requests_total{revision="aaaa1111",code="200"} -1',
        'agent_requests_total{revision="aaaa1111",code="200"} 1e300',
        'agent_request_duration_seconds_bucket{revision="aaaa1111"} 1',
        'agent_request_duration_seconds_bucket{revision="aaaa1111",le="x"} 1',
        "process_start_time_seconds NaN",
        "\n".join(f'agent_tokens_total{{revision="aaaa1111",type="{n}"}} 1' for n in range(5000)),
    ],
)
def test_a_value_that_no_counter_can_have_is_refused(line: str) -> None:
    whole = metrics().text().decode()
    assert parse_metrics(whole, "aaaa1111")
    with pytest.raises(ValueError):  # noqa: PT011  # the parser has words of its own
        parse_metrics(whole + line + "\n", "aaaa1111")


def test_a_page_of_an_agent_with_many_tools_is_far_below_the_limits() -> None:
    ours = metrics()
    for tool in range(30):
        for status in ("ok", "error", "denied"):
            ours.tool(f"tool_{tool}", status, 0.1)
    text = ours.text()
    assert len(text) < scrape.MAX_BYTES / 10
    assert parse_metrics(text.decode(), "aaaa1111").tally.tool_calls == 90


def test_another_revision_behind_an_old_address_is_refused() -> None:
    with pytest.raises(ValueError, match="no metrics of revision aaaa1111"):
        parse_metrics(metrics("bbbb2222").text().decode(), "aaaa1111")


@dataclass
class Pods:
    """Pods on the addresses of loopback, all on one port."""

    port: int
    client: Client
    metrics: dict[str, Metrics] = field(default_factory=dict[str, Metrics])
    answers: dict[str, Callable[[], web.StreamResponse]] = field(
        default_factory=dict[str, Callable[[], web.StreamResponse]]
    )

    async def tell(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ip = request.transport.get_extra_info("sockname")[0]
        if ip in self.answers:
            return self.answers[ip]()
        return web.Response(body=self.metrics[ip].text())


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        async with Client() as client:
            served = Pods(listener.getsockname()[1], client)
            app = web.Application()
            app.router.add_get("/metrics", served.tell)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.SockSite(runner, listener).start()
            yield served
            await runner.cleanup()


CANARY = ("127.0.0.1", "127.0.0.2")
STABLE = ("127.0.0.3",)


def wanted(**addresses: tuple[str, ...]) -> Wanted:
    both = {"canary": CANARY, "stable": STABLE} | addresses
    return Wanted("canary", "stable", "w1", 30, both, Analysis(), "shop", "help")


async def begun(pods: Pods, at: float = LATER) -> Scrape:
    for ip in CANARY:
        pods.metrics[mapped(ip)] = Metrics("canary")
    for ip in STABLE:
        pods.metrics[mapped(ip)] = Metrics("stable")
    found = Scrape(pods.client, lambda: at, pods.port)
    await found.begin(wanted())
    return found


def mapped(ip: str) -> str:
    return f"::ffff:{ip}"


async def test_the_pods_of_a_revision_are_added_up(pods: Pods) -> None:
    source = await begun(pods)
    for ip, codes in zip(CANARY, ([200, 500], [200, 200, 503]), strict=True):
        for code in codes:
            pods.metrics[mapped(ip)].request(code, 0.1)
    pods.metrics[mapped(*STABLE)].request(200, 0.1)
    reading = await source.read(wanted(), AT)
    assert reading.trouble is None
    assert (reading.canary.turns, reading.canary.errors) == (5, 2)
    assert (reading.stable.turns, reading.stable.errors) == (1, 0)
    assert (reading.at, reading.window) == (AT, "w1")


async def test_an_ipv6_address_is_scraped(pods: Pods) -> None:
    source = await begun(pods, at=0.0)
    pods.metrics["::1"] = Metrics("canary")
    pods.metrics["::1"].request(200, 0.1)
    reading = await source.read(wanted(canary=("::1",)), AT)
    assert (reading.trouble, reading.canary.turns) == (None, 1)


async def test_a_pod_that_does_not_respond_keeps_its_counts(pods: Pods) -> None:
    source = await begun(pods)
    for ip in CANARY:
        pods.metrics[mapped(ip)].request(500, 0.1)
    await source.read(wanted(), AT)
    pods.answers[mapped(CANARY[0])] = lambda: web.Response(status=500)
    pods.metrics[mapped(CANARY[1])].request(200, 0.1)
    reading = await source.read(wanted(), AT)
    assert (reading.trouble, reading.canary.turns, reading.canary.errors) == (None, 3, 2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.Response(status=500), "responded with 500"),
        (lambda: web.Response(text="<html>"), "no metrics of revision canary"),
        (lambda: web.Response(body=b"\xff\xfe"), "decode"),
        (lambda: web.Response(body=b"#" * (scrape.MAX_BYTES + 1)), "the response exceeds"),
        (lambda: web.Response(status=302, headers={"Location": "/metrics"}), "responded with 302"),
    ],
)
async def test_a_revision_none_of_whose_pods_tells_is_trouble(
    pods: Pods, answer: Callable[[], web.StreamResponse], said: str
) -> None:
    source = await begun(pods)
    for ip in CANARY:
        pods.answers[mapped(ip)] = answer
    reading = await source.read(wanted(), AT)
    assert reading.trouble is not None
    assert reading.trouble.startswith("the new revision has 2 pods, and none returns its metrics")
    assert said in reading.trouble


async def test_pods_that_are_not_there_are_trouble(pods: Pods) -> None:
    source = await begun(pods)
    reading = await source.read(wanted(stable=()), AT)
    assert reading.trouble == "the stable revision has no pods"
    nobody = Scrape(pods.client, lambda: LATER, port=1)
    await nobody.begin(wanted())
    assert "Cannot connect" in str((await nobody.read(wanted(), AT)).trouble)


async def test_a_pod_that_hangs_is_not_waited_for(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape, "TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.9", 0)) as deaf:
        hanging = replace(wanted(), addresses={"canary": ("127.0.0.9",), "stable": ()})
        source = Scrape(pods.client, lambda: LATER, deaf.getsockname()[1])
        await source.begin(hanging)
        assert "no response within 0.05 s" in str((await source.read(hanging, AT)).trouble)
