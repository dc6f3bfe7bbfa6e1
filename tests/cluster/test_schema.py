"""What the API server itself rejects: the message must name the field and say what is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.kubectl import Kubectl, KubectlError, manifest

MANAGED_AND_EXTERNAL = {"managed": {}, "external": {"url": "http://chroma:8000"}}
ROUTED = {"provider": "gateway-api", "parentRefs": [{"name": "public"}]}
SLOW = {"storage": {"size": "1Gi", "storageClassName": "slow"}}
TOOL = {"name": "a", "http": {"url": "http://orders"}}
WEIGH = {"setWeight": 20}
SAME_NAME = [{"name": "a", "configMap": {"name": "x"}}, {"name": "a", "configMap": {"name": "y"}}]


@pytest.mark.parametrize(
    ("changes", "field", "wanted"),
    [
        ({"image": ""}, "spec.image", "should be at least 1 chars long"),
        ({"image": "a b"}, "spec.image", "should match"),
        ({"image": None}, "spec.image", "Required value"),
        ({"replicas": 0}, "spec.replicas", "greater than or equal to 1"),
        ({"replicas": "two"}, "spec.replicas", "must be of type integer"),
        ({"knowledge": {"sources": []}}, "spec.knowledge.sources", "at least 1"),
        ({"knowledge": {"sources": SAME_NAME}}, "spec.knowledge.sources[1]", "Duplicate value"),
        (
            {"rollout": {"steps": [{"setWeight": 101}]}},
            "spec.rollout.steps[0].setWeight",
            "less than or equal",
        ),
        (
            {"rollout": {"steps": [WEIGH, {"setWeight": 5}]}},
            "spec.rollout",
            "must increase from step to step",
        ),
        ({"rollout": {"steps": [WEIGH, WEIGH]}}, "spec.rollout", "must increase from step to step"),
        ({"rollout": {"steps": [{}]}}, "spec.rollout.steps[0]", "a step must have exactly one of"),
        (
            {"rollout": {"steps": [{"analysis": {}}, WEIGH]}},
            "spec.rollout",
            "requires a setWeight step",
        ),
        (
            {"rollout": {"steps": [{"pause": {}}, {"analysis": {}}, WEIGH]}},
            "spec.rollout",
            "requires a setWeight step before it",
        ),
        (
            {"rollout": {"steps": [WEIGH, {"analysis": {}}], "analysis": {"metrics": []}}},
            "spec.rollout",
            "an analysis step requires at least one metric",
        ),
        (
            {"rollout": {"analysis": {"metrics": [{"name": "a", "query": "up", "max": 1}]}}},
            "spec.rollout.analysis",
            "a metric with a query requires prometheus",
        ),
        (
            {"rollout": {"analysis": {"metrics": [{"name": "a", "measure": "latency"}]}}},
            "spec.rollout.analysis.metrics[0]",
            "a metric must have a limit",
        ),
        ({"rollout": {"analysis": {"interval": "fast"}}}, "interval", "should match"),
        (
            {"rollout": {"analysis": {"evaluation": {}}}},
            "evaluation",
            "exactly one of configMap and",
        ),
        (
            {"pipeline": {"llm": {"model": "gpt"}}},
            "spec.pipeline.llm.model",
            "should match '^(extractive|",
        ),
        (
            {"pipeline": {"retrieval": {"topK": 500}}},
            "spec.pipeline.retrieval.topK",
            "less than or equal to 50",
        ),
        ({"vectorStore": MANAGED_AND_EXTERNAL}, "spec.vectorStore", "set only one"),
        (
            {"vectorStore": {"engine": "weaviate"}},
            "spec.vectorStore",
            "this engine requires external",
        ),
        (
            {"pipeline": {"retrieval": {"vectorStore": "chroma://x"}}},
            "spec.pipeline",
            "retrieval.vectorStore must not be set; set spec.vectorStore",
        ),
        (
            {"pipeline": {"llm": {"promptTemplate": "It asks nothing."}}},
            "spec.pipeline",
            "llm.promptTemplate must contain the placeholder {question}",
        ),
        ({"pipeline": {"tools": [TOOL, TOOL]}}, "spec.pipeline.tools[1]", "Duplicate value"),
        (
            {"pipeline": {"tools": [TOOL | {"mcp": {"url": "http://m"}}]}},
            "spec.pipeline",
            "must have only one of http, mcp and python",
        ),
        (
            {"pipeline": {"tools": [{"name": "a", "http": {}}]}},
            "spec.pipeline",
            "http of a tool must have openapi or url",
        ),
        (
            {"pipeline": {"tools": [{"name": "a", "mcp": {}}]}},
            "spec.pipeline",
            "mcp of a tool must have exactly one of url and command",
        ),
        (
            {"vectorStore": {"external": {"url": "chroma:8000"}}},
            "spec.vectorStore.external.url",
            "should match",
        ),
        (
            {"resources": {"limits": {"memory": "much"}}},
            "spec.resources.limits.memory",
            "should match",
        ),
        (
            {"pod": {"env": [{"name": "AGENT_REVISION", "value": "x"}]}},
            "spec.pod.env[0].name",
            "are reserved for the operator",
        ),
        (
            {"redis": {"managed": {}, "external": {"url": "redis://r"}}},
            "spec.redis",
            "set only one",
        ),
        (
            {"redis": {"external": {"url": "redis://:secret@r"}}},
            "spec.redis.external.url",
            "should match",
        ),
        ({"gateway": {"provider": "gateway-api"}}, "spec.gateway", "requires parentRefs"),
        (
            {"gateway": {"parentRefs": [{"name": "public"}]}},
            "spec.gateway",
            "parentRefs and hostnames require provider gateway-api",
        ),
        (
            {"gateway": ROUTED | {"service": {"type": "LoadBalancer"}}},
            "spec.gateway",
            "service requires provider haproxy",
        ),
        (
            {"gateway": ROUTED | {"hostnames": ["http://a"]}},
            "spec.gateway.hostnames[0]",
            "should match",
        ),
        ({"replcas": 2}, 'unknown field "spec.replcas"', ""),
    ],
)
def test_a_wrong_field_is_named(
    namespace: Kubectl, changes: dict[str, Any], field: str, wanted: str
) -> None:
    body = manifest("wrong", **changes)
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    with pytest.raises(KubectlError) as refused:
        namespace.create(body)
    assert field in str(refused.value)
    assert wanted in str(refused.value)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a" * 41, "at most 40 characters"),
        ("1shop", "begin with a letter"),
        ("a.b", "lower-case"),
        ("default", "must not be default"),
        ("shop-gateway", "objects of other agents"),
        ("shop-gateway-0", "objects of other agents"),
        ("shop-redis", "objects of other agents"),
        ("shop-0123abcd", "objects of other agents"),
    ],
)
def test_a_name_that_children_cannot_have(namespace: Kubectl, name: str, wanted: str) -> None:
    with pytest.raises(KubectlError, match=wanted):
        namespace.create(manifest(name))


def test_a_volume_cannot_be_changed_later(namespace: Kubectl) -> None:
    sized = manifest("sized", suspend=True, vectorStore={"managed": {"storage": {"size": "1Gi"}}})
    namespace.apply(sized)
    for changed in ({"managed": {"storage": {"size": "2Gi"}}}, {"managed": SLOW}):
        sized["spec"]["vectorStore"] = changed
        with pytest.raises(KubectlError, match="the volume of a managed vector store is immutable"):
            namespace.apply(sized)
    del sized["spec"]["vectorStore"]  # the default is of that size too
    namespace.apply(sized)


def test_every_field_is_explained(namespace: Kubectl) -> None:
    text = namespace.run("explain", "chatagent", "--recursive")
    assert "setWeight" in text
    for field in (
        "spec.pipeline.llm.minScore",
        "spec.rollout.steps.setWeight",
        "status.conditions",
    ):
        explained = namespace.run("explain", f"chatagent.{field}")
        assert "DESCRIPTION" in explained
        assert "<empty>" not in explained.split("FIELDS")[0]


def test_the_table_has_its_columns(namespace: Kubectl) -> None:
    namespace.apply(manifest("listed", suspend=True))
    header = namespace.run("get", "ca").splitlines()[0].split()
    wanted = ["NAME", "READY", "PHASE", "ROLLOUT", "STABLE", "CANARY", "WEIGHT", "URL", "AGE"]
    assert header == wanted


def test_the_volume_of_a_redis_cannot_be_changed_later(namespace: Kubectl) -> None:
    bare = manifest("remembers", suspend=True)
    external = {"external": {"url": "redis://redis.example:6379"}}
    kept = {"managed": {"storage": {"size": "1Gi"}}}
    namespace.apply(bare)
    with pytest.raises(KubectlError, match="volume of a managed Redis"):
        namespace.apply(manifest("remembers", suspend=True, redis=kept))
    # The default, written out, is no change; and an external one may come and go.
    namespace.apply(manifest("remembers", suspend=True, redis={"managed": {}}))
    namespace.apply(manifest("remembers", suspend=True, redis=external))
    namespace.apply(manifest("remembers", suspend=True, redis=kept))
    with pytest.raises(KubectlError, match="volume of a managed Redis"):
        namespace.apply(manifest("remembers", suspend=True, redis={"managed": {}}))
    namespace.run("delete", "chatagent", "remembers")
