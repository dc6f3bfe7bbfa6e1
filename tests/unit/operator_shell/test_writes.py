"""Writes that the API server refuses, and objects of other owners."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.untrusted import MESSAGE_BYTES
from chatagent_operator.execute import REJECTED_RETRY_SECONDS, TERMINATING_RETRY_SECONDS
from chatagent_operator.kube.errors import ApiError, RejectedError, StaleError, from_response
from chatagent_operator.kube.store import Identity
from chatagent_operator.reverts import CALM_SECONDS
from tests.unit.operator_shell.test_reconcile import World

WEBHOOK = b'{"kind": "Status", "message": "failed calling webhook: connection refused"}'
THEIRS = {"name": "shop", "uid": "theirs", "resourceVersion": "5", "labels": {}}


def stranger(kind: str, name: str, *owners: dict[str, Any]) -> dict[str, Any]:
    metadata = THEIRS | {"name": name, "ownerReferences": list(owners)}
    return {"kind": kind, "metadata": metadata, "data": {"theirs": "1"}}


def condition(world: World, kind: str) -> tuple[str, str, str]:
    (found,) = [c for c in world.kube.agent["status"]["conditions"] if c["type"] == kind]
    return found["status"], found["reason"], found["message"]


@pytest.mark.parametrize(
    ("kind", "name", "part"),
    [
        ("ServiceAccount", "shop", "WorkloadsReady"),
        ("ConfigMap", "shop-gateway", "GatewayReady"),
        ("Service", "shop", "GatewayReady"),
        ("Secret", "shop-redis", "CacheReady"),
        ("Service", "shop-chroma", "VectorStoreReady"),
    ],
)
async def test_a_strangers_object_is_never_written(kind: str, name: str, part: str) -> None:
    world = World(rollout={"steps": []})
    theirs = stranger(kind, name, {"kind": "App", "name": "crm", "uid": "x", "controller": True})
    world.cluster.objects[kind, name] = theirs
    before = str(theirs)
    due = await world.settle()
    assert due is not None
    assert due <= REJECTED_RETRY_SECONDS
    assert str(world.cluster.objects[kind, name]) == before
    for each in ("Degraded", part):
        _, reason, message = condition(world, each)
        assert reason == "NameTaken"
        assert f"{kind} {name} exists already and is owned by App crm" in message
    del world.cluster.objects[kind, name]
    world.seconds += REJECTED_RETRY_SECONDS
    await world.settle()
    assert condition(world, "Degraded")[0] == "False"
    assert condition(world, part)[0] == "True"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("PodDisruptionBudget", "shop-gateway"), ("RoleBinding", "shop-gateway")],
)
async def test_what_serves_is_ready_though_a_name_is_taken(
    world: World, kind: str, name: str
) -> None:
    world.cluster.objects[kind, name] = stranger(kind, name)
    await world.settle()
    assert world.cluster.objects[kind, name] == stranger(kind, name)
    assert condition(world, "Degraded")[1] == "NameTaken"
    assert condition(world, "GatewayReady")[0] == "True"
    assert condition(world, "Ready")[0] == "True"


@pytest.mark.parametrize(
    "part", ["GatewayReady", "VectorStoreReady", "CacheReady", "WorkloadsReady"]
)
async def test_a_lost_service_that_cannot_be_created_is_told(world: World, part: str) -> None:
    stable = world.kube.agent["status"]["stableRevision"]
    name = {
        "GatewayReady": "shop",
        "VectorStoreReady": "shop-chroma",
        "CacheReady": "shop-redis",
        "WorkloadsReady": f"shop-{stable}",
    }[part]
    del world.cluster.objects["Service", name]
    error = RejectedError(403, "exceeded quota: services")
    world.kube.refuse = lambda verb, kind: error if (verb, kind) == ("apply", "Service") else None
    await world.settle()
    for each in ("Degraded", part):
        assert condition(world, each)[1:] == (
            "Rejected",
            f"the API server rejected Service {name}: exceeded quota: services",
        )
    is_needed = part in ("GatewayReady", "WorkloadsReady")
    assert condition(world, "Ready")[0] == ("False" if is_needed else "True")
    world.kube.refuse = lambda verb, kind: None
    world.seconds += REJECTED_RETRY_SECONDS
    await world.settle()
    assert condition(world, part)[0] == condition(world, "Ready")[0] == "True"


async def test_an_object_that_nothing_needs_hides_no_other_problem(world: World) -> None:
    error = RejectedError(403, "not on Fridays")
    refused = {"PodDisruptionBudget", "Service"}
    world.kube.refuse = lambda verb, kind: error if verb == "apply" and kind in refused else None
    del world.cluster.objects["PodDisruptionBudget", "shop-gateway"]
    await world.settle()
    assert "rejected PodDisruptionBudget shop-gateway" in condition(world, "Degraded")[2]
    del world.cluster.objects["Service", "shop-redis"]
    await world.settle()
    assert "rejected Service shop-redis" in condition(world, "Degraded")[2]


@pytest.mark.parametrize(
    ("kind", "conditions"),
    [
        ("Deployment", ["Progressing"]),
        ("Job", ["Progressing", "IndexReady"]),
    ],
)
async def test_a_rollout_says_what_of_it_is_refused(
    world: World, kind: str, conditions: list[str]
) -> None:
    error = RejectedError(403, "not on Fridays")
    world.kube.refuse = lambda verb, of: error if (verb, of) == ("apply", kind) else None
    pipeline = {"retrieval": {"embeddingModel": "other/model"}}
    await world.change(image="runtime:2", pipeline=pipeline if kind == "Job" else {})
    for each in conditions:
        assert f"the API server rejected {kind} shop-" in condition(world, each)[2]
        assert "not on Fridays" in condition(world, each)[2]


async def test_a_rollback_says_what_of_the_canary_was_refused(world: World) -> None:
    error = RejectedError(403, "not on Fridays")
    world.kube.refuse = lambda verb, kind: (
        error if (verb, kind) == ("apply", "Deployment") else None
    )
    await world.change(image="runtime:2")
    world.cluster.clock += 601
    await world.settle()
    status = world.kube.agent["status"]
    assert status["failedReason"] == "ProgressDeadlineExceeded"
    assert "not on Fridays" in status["failedMessage"]
    assert condition(world, "Degraded")[1] == "ProgressDeadlineExceeded", "nothing is refused now"
    assert "Service" not in world.named(status["failedRevision"]), "nothing is left of it"


async def test_an_evaluation_says_that_it_is_refused() -> None:
    asked = {"configMap": {"name": "help"}}
    world = World(rollout={"analysis": {"evaluation": asked}})
    await world.settle()
    error = RejectedError(403, "not on Fridays")
    world.kube.refuse = lambda verb, kind: error if (verb, kind) == ("apply", "Job") else None
    await world.change(image="runtime:2")
    assert condition(world, "Progressing")[1] == "Evaluating"
    assert condition(world, "Progressing")[2].endswith("not on Fridays")


@pytest.mark.parametrize("is_aborted", [True, False])
async def test_a_stable_service_that_cannot_be_created_stops_neither_abort_nor_takeover(
    is_aborted: bool,
) -> None:
    world = World(rollout={"steps": [{"setWeight": 20}, {"pause": {}}]})
    await world.settle()
    await world.change(image="runtime:2")
    status = world.kube.agent["status"]
    stable, canary = status["stableRevision"], status["canaryRevision"]
    assert world.cluster.weights() == {stable: 80, canary: 20}
    del world.cluster.objects["Service", f"shop-{stable}"]
    error = RejectedError(403, "exceeded quota: services")
    world.kube.refuse = lambda verb, kind: error if (verb, kind) == ("apply", "Service") else None
    await world.settle()
    if is_aborted:
        command = '{"id": "1", "action": "abort"}'
        world.kube.agent["metadata"]["annotations"] = {names.COMMAND_ANNOTATION: command}
        await world.settle()
        assert world.cluster.weights() == {stable: 100}
    else:
        world.cluster.clock += 31
        await world.settle()
        assert world.cluster.weights() == {canary: 100}
        assert condition(world, "Ready")[0] == "True"


async def test_no_pod_runs_under_an_account_of_another_owner() -> None:
    world = World()
    world.cluster.objects["ServiceAccount", "shop"] = stranger("ServiceAccount", "shop")
    await world.settle()
    kinds = {kind for kind, _ in world.cluster.objects}
    assert "Deployment" not in kinds
    assert "Job" not in kinds
    assert "StatefulSet" in kinds, "others do not wait"


@pytest.mark.parametrize("key", [("Service", "shop"), ("Secret", "shop-redis")])
async def test_an_object_that_is_orphaned_later_is_adopted(world: World, key: Identity) -> None:
    metadata = world.cluster.objects[key]["metadata"]
    data = world.cluster.objects[key].get("stringData")
    owner = metadata["ownerReferences"]
    metadata["ownerReferences"] = [owner[0] | {"kind": "App", "uid": "x"}]
    await world.settle()
    assert condition(world, "Degraded")[1] == "NameTaken"
    world.cluster.objects[key]["metadata"] |= {"ownerReferences": []}
    await world.settle()
    assert world.cluster.objects[key]["metadata"]["ownerReferences"] == owner
    assert world.cluster.objects[key].get("stringData") == data
    world.seconds += CALM_SECONDS
    await world.settle()
    assert condition(world, "Degraded")[0] == "False"
    assert condition(world, "CacheReady")[0] == "True"


@pytest.mark.parametrize("policy", ["orphan", "foregroundDeletion"])
async def test_the_objects_of_an_agent_that_is_deleted_are_left_alone(
    world: World, policy: str
) -> None:
    key = "Service", "shop"
    deletion = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [policy]}
    world.kube.agent["metadata"] |= deletion
    if policy == "orphan":
        world.cluster.objects[key]["metadata"]["ownerReferences"] = []
    else:
        del world.cluster.objects[key]
    before = str(world.cluster.objects)
    await world.settle()
    assert str(world.cluster.objects) == before


async def test_an_orphan_is_not_adopted_by_an_agent_that_is_being_deleted(world: World) -> None:
    key = "Service", "shop"
    world.cluster.objects[key]["metadata"]["ownerReferences"] = []
    world.report()
    world.kube.agent["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(StaleError):
        await world.reconcile()  # before a watch reports the deletion
    assert world.cluster.objects[key]["metadata"]["ownerReferences"] == []


async def test_an_adopted_object_becomes_as_desired(world: World) -> None:
    key = "ConfigMap", "shop-gateway"
    body = world.cluster.objects[key]
    desired = dict(body["data"])
    world.cluster.objects[key] = body | {
        "metadata": body["metadata"] | {"ownerReferences": []},
        "data": {"theirs": "1"},
    }
    await world.settle()
    assert world.cluster.objects[key]["metadata"]["ownerReferences"]
    assert world.cluster.objects[key]["data"] == desired


async def test_an_object_of_a_deleted_agent_is_waited_for(world: World) -> None:
    key = "Service", "shop"
    world.cluster.objects[key]["metadata"]["ownerReferences"][0]["uid"] = "uid-0"
    await world.settle()
    assert "a deleted ChatAgent shop" in condition(world, "Degraded")[2]
    del world.cluster.objects[key]
    await world.look()
    assert key in world.cluster.objects, "its deletion is an event: nothing waits 30 s for it"


async def test_an_object_that_is_being_deleted_is_recreated(world: World) -> None:
    key = "Service", "shop"
    world.cluster.objects[key]["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["a/b"],
    }
    due = await world.settle()
    assert due is not None
    assert due <= TERMINATING_RETRY_SECONDS
    assert condition(world, "Degraded")[1] == "Terminating"
    del world.cluster.objects[key]
    await world.settle()
    assert key in world.cluster.objects


@pytest.mark.parametrize("key", [("Service", "shop"), ("Secret", "shop-redis")])
async def test_a_removed_label_is_restored(world: World, key: Identity) -> None:
    labels = dict(world.cluster.objects[key]["metadata"]["labels"])
    del world.cluster.objects[key]["metadata"]["labels"][names.MANAGED_BY_LABEL]
    await world.settle()
    assert world.cluster.objects[key]["metadata"]["labels"] == labels


async def test_a_refused_object_keeps_no_old_pods_and_slows_nothing(world: World) -> None:
    one = world.kube.agent["status"]["stableRevision"]
    create = world.kube.apply
    error = RejectedError(403, "no NodePorts here")
    tries: list[str] = []

    async def apply(manifest: dict[str, Any], digest: str) -> dict[str, Any]:
        if manifest["kind"] == "Service" and manifest["spec"].get("type") == "NodePort":
            tries.append(digest)
            raise error
        return await create(manifest, digest)

    world.kube.apply = apply
    await world.change(gateway={"service": {"type": "NodePort"}}, image="runtime:2")
    assert world.kube.agent["status"]["stableRevision"] != one
    assert world.named(one) == ["ControllerRevision"]
    assert "no NodePorts here" in condition(world, "Degraded")[2]
    assert len(tries) <= 1 + world.seconds / REJECTED_RETRY_SECONDS, "it is not asked each time"


async def test_objects_that_the_previous_pods_use_are_kept_after_a_refusal(world: World) -> None:
    error = RejectedError(403, "this image is not allowed")
    world.kube.refuse = lambda verb, kind: (
        error if (verb, kind) == ("apply", "Deployment") else None
    )
    await world.change(vectorStore={"external": {"url": "http://chroma.example.com"}})
    assert ("StatefulSet", "shop-chroma") in world.cluster.objects
    world.kube.refuse = lambda verb, kind: None
    world.seconds += REJECTED_RETRY_SECONDS
    await world.settle()
    assert ("StatefulSet", "shop-chroma") not in world.cluster.objects


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_a_write_that_fails_is_reported(world: World, status: int) -> None:
    error = from_response(status, WEBHOOK)
    world.kube.refuse = lambda verb, kind: (
        error if (verb, kind) == ("apply", "Deployment") else None
    )
    world.cluster.spec["image"] = "runtime:2"
    world.kube.agent["metadata"]["generation"] += 1
    for _ in range(5):
        due = await world.look()
        assert due is not None
        assert due <= 60
    assert condition(world, "Degraded")[:2] == ("True", "WriteFailed")
    assert "failed calling webhook" in condition(world, "Degraded")[2]
    assert world.kube.agent["status"]["observedGeneration"] == 1
    world.kube.refuse = lambda verb, kind: None
    world.seconds += 60
    await world.settle()
    assert condition(world, "Degraded")[0] == "False"
    assert world.kube.agent["status"]["observedGeneration"] == 2


@pytest.mark.parametrize("status", [403, 500])
async def test_a_deletion_that_fails_is_reported_until_it_succeeds(
    world: World, status: int
) -> None:
    one = world.kube.agent["status"]["stableRevision"]
    error = from_response(status, WEBHOOK)
    world.kube.refuse = lambda verb, kind: (
        error if (verb, kind) == ("delete", f"Deployment shop-{one}") else None
    )
    await world.change(image="runtime:2")
    assert world.named(one) == ["ControllerRevision", "Deployment"], "the others are deleted"
    for _ in range(3):
        await world.look()
        assert "failed calling webhook" in condition(world, "Degraded")[2], "it does not flap"
    world.kube.refuse = lambda verb, kind: None
    world.seconds += 60
    await world.settle()
    assert world.named(one) == ["ControllerRevision"]
    assert condition(world, "Degraded")[0] == "False"


async def test_a_write_without_a_response_is_reported_if_the_status_can_be_written(
    world: World,
) -> None:
    error = ApiError(0, "no answer within 15 s")
    world.kube.refuse = lambda verb, kind: (
        error if (verb, kind) == ("apply", "Deployment") else None
    )
    with pytest.raises(ApiError):
        await world.reconcile_changed(image="runtime:2")
    assert "no answer within 15 s" in condition(world, "Degraded")[2]


async def test_another_version_of_a_rejected_object_is_written_at_once(world: World) -> None:
    error = RejectedError(403, "no")
    world.kube.refuse = lambda verb, kind: error if kind == "StatefulSet" else None
    await world.reconcile_changed(gateway={"replicas": 3})
    assert condition(world, "Degraded")[1] == "Rejected"
    world.kube.refuse = lambda verb, kind: None
    await world.reconcile_changed()
    key = "StatefulSet", "shop-gateway"
    assert world.cluster.objects[key]["spec"]["replicas"] != 3, "the same waits"
    await world.reconcile_changed(gateway={"replicas": 1})
    assert world.cluster.objects[key]["spec"]["replicas"] == 1


async def test_a_long_answer_is_cut(world: World) -> None:
    error = RejectedError(403, "不行\n" * 10_000)
    world.kube.refuse = lambda verb, kind: error if (verb, kind) == ("apply", "Service") else None
    await world.change(image="runtime:2")
    _, _, quoted = condition(world, "Degraded")[2].partition(": ")
    assert quoted.startswith("不行 不行 ")
    assert quoted.endswith(" …")
    assert MESSAGE_BYTES - 3 < len(quoted.encode()) <= MESSAGE_BYTES


async def test_a_rejected_status_is_reported_in_the_previous_one(world: World) -> None:
    write = world.kube.write_status

    async def write_status(
        namespace: str, name: str, status: dict[str, Any], uid: str, resource_version: int
    ) -> dict[str, Any]:
        if status["observedGeneration"] == 2:
            raise RejectedError(422, "status.phase: Unsupported value")
        return await write(namespace, name, status, uid, resource_version)

    world.kube.write_status = write_status
    one = world.kube.agent["status"]["stableRevision"]
    for _ in range(2):
        with pytest.raises(RejectedError):
            await world.reconcile_changed(image="runtime:2")
    assert condition(world, "Degraded")[:2] == ("True", "StatusRejected")
    assert "status.phase: Unsupported value" in condition(world, "Degraded")[2]
    assert world.kube.agent["status"]["stableRevision"] == one
    world.kube.write_status = write
    await world.settle()
    assert condition(world, "Degraded")[0] == "False"
