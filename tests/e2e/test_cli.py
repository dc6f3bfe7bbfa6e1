"""`kubectl chatagent` against the real operator: one rollout as a person sees and moves it."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubectl import (
    FIRST_TAG,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    documents,
    until,
)
from tests.e2e.traffic import Traffic

NAME = "seen"
RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery.\n"
QUESTION = "How long do I have to return a lamp?"
STEPS: list[dict[str, Any]] = [{"setWeight": 5}, {"pause": {}}]


@pytest.fixture(scope="module")
def agent(operator: Kubectl, namespace: Kubectl) -> AgentUnderTest:
    namespace.apply(documents(NAME, returns_md=RETURNS))
    found = AgentUnderTest(namespace, NAME)
    found.apply(rollout={"steps": STEPS})
    found.await_condition("Ready", seconds=180)
    return found


def done(agent: AgentUnderTest, *words: str) -> str:
    """Standard output of a command that does what it is asked for."""
    result = agent.kubectl.plugin(*words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def document(agent: AgentUnderTest, *words: str) -> Any:
    return json.loads(done(agent, *words, "-o", "json"))


def canary(agent: AgentUnderTest, tag: str) -> str:
    """A canary that waits for a person."""
    agent.apply(tag, rollout={"steps": STEPS})
    agent.await_weight(5)
    agent.await_condition("Paused", reason="PausedAtStep")
    return agent.status["canaryRevision"]


def find_pods(agent: AgentUnderTest, revision: str) -> set[str]:
    """The uids of a revision's pods."""
    return {pod["metadata"]["uid"] for pod in agent.pods(revision)}


@pytest.mark.timeout(900)
def test_a_rollout_as_a_person_sees_it(agent: AgentUnderTest) -> None:
    first = agent.status["stableRevision"]
    assert NAME in done(agent, "get")
    refused = agent.kubectl.plugin("promote", NAME)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1

    second = canary(agent, SECOND_TAG)
    seen = document(agent, "get", NAME)
    roles = {each["role"]: (each["revision"], each["weight"]) for each in seen["revisions"]}
    assert roles == {"stable": (first, 95), "canary": (second, 5)}
    assert [each["state"] for each in seen["steps"]] == ["done", "current"]
    assert all(each["pods"]["ready"] == 1 for each in seen["revisions"])
    assert SECOND_TAG in done(agent, "diff", NAME)
    numbers = {each["number"] for each in document(agent, "history", NAME)["revisions"]}
    assert len(numbers) == 2

    assert "paused" in done(agent, "pause", NAME)
    assert "resumed" in done(agent, "resume", NAME)
    assert "aborted" in done(agent, "abort", NAME)
    until(lambda: agent.status.get("failedRevision") == second, "the abort")
    ended = agent.kubectl.plugin("status", NAME, "--watch", "--timeout", "1m")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert f"revision {second} was rolled back (aborted by a command)" in ended.stdout
    assert "Aborted" in agent.kubectl.run("get", "chatagent", NAME)
    assert "retried" in done(agent, "retry", NAME)
    agent.await_weight(5)
    waiting = agent.kubectl.plugin("status", NAME)
    assert (waiting.returncode, waiting.stdout.count("\n")) == (4, 1)
    done(agent, "promote", NAME, "--full")
    told = done(agent, "status", NAME, "--watch", "--timeout", "3m")
    assert told.splitlines()[-1].startswith(f"revision {second} serves")
    assert agent.status["stableRevision"] == second

    undone = document(agent, "undo", NAME)
    assert undone["revision"] == first
    assert agent.body["spec"]["image"].endswith(f":{FIRST_TAG}")
    agent.await_weight(5)
    agent.await_condition("Paused", reason="PausedAtStep")
    done(agent, "skip", NAME)
    until(lambda: agent.status["stableRevision"] == first, "the way back")
    outcomes = document(agent, "history", NAME)["rollouts"]
    assert [each["outcome"] for each in outcomes[:3]] == ["Promoted", "Promoted", "Aborted"]


@pytest.mark.timeout(600)
def test_two_people_at_once(agent: AgentUnderTest) -> None:
    """Both are answered, and what is, is what the one said who was first or the other left."""
    tag = SECOND_TAG if agent.body["spec"]["image"].endswith(FIRST_TAG) else FIRST_TAG
    tried = canary(agent, tag)
    orders = [("promote", NAME, "--full"), ("abort", NAME)]
    with ThreadPoolExecutor() as pool:
        given = [pool.submit(agent.kubectl.plugin, *words) for words in orders]
        both = [each.result() for each in given]
    assert all(each.returncode in (0, 1) for each in both), both
    assert any(each.returncode == 0 for each in both)
    promoted, aborted = (each.returncode == 0 for each in both)
    until(lambda: not agent.status.get("canaryRevision"), "it is over")
    if promoted and not aborted:
        assert agent.status["stableRevision"] == tried
    if aborted:
        assert agent.status["failedRevision"] == tried


@pytest.mark.timeout(600)
def test_a_restart_replaces_the_pods_and_loses_no_request(agent: AgentUnderTest) -> None:
    before, stable = agent.status, agent.status["stableRevision"]
    old = find_pods(agent, stable)
    with Traffic(agent.url, [QUESTION], clients=2) as traffic:
        assert f"deployment/{NAME}-{stable}" in done(agent, "restart", NAME)
        words = ("rollout", "status", f"deployment/{NAME}-{stable}", "--timeout=180s")
        agent.kubectl.run(*words)
        until(lambda: not old & find_pods(agent, stable), "the old pods are gone")
    assert traffic.failed == []
    after = agent.status
    assert (after["stableRevision"], after["history"]) == (stable, before["history"])
    assert not after.get("canaryRevision")


@pytest.mark.timeout(300)
def test_a_conversation_through_the_api_server(agent: AgentUnderTest) -> None:
    reply = document(agent, "chat", NAME, "-m", QUESTION)
    assert "within 30 days" in reply["text"]
    assert reply["citations"][0]["filename"].endswith("returns.md")
    again = document(agent, "chat", NAME, "-m", QUESTION, "--conversation", reply["conversationId"])
    assert again["conversationId"] == reply["conversationId"]
    told = done(agent, "chat", NAME, "-m", QUESTION, "--revision", "stable")
    assert "within 30 days" in told
    assert "[1]" in told


def test_a_view_that_stays(agent: AgentUnderTest) -> None:
    """Into a pipe: a block at once, and another one for a change."""
    program = Path(sys.executable).with_name("kubectl-chatagent")
    flags = ["-n", agent.kubectl.namespace, "--kubeconfig", agent.kubectl.kubeconfig]
    with subprocess.Popen(
        [program, "get", NAME, "-w", *flags], stdout=subprocess.PIPE, text=True
    ) as view:
        assert view.stdout is not None
        head = f"{agent.kubectl.namespace}/{NAME}"
        assert view.stdout.readline().startswith(head)
        agent.kubectl.run(
            "patch", "chatagent", NAME, "--type=merge", "-p", '{"spec":{"suspend":true}}'
        )
        assert any(line.startswith(f"{head}  Suspended") for line in view.stdout)
        view.terminate()
