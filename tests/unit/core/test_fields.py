"""A change of any field that is not versioned reaches every object that carries it, even while the
agent's pods cannot start, or the field says why it writes nothing.

The fields come from the CRD's schema, so that a new one is covered or listed here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pydantic
import pytest

from chatagent_operator.api.crd import structural
from chatagent_operator.api.v1alpha1 import ChatAgentSpec, VersionedSpec
from tests.unit.core.simulation import Cluster, spec

Path = tuple[str, ...]

ON_ADVANCE = "it is read when a rollout advances, and changes no object before"
EXCEPTIONS = {
    ("rollout",): ON_ADVANCE,
    ("knowledge", "ingestion"): "the next Job has it; one that is complete is not run again",
    ("suspend",): "it stops all writes",
}
"""Prefixes of fields that write nothing, each with the reason."""

EXTERNAL_STORE = {"url": "https://a.example", "tokenSecretRef": {"name": "a", "key": "a"}}
EXTERNAL_REDIS = {"url": "rediss://a.example", "passwordSecretRef": {"name": "a", "key": "a"}}
PARENTS = [{"name": "a", "namespace": "a", "sectionName": "a"}]
QUANTITIES = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
TOLERATION = {
    "key": "a",
    "operator": "Equal",
    "value": "a",
    "effect": "NoExecute",
    "tolerationSeconds": 1,
}
POD = {
    "labels": {"a": "a"},
    "annotations": {"a": "a"},
    "nodeSelector": {"a": "a"},
    "tolerations": [TOLERATION],
    "topologySpreadConstraints": [{"maxSkew": 1}],
}
VOLUME = {"size": "1Gi", "storageClassName": "a"}

BASES: tuple[dict[str, Any], ...] = (
    {},
    {
        "vectorStore": {"managed": {"storage": VOLUME, "resources": QUANTITIES, "pod": POD}},
        "redis": {"managed": {"storage": VOLUME, "resources": QUANTITIES, "pod": POD}},
        "gateway": {
            "service": {"type": "NodePort", "annotations": {"a": "a"}},
            "resources": QUANTITIES,
            "syncResources": QUANTITIES,
            "pod": POD,
        },
    },
    {
        "vectorStore": {"engine": "weaviate", "external": EXTERNAL_STORE | {"grpcPort": 1}},
        "redis": {"external": EXTERNAL_REDIS},
        "gateway": {"provider": "gateway-api", "parentRefs": PARENTS, "hostnames": ["a.example"]},
    },
)
"""Specs one of which has each field, with a value that `CHANGED` differs from."""

CHANGED: dict[str, tuple[Any, ...]] = {
    "string": ("2Gi", "b", "https://b.example", "rediss://b.example", "b.example"),
    "integer": (2, 3, 61, 86401),
    "boolean": (True, False),
    "number": (0.5, 2.0),
    "object": ({"nodeAffinity": {}}, {"maxSkew": 2}),
}


TOGETHER: dict[Path, dict[str, Any]] = {
    ("gateway", "provider"): {"gateway": {"provider": "gateway-api", "parentRefs": PARENTS}},
}
"""Fields that are valid only with others, each with a spec that has all of them."""


def fields(schema: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every field of a schema that has no fields of its own."""
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from fields(inner, (*path, name))
    elif schema.get("type") == "array":
        yield from fields(schema["items"], (*path, "[]"))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield (*path, "{}"), schema["additionalProperties"]
    else:
        yield path, schema


VERSIONED = set(structural(VersionedSpec)["properties"])
FIELDS = [
    (path, schema) for path, schema in fields(structural(ChatAgentSpec)) if path[0] not in VERSIONED
]


def is_exception(path: Path) -> bool:
    return any(path[: len(prefix)] == prefix for prefix in EXCEPTIONS)


WRITTEN = [(path, schema) for path, schema in FIELDS if not is_exception(path)]


def changes(path: Path, schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """A valid spec that has the field, and valid ones with another value of it."""
    if path in TOGETHER:
        yield spec(), spec(**deepcopy(TOGETHER[path]))
    values = schema.get("enum") or CHANGED[schema.get("type", "string")]
    pattern = schema.get("pattern", "")
    values = [each for each in values if not isinstance(each, str) or re.search(pattern, each)]
    for base in BASES:
        before = spec(**json.loads(json.dumps(base)))  # no two fields are one object
        for value in values:
            after = deepcopy(before)
            if not put(after, path, value) or after == before:
                continue
            try:
                if ChatAgentSpec.model_validate(after) != ChatAgentSpec.model_validate(before):
                    yield before, after
            except pydantic.ValidationError:
                continue


def put(fields: Any, path: Path, value: Any) -> bool:
    """Set a field where its parent exists."""
    first, *rest = path
    key: Any = 0 if first == "[]" else next(iter(fields), "b") if first == "{}" else first
    if not rest:
        fields[key] = value
        return True
    if first == "[]" and not fields:
        return False
    if not isinstance(fields, list) and key not in fields:
        if len(rest) > 1 or rest[0] in ("[]", "{}"):
            return False
        fields[key] = {}
    return put(fields[key], tuple(rest), value)


def settled(fields: dict[str, Any], broken: set[str]) -> Cluster:
    """An agent, of which pods and Jobs with a broken image cannot start."""
    cluster = Cluster(json.loads(json.dumps(fields)), broken_images=broken)
    cluster.sources |= {name: f"content of {name}" for name in "ab"}
    cluster.settle()
    return cluster


def contents(cluster: Cluster) -> dict[tuple[str, str], dict[str, Any]]:
    """What each object says, without what the API server adds."""
    found = json.loads(json.dumps([[key, body] for key, body in cluster.objects.items()]))
    for (kind, _), body in found:
        body.pop("status", None)
        metadata = body["metadata"]
        body["metadata"] = {key: metadata.get(key) for key in ("labels", "ownerReferences")}
        if kind == "Service":
            body["spec"].pop("clusterIP", None)
    # A Job that is complete has no use for what changed since, nor routes for their generation.
    return {
        (kind, name): body
        for (kind, name), body in found
        if not is_complete(cluster, kind, name) and name != "shop-routes"
    }


def is_complete(cluster: Cluster, kind: str, name: str) -> bool:
    return kind == "Job" and "status" in cluster.objects[kind, name]


@pytest.mark.parametrize(("path", "schema"), WRITTEN, ids=[".".join(path) for path, _ in WRITTEN])
def test_a_change_reaches_every_object_that_carries_it(path: Path, schema: dict[str, Any]) -> None:
    has_written = False
    for before, after in changes(path, schema):
        for broken in (set[str](), {"runtime:1"}):
            cluster, expected = settled(before, broken), contents(settled(after, broken))
            cluster.spec = json.loads(json.dumps(after))
            has_written |= bool(cluster.plan().writes)
            cluster.settle()
            found = contents(cluster)
            stale = [key for key, body in expected.items() if found.get(key) != body]
            assert not stale, f"the change of {'.'.join(path)} did not reach {stale}"
    assert has_written, f"no valid change of {'.'.join(path)} was written: add a base that has it"


def test_every_exception_is_a_field() -> None:
    for prefix in EXCEPTIONS:
        assert any(path[: len(prefix)] == prefix for path, _ in FIELDS), prefix
