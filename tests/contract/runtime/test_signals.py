"""The operator measures real agents: what it reads is what their clients saw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chatagent_operator.api.pods import SecretKeyRef
from chatagent_operator.api.rollout import Analysis
from chatagent_operator.core.judging.analysis import Reading, judge
from chatagent_operator.core.names import Key
from chatagent_operator.signals.analyst import Analyst, Wanted
from chatagent_operator.signals.http_client import Client
from tests.contract.runtime.processes import DEADLINE, Agent
from tests.ports import free_port

KEY: Key = ("shop", "help")
QUESTION = "How long does a refund to PayPal take?"
BROKEN = "How long does a broken refund take?"
EVALUATION = {"X-Agent-Evaluation": "e1"}
NONSENSE = "Who won the world cup in 1998?"


class Pod(Agent):
    """An agent at an address of its own, as pods have, on the port that all pods have."""

    def __init__(
        self, folder: Path, models: Path, store: str, revision: str, ip: str, port: int
    ) -> None:
        super().__init__(folder, models, store)
        self.port = port
        self.base = f"http://{ip}:{port}"
        self.command += ["--revision", revision, "--host", ip, "--port", str(port)]
        step = {"python": "tests.contract.runtime.steps:FailingAt", "after": "dialogue"}
        steps = [{**step, "parameters": {"word": "broken"}}]
        (folder / "agent.yaml").write_text(json.dumps({"steps": steps}))

    def post(self, question: str, **headers: str) -> httpx.Response:
        body = {"messages": [{"role": "user", "content": question}]}
        url = f"{self.base}/v1/chat/completions"
        return httpx.post(url, json=body, headers=headers, timeout=30)


@dataclass
class Pods:
    """A canary and a stable pod."""

    canary: Pod
    stable: Pod

    def wanted(self, window: str, interval: float) -> Wanted:
        addresses = {"new": ("127.0.0.1",), "old": ("127.0.0.2",)}
        return Wanted("new", "old", window, interval, addresses, Analysis(), *KEY)


@pytest.fixture(scope="module")
def pods(models: Path, help_index: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    port = free_port()
    started = [
        Pod(tmp_path_factory.mktemp(revision), models, help_index, revision, ip, port)
        for revision, ip in (("new", "127.0.0.1"), ("old", "127.0.0.2"))
    ]
    for pod in started:
        pod.start()
    for pod in started:
        pod.becomes(ready=True)
    yield Pods(*started)
    for pod in started:
        pod.stop()


async def no_token(key: Key, secret: SecretKeyRef) -> str | None:
    return None


@dataclass
class Measuring:
    """An analyst, and when it has something new."""

    analyst: Analyst
    marked: asyncio.Queue[Key]

    async def next(self) -> Reading:
        async with asyncio.timeout(DEADLINE):
            while True:
                await self.marked.get()
                if reading := self.analyst.reading(KEY):
                    return reading  # before the first one, the window has only begun

    async def fresh(self) -> Reading:
        """A reading that begins from now on."""
        while not self.marked.empty():
            self.marked.get_nowait()
        await self.next()
        return await self.next()

    async def until(self, seen: Callable[[Reading], bool]) -> Reading:
        while not seen(reading := await self.next()):
            pass
        return reading


@pytest.fixture
async def measuring(pods: Pods) -> AsyncIterator[Measuring]:
    marked = asyncio.Queue[Key]()
    async with Client() as client:
        analyst = Analyst(client, client, marked.put_nowait, no_token, port=pods.canary.port)
        yield Measuring(analyst, marked)
        await analyst.close()


async def test_a_canary_that_answers_a_fifth_with_errors_fails_at_the_first_reading_with_them(
    pods: Pods, measuring: Measuring
) -> None:
    measuring.analyst.want(KEY, pods.wanted("2026-01-01T00:00:00Z", interval=0.2))
    await measuring.next()  # from here on everything is in the window
    codes = [
        (await asyncio.to_thread(pod.post, BROKEN if broken else QUESTION)).status_code
        for number in range(60)
        for pod, broken in ((pods.canary, number % 5 == 0), (pods.stable, False))
    ]
    assert codes.count(503) == 12
    reading = await measuring.until(lambda seen: seen.canary.turns + seen.stable.turns == 120)
    assert reading.trouble is None
    assert (reading.canary.turns, reading.canary.errors) == (60, 12)
    assert (reading.stable.turns, reading.stable.errors) == (60, 0)
    assert reading.canary.latency.count == 60
    assert reading.canary.first_token.count == 48
    assert reading.stable.tokens > reading.canary.tokens > 0
    measured = judge(Analysis(), reading, number=1)
    errors = next(each for each in measured.metrics if each.name == "errors")
    assert (measured.verdict, errors.verdict, errors.canary) == ("Failed", "Failed", 0.2)


async def test_an_evaluation_leaves_no_trace_and_users_do(pods: Pods, measuring: Measuring) -> None:
    measuring.analyst.want(KEY, pods.wanted("2026-01-01T01:00:00Z", interval=0.2))
    before = await measuring.next()
    for question in (QUESTION, NONSENSE, BROKEN):
        reply = await asyncio.to_thread(pods.canary.post, question, **EVALUATION)
        assert reply.status_code == (503 if question == BROKEN else 200)
    seen = await measuring.fresh()
    assert seen.canary == before.canary
    answered = await asyncio.to_thread(pods.canary.post, NONSENSE)
    rating = {"rating": "down", "conversation_id": answered.json()["conversation_id"]}
    rated = await asyncio.to_thread(
        lambda: httpx.post(f"{pods.canary.base}/v1/feedback", json=rating, timeout=30)
    )
    rated.raise_for_status()
    seen = await measuring.until(lambda reading: reading.canary.feedback == 1)
    assert (seen.canary.turns, seen.canary.no_answers) == (1, 1)
    assert seen.canary.negative_feedback == 1
    assert seen.stable.turns == 0


async def test_a_pod_that_is_killed_is_trouble_and_counts_on_when_it_is_back(
    pods: Pods, measuring: Measuring
) -> None:
    measuring.analyst.want(KEY, pods.wanted("2026-01-01T02:00:00Z", interval=0.2))
    await measuring.next()
    for _ in range(3):
        await asyncio.to_thread(pods.canary.post, BROKEN)
    await measuring.until(lambda reading: reading.canary.errors == 3)
    pods.canary.stop()
    seen = await measuring.until(lambda reading: reading.trouble is not None)
    assert "the new revision has 1 pods, and none returns its metrics" in str(seen.trouble)
    assert seen.canary.errors == 3
    pods.canary.start()
    await asyncio.to_thread(pods.canary.becomes, ready=True)
    await asyncio.to_thread(pods.canary.post, QUESTION)
    seen = await measuring.until(lambda reading: reading.canary.turns == 4)
    assert (seen.trouble, seen.canary.errors) == (None, 3)


def test_a_pod_on_cpus_has_no_gpu_seconds(pods: Pods) -> None:
    text = httpx.get(f"{pods.stable.base}/metrics", timeout=10).text
    assert "agent_requests_total{" in text
    assert "agent_gpu_seconds_total{" not in text
