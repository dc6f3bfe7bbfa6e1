"""Somebody edits or deletes the objects of an agent by hand: at rest, and during a rollout."""

from __future__ import annotations

import json
from dataclasses import dataclass

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

HEALED_SECONDS = 60
FIRST_DELAY_SECONDS = 120
RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery. Postage is 5 EUR.\n"
QUESTIONS = ("How long do I have to return a lamp?", "What is the postage?")
QUIET_KINDS = (
    "configmaps", "secrets", "serviceaccounts", "roles", "rolebindings", "poddisruptionbudgets",
    "controllerrevisions", "jobs",
)  # fmt: skip
SERVING_KINDS = ("services", "deployments", "statefulsets")
"""What is deleted with them serves nobody until it is made again."""
PARTS = ("spec", "data", "rules", "subjects", "roleRef")
"""Where an object says what it is."""


@dataclass(frozen=True)
class Edit:
    """An edit of an object; NAME is the agent's, STABLE its stable revision's."""

    kind: str
    name: str
    patch: Object


EDITS = {
    "selector of the agent's Service": Edit(
        "service", "NAME", {"spec": {"selector": {"app": "another"}}}
    ),
    "selector of a revision's Service": Edit(
        "service", "NAME-STABLE", {"spec": {"selector": {"app": "another"}}}
    ),
    "port of the agent's Service": Edit(
        "service", "NAME", {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 1}]}}
    ),
    "owner of the agent's Service": Edit(
        "service", "NAME", {"metadata": {"ownerReferences": None}}
    ),
    "label of a Role": Edit(
        "role", "NAME-gateway", {"metadata": {"labels": {"chatagent.dev/role": None}}}
    ),
    "rules of a Role": Edit("role", "NAME-gateway", {"rules": []}),
    "subjects of a RoleBinding": Edit("rolebinding", "NAME-gateway", {"subjects": []}),
    "routes": Edit("configmap", "NAME-routes", {"data": {"routes.json": "{}"}}),
    "configuration of HAProxy": Edit("configmap", "NAME-gateway", {"data": {"slots.map": ""}}),
    "replicas of the gateway": Edit("statefulset", "NAME-gateway", {"spec": {"replicas": 1}}),
    "replicas of Redis": Edit("statefulset", "NAME-redis", {"spec": {"replicas": 0}}),
    "replicas of a revision": Edit("deployment", "NAME-STABLE", {"spec": {"replicas": 2}}),
    "budget of the gateway": Edit(
        "poddisruptionbudget", "NAME-gateway", {"spec": {"maxUnavailable": 2}}
    ),
}


@pytest.fixture(
    scope="module", params=[pytest.param("settled", marks=pytest.mark.campaign), "canary"]
)
def agent(operator: Kubectl, namespace: Kubectl, request: pytest.FixtureRequest) -> AgentUnderTest:
    """An agent with one revision, or the same with a canary that waits at 5 %."""
    agent = AgentUnderTest(namespace, request.param)
    namespace.apply(documents(agent.name, returns_md=RETURNS))
    agent.apply(FIRST_TAG)
    agent.await_condition("Ready", seconds=240)
    if request.param == "canary":
        agent.apply(SECOND_TAG)
        agent.await_weight(5)
    return agent


def substance(body: Object) -> Object:
    """What an object says, without what the API server and its controllers add."""
    metadata = body["metadata"]
    kept = {part: body[part] for part in PARTS if part in body}
    if routes := (body.get("data") or {}).get("routes.json"):
        kept["data"] = json.loads(routes) | {"generation": "the next one"}
    owners = metadata.get("ownerReferences")
    return kept | {"labels": metadata.get("labels"), "ownerReferences": owners}


def named(edit: Edit, agent: AgentUnderTest) -> str:
    name = edit.name.replace("STABLE", agent.status["stableRevision"])
    return name.replace("NAME", agent.name)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("edited", EDITS)
def test_an_edit_of_a_child_is_reverted(agent: AgentUnderTest, edited: str) -> None:
    edit, kubectl = EDITS[edited], agent.kubectl
    name = named(edit, agent)
    before = substance(kubectl.get(edit.kind, name))
    kubectl.run("patch", edit.kind, name, "--type=merge", "-p", json.dumps(edit.patch))
    until(lambda: substance(kubectl.get(edit.kind, name)) == before, edited, HEALED_SECONDS)
    agent.await_condition("Ready", seconds=HEALED_SECONDS)


@pytest.mark.timeout(900)
def test_every_deleted_child_is_recreated(agent: AgentUnderTest) -> None:
    with Traffic(agent.url, QUESTIONS, clients=2, pause=0.1) as traffic:
        recreate_all(agent, QUIET_KINDS)
        agent.await_condition("CacheReady", seconds=120)
    assert traffic.failed == [], f"of {len(traffic.turns)}"
    recreate_all(agent, SERVING_KINDS)
    # The store has no volume, and an index that is lost again waits before it is built again.
    agent.await_condition("Ready", seconds=HEALED_SECONDS + FIRST_DELAY_SECONDS)
    agent.await_condition("Degraded", "False", seconds=HEALED_SECONDS)
    agent.ask(QUESTIONS[0])


def recreate_all(agent: AgentUnderTest, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        for body in agent.kubectl.list(kind, f"chatagent.dev/agent={agent.name}"):
            owners = body["metadata"].get("ownerReferences") or []
            if any(each["kind"] == "ChatAgent" for each in owners):  # not of another controller
                recreate(agent.kubectl, kind, body["metadata"]["name"])


def recreate(kubectl: Kubectl, kind: str, name: str) -> None:
    """Delete an object, and wait until there is another one of its name."""
    uid = kubectl.get(kind, name)["metadata"]["uid"]
    kubectl.run("delete", kind, name, "--wait=false")

    def is_there() -> bool:
        flags = ("--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
        return kubectl.run("get", kind, name, *flags).strip() not in ("", uid)

    until(is_there, f"{kind}/{name}", HEALED_SECONDS)
