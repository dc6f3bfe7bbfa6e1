"""What only the operator can see: a condition and an Event within seconds, and it heals."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.cluster.kubectl import (
    IMAGES,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    documents,
    until,
)

SECONDS = 30
"""Within which trouble must be told, once there is some."""

STARTING = {"ContainerCreating", "PodInitializing"}

RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery.\n"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def shop(namespace: Kubectl, request: pytest.FixtureRequest) -> Generator[AgentUnderTest]:
    """An agent of the test's own, which goes with it: the node has room for a few."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-")
    yield AgentUnderTest(namespace, name)
    namespace.run("delete", "chatagents", "--all", "--wait=false")


def with_documents(agent: AgentUnderTest) -> AgentUnderTest:
    agent.kubectl.apply(documents(agent.name, returns_md=RETURNS))
    return agent


def await_failure(agent: AgentUnderTest) -> None:
    """Wait until a container has failed, or cannot begin."""

    def broken() -> bool:
        pods = agent.kubectl.list("pods", f"chatagent.dev/agent={agent.name}")
        found = [
            state
            for pod in pods
            for container in pod["status"].get("containerStatuses", [])
            for state in (container["state"], container.get("lastState", {}))
        ]
        return any(
            each.get("waiting", {}).get("reason", "ContainerCreating") not in STARTING
            or each.get("terminated", {}).get("exitCode")
            for each in found
        )

    until(broken, "a container that fails")


def await_event(agent: AgentUnderTest, reason: str) -> str:
    """Wait for an Event with this reason; returns its message."""
    found = until(
        lambda: [message for why, message in agent.events() if why == reason], reason, SECONDS
    )
    return found[-1]


def test_missing_documents(shop: AgentUnderTest) -> None:
    shop.apply()
    found = shop.await_condition("ResolvedRefs", "False", "ConfigMapNotFound", SECONDS)
    assert "spec.knowledge.sources[0].configMap" in found["message"]
    assert shop.name in await_event(shop, "ConfigMapNotFound")
    with_documents(shop)
    shop.await_condition("ResolvedRefs")
    shop.await_condition("Ready")
    shop.await_condition("Degraded", "False")
    assert "30 days" in shop.ask("Within how many days can I return a lamp?").text


def test_missing_secret(shop: AgentUnderTest) -> None:
    with_documents(shop).apply(pod={"envFrom": [{"secretRef": {"name": "keys"}}]})
    await_failure(shop)
    found = shop.await_condition("ResolvedRefs", "False", "SecretNotFound", SECONDS)
    assert "keys" in found["message"]
    assert "keys" in await_event(shop, "SecretNotFound")
    shop.kubectl.run("create", "secret", "generic", "keys", "--from-literal=KEY=value")
    shop.await_condition("ResolvedRefs")
    shop.await_condition("Ready")


def test_image_that_cannot_be_pulled_takes_no_traffic(shop: AgentUnderTest) -> None:
    with_documents(shop).apply()
    shop.await_condition("Ready")
    stable = shop.status["stableRevision"]
    shop.apply("does-not-exist")
    await_failure(shop)
    found = shop.await_condition("Degraded", "True", "ImagePullFailed", SECONDS)
    assert "does-not-exist" in found["message"]
    assert "does-not-exist" in await_event(shop, "ImagePullFailed")
    assert shop.status["rollout"]["weight"] == 0
    assert {shop.ask("Can I return a lamp?").revision for _ in range(40)} == {stable}
    refused = shop.kubectl.plugin("promote", shop.name)
    assert refused.returncode == 1
    assert "is not ready" in refused.stderr
    shop.apply(SECOND_TAG)
    shop.await_weight(5)
    shop.await_condition("Degraded", "False")


def test_first_image_that_cannot_be_pulled(shop: AgentUnderTest) -> None:
    with_documents(shop).apply("does-not-exist")
    await_failure(shop)
    shop.await_condition("Degraded", "True", "ImagePullFailed", SECONDS)
    shop.apply()
    shop.await_condition("Ready")
    assert shop.status["phase"] == "Ready"


def test_store_that_does_not_answer(shop: AgentUnderTest) -> None:
    store = AgentUnderTest(shop.kubectl, "store")
    with_documents(store).apply()
    store.await_condition("VectorStoreReady")
    address = f"http://alias.{shop.kubectl.namespace}.svc:8000"
    with_documents(shop).apply(vectorStore={"external": {"url": address}})
    # Whoever waits for the store has to start first.
    found = shop.await_condition("VectorStoreReady", "False", "VectorStoreUnavailable")
    assert "alias" in found["message"]
    assert "alias" in await_event(shop, "VectorStoreUnavailable")
    alias = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "alias"},
        "spec": {
            "ports": [{"port": 8000}],
            "selector": {
                "chatagent.dev/agent": store.name,
                "chatagent.dev/role": "vector-store",
            },
        },
    }
    shop.kubectl.apply(alias)
    shop.await_condition("VectorStoreReady")
    shop.await_condition("Ready")


def test_model_that_is_not_in_the_image(shop: AgentUnderTest) -> None:
    with_documents(shop).apply()
    shop.await_condition("Ready")
    stable = shop.status["stableRevision"]
    shop.apply(pipeline={"retrieval": {"embeddingModel": "acme/other"}})
    await_failure(shop)
    found = shop.await_condition("Degraded", "True", "ModelNotFound", SECONDS)
    assert "pipeline.retrieval.embeddingModel" in found["message"]
    assert "sentence-transformers/all-MiniLM-L6-v2" in found["message"], "it says what there is"
    assert "acme/other" in await_event(shop, "ModelNotFound")
    assert shop.ask("Can I return a lamp?").revision == stable
    shop.apply()
    shop.await_condition("Degraded", "False")
    assert shop.status["phase"] == "Ready"


def test_spec_that_cannot_be_read_in_mid_rollout(shop: AgentUnderTest) -> None:
    rollout = {"steps": [{"setWeight": 50}, {"pause": {}}]}
    with_documents(shop).apply(rollout=rollout)
    shop.await_condition("Ready")
    stable = shop.status["stableRevision"]
    shop.apply(rollout=rollout, pipeline={"retrieval": {"topK": 7}})
    shop.await_weight(50)
    canary = shop.status["canaryRevision"]
    # What the API server takes as well formed.
    shop.apply(rollout=rollout | {"analysis": {"interval": "0s"}}, pipeline={})
    found = shop.await_condition("Accepted", "False", "InvalidSpec", SECONDS)
    assert "rollout.analysis.interval" in found["message"]
    assert "longer than 0s" in found["message"]
    assert shop.status["rollout"]["weight"] == 50, "what was accepted goes on"
    aborted = shop.kubectl.plugin("abort", shop.name)
    assert aborted.returncode == 0, aborted.stderr
    assert shop.status["failedRevision"] == canary
    until(shop.is_applied, "the abort to be applied", SECONDS)
    assert shop.ask("Can I return a lamp?").revision == stable
    shop.apply(rollout=rollout)
    shop.await_condition("Accepted")
    assert shop.status["stableRevision"] == stable


def test_object_that_the_api_server_refuses(shop: AgentUnderTest) -> None:
    with_documents(shop).apply(pod={"affinity": {"nodeAffinity": "here"}})
    found = shop.await_condition("Degraded", "True", "Rejected", SECONDS)
    assert "affinity" in found["message"]
    shop.apply()
    shop.await_condition("Ready")


def test_a_service_of_another_owner_is_not_changed(shop: AgentUnderTest) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": shop.name},
        "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "theirs"}},
    }
    shop.kubectl.apply(theirs)
    with_documents(shop).apply()
    found = shop.await_condition("Degraded", "True", "NameTaken", SECONDS)
    assert f"Service {shop.name}" in found["message"]
    kept = shop.kubectl.get("service", shop.name)
    assert kept["spec"]["selector"] == {"app": "theirs"}
    assert "ownerReferences" not in kept["metadata"]
    shop.kubectl.run("delete", "service", shop.name)
    shop.await_condition("Degraded", "False")
    shop.await_condition("Ready")


def test_changed_documents_are_answered_from(shop: AgentUnderTest) -> None:
    with_documents(shop).apply()
    shop.await_condition("Ready")
    version = until(lambda: shop.status["knowledge"].get("indexVersion"), "the first version", 30)
    changed = RETURNS.replace("30 days", "90 days")
    shop.kubectl.apply(documents(shop.name, returns_md=changed))
    question = "Within how many days can I return a lamp?"
    until(lambda: "90 days" in shop.ask(question).text, "the new answer", 60)
    until(lambda: shop.status["knowledge"]["indexVersion"] > version, "the new version", 30)


def test_retained_volume_stays(shop: AgentUnderTest) -> None:
    with_documents(shop).apply(vectorStore={"managed": {"deletionPolicy": "Retain"}})
    shop.await_condition("Ready")
    shop.kubectl.run("delete", "chatagent", shop.name)
    selector = f"chatagent.dev/agent={shop.name}"
    until(lambda: not shop.kubectl.list("pods,statefulsets", selector), "the pods are gone")
    (claim,) = shop.kubectl.list("persistentvolumeclaims", selector)
    assert claim["status"]["phase"] == "Bound"
    shop.kubectl.run("delete", "persistentvolumeclaim", claim["metadata"]["name"])


def test_suspended_agent_is_left_alone(shop: AgentUnderTest) -> None:
    with_documents(shop).apply()
    shop.await_condition("Ready")
    image = f"{IMAGES}/agent-runtime:{SECOND_TAG}"
    shop.apply(SECOND_TAG, suspend=True)
    shop.await_condition("Progressing", "False", "Suspended")
    assert image not in {
        pod["spec"]["containers"][0]["image"]
        for pod in shop.kubectl.list("pods", f"chatagent.dev/agent={shop.name}")
    }
    shop.apply(SECOND_TAG, suspend=False)
    shop.await_weight(5)
