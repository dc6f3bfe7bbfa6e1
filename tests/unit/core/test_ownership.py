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
X = {"uid": "x"}
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
        (
            OURS | {"labels": DESIRED["labels"] | {"app.kubernetes.io/managed-by": "Helm"}},
            "NameTaken",
            "by Helm",
        ),
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
            OURS | {"ownerReferences": [OWNER | {"uid": "y"}, CONTROLLER | {"kind": "App"} | X]},
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
def test_an_object_is_owned_by_the_agent_orphaned_or_owned_by_another(
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


def test_a_label_is_restored_without_a_change_of_the_owners() -> None:
    claim = build_claim(DESIRED, FOUND | {"ownerReferences": [CONTROLLER]})
    assert claim == {"uid": "u", "resourceVersion": "7", "labels": DESIRED["labels"]}


def test_references_of_pods_are_found() -> None:
    cluster = Cluster()
    cluster.settle()
    (deployment,) = [body for (kind, _), body in cluster.objects.items() if kind == "Deployment"]
    used = find_references(deployment)
    assert ("ServiceAccount", "shop") in used
    assert ("ConfigMap", deployment["metadata"]["name"]) in used
    assert ("Secret", "shop-redis") in used
    assert not find_references(cluster.objects["Service", "shop"])


@pytest.mark.parametrize(
    ("pod", "used"),
    [
        ({"serviceAccountName": "a"}, ("ServiceAccount", "a")),
        ({"volumes": [{"configMap": {"name": "a"}}]}, ("ConfigMap", "a")),
        ({"volumes": [{"secret": {"secretName": "a"}}]}, ("Secret", "a")),
        ({"volumes": [{"projected": {"sources": [{"secret": {"name": "a"}}]}}]}, ("Secret", "a")),
        ({"containers": [{"envFrom": [{"configMapRef": {"name": "a"}}]}]}, ("ConfigMap", "a")),
        ({"containers": [{"envFrom": [{"secretRef": {"name": "a"}}]}]}, ("Secret", "a")),
        (
            {"containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "a"}}}]}]},
            ("ConfigMap", "a"),
        ),
        (
            {"initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "a"}}}]}]},
            ("Secret", "a"),
        ),
        ({"volumes": [{"emptyDir": {}, "name": "a"}]}, None),
    ],
)
def test_each_form_of_a_reference_is_found(
    pod: dict[str, Any], used: tuple[str, str] | None
) -> None:
    found = find_references({"spec": {"template": {"spec": pod}}})
    assert found == ({used} if used else set())


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
    assert join_entries({"managedFields": [created]}, "us") is None, "it has not been applied"
    claimed = entry("Update", {"f:metadata": {"f:labels": {"f:x": {}}}}, manager="us-metadata")
    joined = join_entries({"managedFields": [claimed, applied]}, "us", "us-metadata")
    assert joined == [entry("Apply", applied["fieldsV1"] | claimed["fieldsV1"])]
    assert join_entries({}, "us") is None
