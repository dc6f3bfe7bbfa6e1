"""What a rollout is judged by: each failed turn once, nothing of refusals and evaluations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import httpx
import pytest

from agent_runtime.cache.answers import Answers
from agent_runtime.cache.step import KnownAnswers
from agent_runtime.config import CacheConfig, DialogueConfig
from agent_runtime.dialogue.intents import Intents
from agent_runtime.dialogue.manager import DialogueManager, RuleRewriter
from agent_runtime.dialogue.memory import Memory
from agent_runtime.domain import Principal, State
from agent_runtime.errors import (
    AgentError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    InvalidRequestError,
)
from agent_runtime.http.app import build_app
from agent_runtime.http.turns import log as turns_log
from agent_runtime.pipeline import Pipeline, said
from agent_runtime.state.memory import MemoryBlobs
from tests.unit.runtime.fakes import HashingVectors
from tests.unit.runtime.http.harness import CHAT, RESPONSES, Runtime

EVALUATION = {"X-Agent-Evaluation": "run-1"}
HISTOGRAMS = ("agent_request_duration_seconds", "agent_time_to_first_token_seconds")


def requests(runtime: Runtime) -> dict[str, float]:
    """Turns by code, without those that are 0."""
    return {
        sample.labels["code"]: sample.value
        for family in runtime.telemetry.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "agent_requests_total" and sample.value
    }


def observed(runtime: Runtime, answer: str = "made") -> tuple[float | None, ...]:
    registry = runtime.telemetry.metrics.registry
    labels = {"revision": "r1", "answer": answer}
    return tuple(registry.get_sample_value(f"{name}_count", labels) for name in HISTOGRAMS)


def counted(runtime: Runtime) -> list[str]:
    """All that is not 0 of what a rollout is judged by."""
    text = runtime.telemetry.metrics.text().decode()
    names = ("requests", "request_errors", "request_duration", "time_to", "feedback", "tokens")
    starts = tuple(f"agent_{name}" for name in names)
    lines = [line for line in text.splitlines() if line.startswith(starts)]
    return [x for x in lines if "_created" not in x and not x.endswith(" 0.0")]


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize(
    ("late", "code"),
    [
        (GeneratorUnavailableError("gone"), "503"),
        (GeneratorTimeoutError("slow"), "504"),
        (RuntimeError("broken"), "500"),
        (AgentError("broken"), "500"),
        (InvalidRequestError("too long", "messages"), "400"),
    ],
)
async def test_a_stream_that_fails_after_it_began_counts_once_as_what_failed(
    runtime: Runtime, path: str, late: Exception, code: str
) -> None:
    turns_log.disabled = True
    runtime.agent.late = late
    reply = await (runtime.ask if path == CHAT else runtime.respond)(stream=True)
    turns_log.disabled = False
    assert reply.status_code == 200
    assert requests(runtime) == {code: 1}


async def test_a_turn_that_fails_before_it_began_counts_once(runtime: Runtime) -> None:
    runtime.agent.error = GeneratorUnavailableError("gone")
    for stream in (False, True):
        await runtime.ask(stream=stream)
    assert requests(runtime) == {"503": 2}
    assert observed(runtime) == (2, 0)


async def test_what_is_refused_has_no_latency(runtime: Runtime) -> None:
    assert (await runtime.ask(temperature=7)).status_code == 400
    assert requests(runtime) == {"400": 1}
    assert observed(runtime) == (0, 0)
    await runtime.ask()
    assert observed(runtime) == (1, 1)


def remember_answers(runtime: Runtime) -> None:
    """Put a real pipeline with a cache behind the application."""
    telemetry, vectors = runtime.telemetry, HashingVectors()

    async def rights(caller: Principal) -> str:
        return ""

    async def work(state: State) -> State:
        return state.replying(said("Three days."))

    answers = Answers(MemoryBlobs(), CacheConfig(), telemetry.metrics.cache)
    known = KnownAnswers([work], answers, vectors, "r1", str, rights, False, telemetry)
    dialogue = DialogueManager(DialogueConfig(), Intents((), vectors), RuleRewriter(vectors))
    agent = Pipeline(Memory(runtime.sessions, 5), dialogue, [known], telemetry)
    app = cast(Any, build_app(replace(runtime.parts, agent=agent)))
    runtime.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent")


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_known_answer_is_timed_apart_from_those_that_were_made(
    runtime: Runtime, path: str, stream: bool
) -> None:
    remember_answers(runtime)
    ask = runtime.ask if path == CHAT else runtime.respond
    assert (await ask(stream=stream)).status_code == 200
    assert (observed(runtime), observed(runtime, "known")) == ((1, 1), (None, None))
    assert (await ask(stream=stream)).status_code == 200
    assert (observed(runtime), observed(runtime, "known")) == ((1, 1), (1, 1))
    assert requests(runtime) == {"200": 2}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_evaluation_is_answered_and_not_counted(runtime: Runtime, stream: bool) -> None:
    assert (await runtime.ask(EVALUATION, stream=stream)).status_code == 200
    assert (await runtime.respond(EVALUATION, stream=stream)).status_code == 200
    runtime.agent.error = GeneratorUnavailableError("gone")
    assert (await runtime.ask(EVALUATION, stream=stream)).status_code == 503
    assert (await runtime.ask(EVALUATION, temperature=7)).status_code == 400
    body = {"rating": "down", "conversation_id": "c1"}
    await runtime.client.post("/v1/feedback", json=body, headers=EVALUATION)
    assert counted(runtime) == []
    runtime.agent.error = None
    await runtime.ask(stream=stream)
    assert requests(runtime) == {"200": 1}


async def test_an_approval_is_a_turn(runtime: Runtime) -> None:
    path = "/v1/conversations/c1/approvals/a1"
    reply = await runtime.client.post(path, json={"approve": True})
    assert reply.status_code == 404
    assert requests(runtime) == {"404": 1}
