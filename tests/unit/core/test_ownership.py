"""Whose an existing object is, and how fields that it was created with are removed."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core.agent import Agent, build_service_account
from chatagent_operator.core.managed_fields import join_entries
from chatagent_operator.core.ownership import build_claim, find_obstacle, find_references
from tests.unit.core.simulation import Cluster

FOUND = {"name": "shop", "uid": "u", "resourceVersion": "7"}
OWNER = {"apiVersion": "v1", "kind": "ChatAgent", "name": "shop", "uid": "uid-1"}
CONTROLLER = OWNER | {"controller": True}


def build(agent: Agent) -> dict[str, Any]:
    return build_service_account(agent, "shop", "agent")["metadata"]


DESIRED = build(Cluster().agent)
OURS = FOUND | {"labels": DESIRED["labels"]}


@pytest.mark.parametrize(
    ("found", "reason", "told"),
    [
        (FOUND | {"ownerReferences": [CONTROLLER]}, None, ""),
        (FOUND | {"ownerReferences": [OWNER]}, None, ""),
        (OURS, None, ""),
        (FOUND, "NameTaken", "has no owner; delete it, or give the agent another name"),
        (OURS | {"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "NameTaken", "by Helm"),
        (
            OURS | {"labels": DESIRED["labels"] | {"chatagent.dev/agent": "other"}},
            "NameTaken",
            "managed by chatagent-operator",
        ),
        (
            OURS | {"ownerReferences": [CONTROLLER | {"kind": "App", "uid": "x"}]},
            "NameTaken",
            "is owned by App shop",
        ),
        (
            OURS | {"ownerReferences": [OWNER | {"name": "other", "uid": "x"}]},
            "NameTaken",
            "is owned by ChatAgent other",
        ),
        (
            OURS | {"ownerReferences": [CONTROLLER | {"uid": "uid-0"}]},
            "NameTaken",
            "a deleted ChatAgent shop with the UID uid-0",
        ),
        (
            OURS | {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]},
            "Terminating",
            "finalizers: a/b",
        ),
    ],
)
def test_an_object_is_the_agents_or_an_orphan_or_somebody_elses(
    found: dict[str, Any], reason: str | None, told: str
) -> None:
    obstacle = find_obstacle("ServiceAccount", DESIRED, found)
    assert (obstacle.reason if obstacle else None) == reason
    assert obstacle is None or ("ServiceAccount shop" in obstacle.message)
    assert obstacle is None or told in obstacle.message


def test_an_orphan_is_claimed_as_it_was_judged() -> None:
    other = {"kind": "App", "name": "a", "uid": "x"}
    found = OURS | {"ownerReferences": [other, OWNER], "labels": {"theirs": "1"}}
    claim = build_claim(DESIRED, found)
    assert claim == {
        "uid": "u",
        "resourceVersion": "7",
        "labels": DESIRED["labels"],
        "ownerReferences": [other, *DESIRED["ownerReferences"]],
    }
    assert build_claim(DESIRED, OURS | {"ownerReferences": [CONTROLLER]}) is None


def test_what_pods_use_is_found() -> None:
    cluster = Cluster()
    cluster.settle()
    (deployment,) = [body for (kind, _), body in cluster.objects.items() if kind == "Deployment"]
    used = find_references(deployment)
    assert ("ServiceAccount", "shop") in used
    assert ("ConfigMap", deployment["metadata"]["name"]) in used
    assert ("Secret", "shop-redis") in used
    assert not find_references(cluster.objects["Service", "shop"])


def entry(operation: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"manager": "us", "operation": operation, "fieldsV1": fields} | more


def test_fields_of_a_create_are_removed_by_an_apply() -> None:
    created = entry("Update", {"f:data": {".": {}, "f:a": {}, "f:b": {}}})
    applied = entry("Apply", {"f:data": {"f:a": {}, "f:c": {}}})
    status = entry("Update", {"f:status": {}}, subresource="status")
    other = created | {"manager": "kubectl-edit"}
    joined = join_entries({"managedFields": [created, status, other, applied]}, "us")
    everything = {"f:data": {".": {}, "f:a": {}, "f:b": {}, "f:c": {}}}
    assert joined == [status, other, entry("Apply", everything)]
    assert join_entries({"managedFields": joined}, "us") is None
    claimed = entry("Update", {"f:metadata": {"f:labels": {"f:x": {}}}}, manager="us-metadata")
    joined = join_entries({"managedFields": [claimed, applied]}, "us", "us-metadata")
    assert joined == [entry("Apply", applied["fieldsV1"] | claimed["fieldsV1"])]
    assert join_entries({}, "us") is None
