"""Somebody gives an agent's object another owner or a finalizer: it is said, and heals."""

from __future__ import annotations

import json

import pytest

from tests.cluster.kubectl import (
    FIRST_TAG,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    Object,
    documents,
    until,
)
from tests.e2e.traffic import Traffic

SECONDS = 60
"""How soon the status says it."""
RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery. Postage is 5 EUR.\n"
QUESTIONS = ("How long do I have to return a lamp?", "What is the postage?")
FINALIZER = "example.com/kept"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def agent(operator: Kubectl, namespace: Kubectl) -> AgentUnderTest:
    """An agent with a canary that waits at 5 %."""
    agent = AgentUnderTest(namespace, "disputed")
    namespace.apply(documents(agent.name, returns_md=RETURNS))
    agent.apply(FIRST_TAG)
    agent.await_condition("Ready", seconds=240)
    agent.apply(SECOND_TAG)
    agent.await_weight(5)
    return agent


OBJECTS = {
    "Service of the stable revision": ("service", "NAME-STABLE"),
    "routes": ("configmap", "NAME-routes"),
    "Role": ("role", "NAME-gateway"),
    "ServiceAccount": ("serviceaccount", "NAME-gateway"),
    "Secret": ("secret", "NAME-redis"),
    "Deployment": ("deployment", "NAME-STABLE"),
    "StatefulSet": ("statefulset", "NAME-gateway"),
    "ControllerRevision": ("controllerrevision", "NAME-STABLE"),
}


def patch(kubectl: Kubectl, kind: str, name: str, metadata: Object) -> None:
    kubectl.run("patch", kind, name, "--type=merge", "-p", json.dumps({"metadata": metadata}))


IN_EVERY_RUN = ("Service of the stable revision", "Secret", "Deployment")
CASES = [
    pytest.param(each, marks=() if each in IN_EVERY_RUN else pytest.mark.campaign)
    for each in OBJECTS
]


@pytest.mark.parametrize("taken", CASES)
def test_an_object_of_another_owner_is_left_to_it(agent: AgentUnderTest, taken: str) -> None:
    kubectl, kind, name = agent.kubectl, *named(agent, taken)
    other = kubectl.get("configmap", agent.name)["metadata"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": agent.name, "uid": other["uid"]}
    owner["controller"] = True
    before = kubectl.get(kind, name)["metadata"]
    with Traffic(agent.url, QUESTIONS, clients=1, pause=0.1) as traffic:
        patch(kubectl, kind, name, {"ownerReferences": [owner]})
        agent.await_condition("Degraded", reason="NameTaken", seconds=SECONDS)
        message = agent.condition("Degraded")["message"]
        assert f"{name} exists already and is owned by ConfigMap {agent.name}" in message
        found = kubectl.get(kind, name)["metadata"]
        assert found["ownerReferences"] == [owner]
        assert found["uid"] == before["uid"]
        patch(kubectl, kind, name, {"ownerReferences": None})
        agent.await_condition("Degraded", "False", seconds=SECONDS)
    assert traffic.failed == []
    assert kubectl.get(kind, name)["metadata"]["ownerReferences"] == before["ownerReferences"]


@pytest.mark.parametrize("kept", CASES)
def test_an_object_that_a_finalizer_keeps_is_named(agent: AgentUnderTest, kept: str) -> None:
    kubectl, kind, name = agent.kubectl, *named(agent, kept)
    before = kubectl.get(kind, name)["metadata"]
    patch(kubectl, kind, name, {"finalizers": [FINALIZER]})
    kubectl.run("delete", kind, name, "--wait=false")
    agent.await_condition("Degraded", reason="Terminating", seconds=SECONDS)
    message = agent.condition("Degraded")["message"]
    assert f"{name} is being deleted (its finalizers: {FINALIZER})" in message
    patch(kubectl, kind, name, {"finalizers": None})
    agent.await_condition("Degraded", "False", seconds=SECONDS)
    until(lambda: kubectl.get(kind, name)["metadata"]["uid"] != before["uid"], "another", SECONDS)
    agent.await_condition("Ready", seconds=SECONDS)
    agent.ask(QUESTIONS[0])


def named(agent: AgentUnderTest, which: str) -> tuple[str, str]:
    kind, name = OBJECTS[which]
    return kind, name.replace("STABLE", agent.status["stableRevision"]).replace("NAME", agent.name)
