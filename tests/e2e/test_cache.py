"""An agent's Redis comes and goes; the agent answers all the while."""

from __future__ import annotations

import pytest

from tests.cluster.kubectl import AgentUnderTest, Kubectl, documents, until

QUESTION = "Within how many days can I return a lamp?"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def shop(namespace: Kubectl) -> AgentUnderTest:
    return AgentUnderTest(namespace, "remembers")


def test_redis_goes_and_comes(shop: AgentUnderTest) -> None:
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

    # A Secret that is deleted is made again once a pod misses it.
    before = shop.kubectl.get("secret", redis)["data"]["password"]
    shop.kubectl.run("delete", secret)
    shop.kubectl.run("delete", "pod", f"{redis}-0")
    until(lambda: shop.kubectl.list("secret", f"chatagent.dev/agent={shop.name}"), "a new Secret")
    assert shop.kubectl.get("secret", redis)["data"]["password"] != before
    shop.await_condition("CacheReady")
    assert shop.condition("Ready")["status"] == "True"
    assert "30 days" in shop.ask(QUESTION).text
