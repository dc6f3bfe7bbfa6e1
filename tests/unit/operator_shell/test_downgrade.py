"""What another version left: its fields stop nothing, and an abort works whatever is unread."""

from __future__ import annotations

import json

from chatagent_operator.core import names
from chatagent_operator.kube.store import MAX_DELETED_REVISIONS
from tests.unit.operator_shell.test_reconcile import KEY, World

STEPS = [{"setWeight": 50}, {"pause": {}}]


async def rolling_out() -> tuple[World, str, str]:
    """An agent at 50 %, with its stable revision and its canary."""
    world = World(rollout={"steps": STEPS})
    await world.settle()
    one = world.kube.agent["status"]["stableRevision"]
    await world.change(image="runtime:2")
    two = world.kube.agent["status"]["canaryRevision"]
    assert world.cluster.weights() == {one: 50, two: 50}
    return world, one, two


def abort(world: World) -> None:
    command = json.dumps({"id": "1", "action": "abort"})
    world.kube.agent["metadata"]["annotations"] = {names.COMMAND_ANNOTATION: command}


def condition(world: World, kind: str) -> tuple[str, str]:
    (found,) = [each for each in world.kube.agent["status"]["conditions"] if each["type"] == kind]
    return found["status"], found["reason"]


async def test_fields_of_a_later_operator_are_ignored() -> None:
    world, one, two = await rolling_out()
    before = {key: body["spec"] for key, body in world.cluster.objects.items() if "spec" in body}
    sources = [{"name": "help", "configMap": {"name": "help"}, "later": {"format": "pdf"}}]
    await world.change(
        knowledge={"sources": sources, "later": 1}, gateway={"later": True}, laterField=[1]
    )
    after = {key: body["spec"] for key, body in world.cluster.objects.items() if "spec" in body}
    assert after == before, "the documents too"
    assert condition(world, "Accepted") == ("False", "InvalidSpec")
    assert world.cluster.weights() == {one: 50, two: 50}
    abort(world)
    await world.settle()
    assert world.cluster.weights() == {one: 100}
    assert "Deployment" not in world.named(two)


async def test_an_abort_needs_no_revision_that_can_be_read() -> None:
    world, one, two = await rolling_out()
    for name in (one, two):
        world.cluster.objects["ControllerRevision", f"shop-{name}"]["data"] = {"later": 1}
    await world.change(pipeline={"later": 1}, gateway={"later": 1})
    assert condition(world, "Accepted") == ("False", "InvalidSpec")
    assert world.cluster.weights() == {one: 50, two: 50}
    abort(world)
    await world.settle()
    status = world.kube.agent["status"]
    assert world.cluster.weights() == {one: 100}
    assert (status["canaryRevision"], status["failedRevision"]) == (None, two)
    assert status["rollout"]["lastCommandResult"] == f"aborted {two}"
    assert condition(world, "Progressing") == ("False", "Aborted")
    assert condition(world, "Accepted") == ("False", "InvalidSpec")
    assert "Deployment" in world.named(two), "nothing is deleted by a spec that cannot be read"
    assert world.kube.events.count("Aborted") == 1


async def test_a_command_that_is_no_abort_waits_for_a_readable_spec() -> None:
    world, one, two = await rolling_out()
    for name in (one, two):
        world.cluster.objects["ControllerRevision", f"shop-{name}"]["data"] = {"later": 1}
    command = json.dumps({"id": "1", "action": "promote", "full": True})
    world.kube.agent["metadata"]["annotations"] = {names.COMMAND_ANNOTATION: command}
    await world.change(pipeline={"later": 1})
    assert world.cluster.weights() == {one: 50, two: 50}
    assert world.kube.agent["status"]["rollout"]["lastCommandId"] is None


async def test_a_revision_of_an_earlier_operator_is_restored_from_memory() -> None:
    """That operator stored no second copy in the ConfigMap."""
    world, one, two = await rolling_out()
    for name in (one, two):
        del world.cluster.objects["ConfigMap", f"shop-{name}"]["data"][names.CONTENT_KEY]
    world.report()
    key = "ControllerRevision", f"shop-{one}"
    before = world.cluster.objects.pop(key)["data"]
    await world.settle()
    assert world.cluster.objects[key]["data"] == before
    assert condition(world, "Degraded")[0] == "False"
    assert world.cluster.weights() == {one: 50, two: 50}


async def test_few_deleted_revisions_are_remembered() -> None:
    world = World(rollout={"steps": [], "revisionHistoryLimit": 1})
    await world.settle()
    for number in range(2, 10):
        await world.change(image=f"runtime:{number}")
    assert len(world.view.observed(KEY).deleted_revisions) == MAX_DELETED_REVISIONS
