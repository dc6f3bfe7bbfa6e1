"""A namespace whose quota or LimitRange forbids the pods of an agent: it is said, and heals."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster.kubectl import AgentUnderTest, Kubectl, Object, documents, until

SECONDS = 60
"""Within which it must be said."""
RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery.\n"

QUOTA: Object = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "limit"},
    "spec": {"hard": {"limits.cpu": "20", "limits.memory": "24Gi", "pods": "20"}},
}
LIMIT_RANGE: Object = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "limit"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "1200Mi"}}]},
}
REQUESTS = {"cpu": "20m", "memory": "64Mi"}


def limits(cpu: str, memory: str) -> Object:
    return {"requests": REQUESTS, "limits": {"cpu": cpu, "memory": memory}}


ALLOWED: dict[str, Any] = {
    "resources": limits("2", "1Gi"),
    "gateway": {"resources": limits("1", "256Mi"), "syncResources": limits("200m", "128Mi")},
    "vectorStore": {"managed": {"resources": limits("1", "1Gi")}},
    "redis": {"managed": {"resources": limits("500m", "256Mi")}},
    "knowledge": {
        "sources": [{"name": "help", "configMap": {"name": "forbidden"}}],
        "ingestion": {"resources": limits("1", "1Gi")},
    },
}
"""What both allow."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["quota", "limit range"])
def limited(namespace: Kubectl, request: pytest.FixtureRequest) -> Generator[str]:
    body = QUOTA if request.param == "quota" else LIMIT_RANGE
    namespace.apply(body)
    yield request.param
    namespace.run("delete", "chatagent", "forbidden")
    namespace.run("delete", body["kind"], "limit")


def test_pods_that_a_namespace_forbids_are_said(namespace: Kubectl, limited: str) -> None:
    agent = AgentUnderTest(namespace, "forbidden")
    namespace.apply(documents(agent.name, returns_md=RETURNS))
    agent.apply()
    agent.await_condition("Degraded", reason="PodsCannotBeMade", seconds=SECONDS)
    parts = ("GatewayReady", "VectorStoreReady", "CacheReady")
    word = "quota" if limited == "quota" else "maximum memory usage"
    if limited == "quota":
        for each in parts:
            agent.await_condition(each, "False", "PodsCannotBeMade", seconds=SECONDS)
    message = until(lambda: agent.condition("Degraded").get("message"), "a message")
    assert word in message
    agent.apply(**ALLOWED)
    agent.await_condition("Ready", seconds=300)
    agent.await_condition("Degraded", "False", seconds=SECONDS)
    assert "30 days" in agent.ask("How long do I have to return a lamp?").text
