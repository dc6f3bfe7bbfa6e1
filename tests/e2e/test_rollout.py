"""Rollouts that judge themselves, on the real node and under traffic."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from datetime import datetime
from typing import Any

import pytest

from tests.cluster.kubectl import (
    FIRST_TAG,
    IMAGES,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    documents,
    until,
)
from tests.e2e.traffic import Traffic

RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery. Postage is 5 EUR.\n"
QUESTIONS = ("How long do I have to return a lamp?", "What is the postage?")
QUICK: dict[str, Any] = {"analysis": {"interval": "3s", "count": 2, "minSamples": 10}}
FLAKY = """
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
CHUNKS = [
    CHUNK | {"choices": [{"index": 0, "delta": {"content": "30 days."}, "finish_reason": None}]},
    CHUNK | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    CHUNK | {"choices": [], "usage": USAGE},
]
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        bad = BAD and sum(asked) % 5 == 0
        lines = [json.dumps(chunk) for chunk in CHUNKS] + ["[DONE]"]
        body = "".join(f"data: {line}\\n\\n" for line in lines).encode()
        self.send_response(500 if bad else 200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _room(namespace: Kubectl) -> Generator[None]:
    """Agents go with their tests: the node has room for a few."""
    yield
    namespace.run("delete", "chatagents", "--all", "--wait=false")


def serving(namespace: Kubectl, name: str, **spec: Any) -> AgentUnderTest:
    namespace.apply(documents(name, returns_md=RETURNS))
    agent = AgentUnderTest(namespace, name)
    changes: dict[str, Any] = {"rollout": QUICK} | spec
    agent.apply(FIRST_TAG, **changes)
    agent.await_condition("Ready", seconds=240)
    agent.ask(QUESTIONS[0])
    return agent


def count_rollouts(agent: AgentUnderTest) -> int:
    """How many rollouts have ended."""
    return len(agent.status.get("history", []))


def await_end(
    agent: AgentUnderTest, before: int | None = None, *, seconds: float = 240
) -> dict[str, Any]:
    """Wait for the end of a rollout; returns what the history says of it.

    Args:
        before: how many had ended; absent: as many as now.
    """
    before = count_rollouts(agent) if before is None else before

    def over() -> dict[str, Any] | None:
        status = agent.status
        history = status.get("history", [])
        return history[0] if len(history) > before and not status.get("canaryRevision") else None

    try:
        return until(over, "the end of the rollout", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{json.dumps(agent.status, indent=1)}") from None


@pytest.mark.timeout(600)
def test_a_good_revision_is_promoted_without_a_failed_request(namespace: Kubectl) -> None:
    agent = serving(namespace, "good")
    first = agent.status["stableRevision"]
    before = agent.restarts(first)
    with Traffic(agent.url, QUESTIONS, clients=3, pause=0.02) as traffic:
        agent.apply(SECOND_TAG, rollout=QUICK)
        until(lambda: agent.status.get("canaryRevision"), "the canary", 60)
        assert agent.restarts(first) == before, "no stable pod restarts"
        past = await_end(agent)
        until(agent.is_applied, "the weights to be applied", 30)
        promoted_at = time.time()
        time.sleep(3)  # the traffic goes on for a moment: what comes too late is seen
    assert past["outcome"] == "Promoted"
    assert traffic.failed == []
    assert agent.status["stableRevision"] != first
    # Moved when the new one became stable, as affinity.onPromote says, and never before.
    moved = datetime.fromisoformat(past["endedAt"]).timestamp()
    assert traffic.flips(within=moved) == 0
    late = [turn for turn in traffic.turns if turn.at > promoted_at + 1]
    assert {turn.revision for turn in late} == {agent.status["stableRevision"]}


@pytest.mark.timeout(600)
def test_a_revision_that_answers_a_fifth_with_errors_is_rolled_back(namespace: Kubectl) -> None:
    namespace.apply(*model_server("works", bad=False), *model_server("breaks", bad=True))
    for name in ("works", "breaks"):
        namespace.run("rollout", "status", f"deployment/{name}", "--timeout=120s")
    good = {"llm": {"model": "openai/m", "baseURL": url_of(namespace, "works")}}
    bad = {"llm": {"model": "openai/m", "baseURL": url_of(namespace, "breaks")}}
    # Two dozen turns of the canary, judged by nothing that a busy machine brings about.
    errors = {"name": "errors", "measure": "errorRate", "maxIncrease": 0.01}
    rollout = {"analysis": QUICK["analysis"] | {"interval": "8s", "metrics": [errors]}}
    agent = serving(namespace, "fifth", rollout=rollout, pipeline=good | {"cache": {"mode": "off"}})
    first = agent.status["stableRevision"]
    questions = [f"How long do I have to return lamp {number}?" for number in range(50)]
    with Traffic(agent.url, questions, clients=4, pause=0.02) as traffic:
        agent.apply(rollout=rollout, pipeline=bad | {"cache": {"mode": "off"}})
        past = await_end(agent)
        time.sleep(2)  # it stays away while the traffic goes on
    status = agent.status
    told = past, len(traffic.failed), len(traffic.turns), status["analysis"]
    assert (past["outcome"], past["reason"]) == ("Failed", "AnalysisFailed"), told
    assert status["failedRevision"] == past["revision"]
    assert status["stableRevision"] == first
    # The first measurements may have met too few of its turns to tell them from an accident.
    assert status["analysis"]["measurements"] <= 2 or status["analysis"]["samples"] < 60, told
    assert "errors" in past["message"]
    assert all(turn.revision == past["revision"] for turn in traffic.failed), traffic.failed[:3]
    agent.await_condition("Degraded", "True", "AnalysisFailed")
    agent.await_condition("Ready")
    openings = traffic.openings().values()
    served = [turn for turn in openings if turn.at < traffic.turns[-1].at]
    saw = sum(turn.revision == past["revision"] for turn in served)
    assert saw <= 0.08 * len(served), f"{saw} of {len(served)}"
    # A second time by the same spec: it stays out. How it would be judged makes no other of it.
    rollout["analysis"]["interval"] = QUICK["analysis"]["interval"]
    agent.apply(rollout=rollout, pipeline=bad | {"cache": {"mode": "off"}})
    agent.await_condition("Degraded", "True", "AnalysisFailed")
    assert agent.status["failedRevision"] == past["revision"]
    # The cause gone, a person has it tried again.
    namespace.apply(*model_server("breaks", bad=False))
    namespace.run("rollout", "status", "deployment/breaks", "--timeout=120s")
    with Traffic(agent.url, questions, clients=3, pause=0.02) as traffic:
        assert agent.kubectl.plugin("retry", agent.name).returncode == 0
        past = await_end(agent)
    assert past["outcome"] == "Promoted", past


@pytest.mark.timeout(600)
def test_worse_answers_never_meet_a_user(namespace: Kubectl) -> None:
    agent = serving(namespace, "answers")
    lines = [
        {"question": "How long do I have to return a lamp?", "facts": ["30 days"]},
        {"question": "What is the postage for returning it?", "facts": ["5 EUR"]},
        {"question": "Can I return a lamp?", "facts": ["30 days"]},
        {"question": "How many days may I keep a lamp before I return it?", "facts": ["30 days"]},
        {"question": "How much is the postage?", "facts": ["5 EUR"]},
    ]
    ids = [{"id": f"q{n}", "lang": "en", "source": ["returns.md"]} | x for n, x in enumerate(lines)]
    set_ = "\n".join(json.dumps(line) for line in ids)
    namespace.apply(documents("questions") | {"data": {"questions.jsonl": set_}})
    gated = {"analysis": QUICK["analysis"] | {"evaluation": {"configMap": {"name": "questions"}}}}
    with Traffic(agent.url, QUESTIONS, clients=2, pause=0.1) as traffic:
        agent.apply(rollout=gated, pipeline={"retrieval": {"when": "never"}})
        past = await_end(agent)
    assert (past["outcome"], past["reason"]) == ("Failed", "EvaluationFailed"), past
    assert past["revision"] not in {turn.revision for turn in traffic.turns}
    assert traffic.failed == []
    status = agent.status["evaluation"]
    assert "stable" in status, status
    assert status["canary"]["facts"] < 0.5 < status["stable"]["facts"]
    # The verdict waits for no report.
    kept = until(
        lambda: [each for each in namespace.list("configmap") if named(each) == status["report"]],
        "the report",
    )
    assert "q0" in kept[0]["data"]["report.json"]
    namespace.apply(documents("questions") | {"data": {"questions.jsonl": '{"question": 3}'}})
    agent.apply(rollout=gated, pipeline={"retrieval": {"topK": 4}})
    past = await_end(agent)
    assert past["reason"] == "EvaluationFailed"
    assert "questions.jsonl:1" in past["message"]


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("two_gpus")
def test_no_spare_gpu(namespace: Kubectl) -> None:
    """Two GPUs, two pods: the canary takes a place, and somebody serves all the while."""
    gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}, "replicas": 2}
    agent = serving(namespace, "full", **gpu)
    agent.await_condition("WorkloadsReady", seconds=120)
    with Traffic(agent.url, QUESTIONS, clients=2, pause=0.05) as traffic:
        agent.apply(SECOND_TAG, rollout=QUICK, **gpu)
        past = await_end(agent)
        stable = agent.status["stableRevision"]
        until(lambda: len(agent.pods(stable)) == 2, "the pods of the new one")
        agent.await_condition("WorkloadsReady", seconds=120)
    assert past["outcome"] == "Promoted", past
    assert traffic.failed == []


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("two_gpus")
def test_a_single_pod_without_capacity_for_another_stays(namespace: Kubectl) -> None:
    gpu = {"resources": {"limits": {"nvidia.com/gpu": 2}}}
    rollout = QUICK | {"progressDeadlineSeconds": 20}
    agent = serving(namespace, "single", rollout=rollout, **gpu)
    first = agent.status["stableRevision"]
    before = count_rollouts(agent)
    with Traffic(agent.url, QUESTIONS, clients=1, pause=0.1) as traffic:
        agent.apply(SECOND_TAG, rollout=rollout, **gpu)
        agent.await_condition("Degraded", "True", "InsufficientCapacity")
        past = await_end(agent, before)
    assert (past["outcome"], past["reason"]) == ("Failed", "InsufficientCapacity")
    assert traffic.failed == []
    assert {turn.revision for turn in traffic.turns} == {first}


def named(body: dict[str, Any]) -> str:
    return body["metadata"]["name"]


def url_of(namespace: Kubectl, name: str) -> str:
    return f"http://{name}.{namespace.namespace}.svc:8000/v1"


def model_server(name: str, bad: bool) -> list[dict[str, Any]]:
    """A stand-in for a model server: it answers at once, or refuses every fifth prompt."""
    labels = {"app": name}
    container = {
        "name": "model",
        "image": f"{IMAGES}/agent-runtime:{FIRST_TAG}",
        "command": ["python3", "-c", FLAKY.replace("BAD", str(bad))],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    }
    spec = {"labels": labels}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": spec, "spec": {"containers": [container]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": 8000}]},
        },
    ]
