"""Each part of an agent is lost while people talk to it: at rest, and during a rollout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.cluster.installation import await_operator, kill_operator
from tests.cluster.kubectl import (
    FIRST_TAG,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    documents,
    until,
)
from tests.e2e.traffic import Traffic

RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery. Postage is 5 EUR.\n"
QUESTIONS = ("How long do I have to return a lamp?", "What is the postage?")
TURNS = 150
"""So many are answered before, and again after a part is lost and is there again."""
STABLE_SERVICE = "the Service of the stable revision"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(
    scope="module", params=[pytest.param("settled", marks=pytest.mark.campaign), "canary"]
)
def agent(operator: Kubectl, namespace: Kubectl, request: pytest.FixtureRequest) -> AgentUnderTest:
    """An agent of two pods, or the same with a canary that waits at 5 %."""
    agent = AgentUnderTest(namespace, request.param)
    namespace.apply(documents(agent.name, returns_md=RETURNS))
    agent.apply(FIRST_TAG, replicas=2)
    agent.await_condition("Ready", seconds=240)
    if request.param == "canary":
        agent.apply(SECOND_TAG, replicas=2)
        agent.await_weight(5)
    return agent


def uid_of(kubectl: Kubectl, kind: str, name: str) -> str:
    """Of an object; empty where there is none."""
    flags = ("--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    return kubectl.run("get", kind, name, *flags).strip()


def recreate(kubectl: Kubectl, kind: str, name: str) -> None:
    """Delete an object, and wait until there is another one of its name."""
    uid = uid_of(kubectl, kind, name)
    kubectl.run("delete", kind, name, "--wait=false")
    until(lambda: uid_of(kubectl, kind, name) not in ("", uid), f"{kind}/{name}", 60)


def lose_operator(agent: AgentUnderTest, operator: Kubectl) -> None:
    kill_operator(operator)
    await_operator(operator)


def lose_pod(agent: AgentUnderTest, operator: Kubectl) -> None:
    pod = agent.pods(agent.status["stableRevision"])[0]
    agent.kubectl.run("delete", "pod", pod["metadata"]["name"])
    agent.await_condition("WorkloadsReady")


def lose_object(kind: str, suffix: str) -> Callable[[AgentUnderTest, Kubectl], None]:
    def lose(agent: AgentUnderTest, operator: Kubectl) -> None:
        suffixes = {"STABLE": agent.status["stableRevision"]}
        name = f"{agent.name}{suffix.format_map(suffixes)}"
        recreate(agent.kubectl, kind, name)

    return lose


PARTS: dict[str, Callable[[AgentUnderTest, Kubectl], None]] = {
    "all replicas of the operator": lose_operator,
    "a pod of the gateway": lose_object("pod", "-gateway-0"),
    "Redis": lose_object("pod", "-redis-0"),
    "the vector store": lose_object("pod", "-chroma-0"),
    "a pod of the stable revision": lose_pod,
    STABLE_SERVICE: lose_object("service", "-{STABLE}"),
    "the routes": lose_object("configmap", "-routes"),
    "the gateway's configuration": lose_object("configmap", "-gateway"),
}


IN_EVERY_RUN = ("a pod of the gateway", "the vector store", "a pod of the stable revision")


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(each, marks=() if each in IN_EVERY_RUN else pytest.mark.campaign)
        for each in PARTS
    ],
)
def test_no_turn_fails_while_a_part_is_lost(
    agent: AgentUnderTest, operator: Kubectl, part: str
) -> None:
    with Traffic(agent.url, QUESTIONS, clients=4, pause=0.05) as traffic:
        until(lambda: len(traffic.turns) >= TURNS, "turns before")
        PARTS[part](agent, operator)
        agent.await_condition("Ready")
        agent.await_condition("Degraded", "False")
        seen = len(traffic.turns)
        until(lambda: len(traffic.turns) >= seen + TURNS, "turns after")
    assert Counter(turn.error for turn in traffic.failed) == {}, f"of {len(traffic.turns)}"
    # Another revision answers while one is not reachable.
    assert traffic.flips() == 0 or part == STABLE_SERVICE
