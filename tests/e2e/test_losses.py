"""What is not an object of the agent is lost or forbidden: volumes, the Lease, the agent itself."""

from __future__ import annotations

import uuid

import pytest

from tests.cluster.installation import LEASE, holder
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
KINDS = (
    "service,deployment,statefulset,configmap,secret,serviceaccount,role,rolebinding,"
    "poddisruptionbudget,controllerrevision,job"
)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def agent(operator: Kubectl, namespace: Kubectl) -> AgentUnderTest:
    """An agent with a canary that waits at 5 %."""
    agent = AgentUnderTest(namespace, f"loses-{uuid.uuid4().hex[:4]}")
    namespace.apply(documents(agent.name, returns_md=RETURNS))
    agent.apply(FIRST_TAG)
    agent.await_condition("Ready", seconds=240)
    agent.apply(SECOND_TAG)
    agent.await_weight(5)
    return agent


def owned_by_others(agent: AgentUnderTest) -> list[str]:
    """Objects with the agent's labels that would not be deleted with it, nor with one of them."""
    uid = agent.body["metadata"]["uid"]
    found = agent.kubectl.list(KINDS, f"chatagent.dev/agent={agent.name}")
    return [
        f"{body['kind']} {body['metadata']['name']}"
        for body in found
        if not any(
            owner["uid"] == uid or owner["kind"] == "StatefulSet"
            for owner in body["metadata"].get("ownerReferences", [])
        )
    ]


def uid_of(kubectl: Kubectl, kind: str, name: str) -> str:
    """Of an object; empty where there is none."""
    flags = ("--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    return kubectl.run("get", kind, name, *flags).strip()


def test_losses_during_a_rollout(agent: AgentUnderTest, operator: Kubectl) -> None:
    kubectl, store = agent.kubectl, f"{agent.name}-chroma"
    with Traffic(agent.url, QUESTIONS, clients=1, pause=0.2) as traffic:
        # The Lease: the leader creates it again and goes on.
        lease = uid_of(operator, "lease", LEASE)
        operator.run("delete", "lease", LEASE)
        until(lambda: uid_of(operator, "lease", LEASE) not in ("", lease), "a Lease", 60)
        until(lambda: holder(operator), "a leader", 60)

        # The volume of the store: it is empty then, and filled again.
        claim = f"data-{store}-0"
        before = uid_of(kubectl, "pvc", claim)
        kubectl.run("delete", "pvc", claim, "--wait=false")
        kubectl.run("delete", "pod", f"{store}-0")
        until(lambda: uid_of(kubectl, "pvc", claim) not in ("", before), "a claim", 60)
        agent.await_condition("IndexReady", "False", seconds=120)
        agent.await_condition("IndexReady", seconds=240)
        agent.await_condition("Degraded", "False", seconds=120)
    assert traffic.failed == [], f"of {len(traffic.turns)}"
    assert agent.status["rollout"]["weight"] == 5
    revision = agent.status["canaryRevision"]
    agent.kubectl.plugin("promote", agent.name)
    until(lambda: agent.status["stableRevision"] == revision, "promoted", 120)


def test_an_agent_deleted_without_its_objects_finds_them_again(agent: AgentUnderTest) -> None:
    kubectl, stable = agent.kubectl, agent.status["stableRevision"]
    pods = agent.restarts(stable)
    with Traffic(agent.url, QUESTIONS, clients=1, pause=0.2) as traffic:
        kubectl.run("delete", "chatagent", agent.name, "--cascade=orphan")
        agent.apply(FIRST_TAG)
        agent.await_condition("Ready", seconds=120)
        agent.await_condition("Degraded", "False", seconds=120)
    assert traffic.failed == [], f"of {len(traffic.turns)}"
    assert agent.restarts(stable) == pods
    assert agent.status["stableRevision"] == stable
    until(lambda: owned_by_others(agent) == [], "no orphans", 60)
