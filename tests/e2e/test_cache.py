"""An agent's Redis comes and goes; the agent answers all the while."""

from __future__ import annotations

import pytest

from chatagent_operator.core.names import PASSWORD_ANNOTATION
from tests.cluster.kubectl import AgentUnderTest, Kubectl, documents, until

QUESTION = "Within how many days can I return a lamp?"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def shop(namespace: Kubectl) -> AgentUnderTest:
    return AgentUnderTest(namespace, "remembers")


def test_redis_is_deleted_and_recreated(shop: AgentUnderTest) -> None:
    text = "# Returns\n\nYou can return a lamp within 30 days of delivery.\n"
    shop.kubectl.apply(documents(shop.name, returns_md=text))
    shop.apply()
    shop.await_condition("CacheReady")
    shop.await_condition("Ready")
    redis, secret = f"{shop.name}-redis", f"secret/{shop.name}-redis"
    owners = shop.kubectl.get("secret", redis)["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [shop.body["metadata"]["uid"]]
    assert "30 days" in shop.ask(QUESTION).text

    # Away: nothing but the condition changes.
    shop.kubectl.run("scale", f"statefulset/{redis}", "--replicas=0")
    shop.await_condition("CacheReady", "False")
    assert shop.condition("Ready")["status"] == "True"
    assert "30 days" in shop.ask(QUESTION).text
    shop.kubectl.run("scale", f"statefulset/{redis}", "--replicas=1")
    shop.await_condition("CacheReady")

    # A Secret that is deleted is created again, and all pods restart to read it.
    before = shop.kubectl.get("secret", redis)["data"]["password"]
    revision = shop.status["stableRevision"]
    shop.kubectl.run("delete", secret)
    until(lambda: "PasswordChanged" in dict(shop.events()), "an Event", 60)
    shop.await_condition("CacheReady")
    found = shop.kubectl.get("secret", redis)
    assert found["data"]["password"] != before
    pods = [shop.kubectl.get("pod", f"{redis}-0"), *shop.pods(revision)]
    restarted = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    written = {pod["metadata"]["annotations"][PASSWORD_ANNOTATION] for pod in restarted}
    assert written == {found["metadata"]["creationTimestamp"]}
    assert shop.status["stableRevision"] == revision
    assert shop.condition("Ready")["status"] == "True"
    assert "30 days" in shop.ask(QUESTION).text
