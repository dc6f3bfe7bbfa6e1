"""Another client that undoes what the operator writes, again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.reverts import CALM_SECONDS, FREE_REVERTS, LONGEST_SECONDS, Reverts
from tests.unit.operator_shell.test_reconcile import KEY, World

SERVICE = "Service", "shop"


def edit(world: World) -> None:
    world.cluster.objects[SERVICE]["spec"]["selector"] = {"oops": "oops"}


def apply_another_way(world: World) -> None:
    edit(world)
    world.cluster.objects[SERVICE]["metadata"]["annotations"] = {names.APPLIED_ANNOTATION: "x"}


def delete(world: World) -> None:
    del world.cluster.objects[SERVICE]


def count(world: World) -> list[tuple[str, str]]:
    """Collect the writes from now on."""
    writes: list[tuple[str, str]] = []

    def note(verb: str, kind: str) -> None:
        if verb in ("apply", "patch"):
            writes.append((verb, kind))

    world.kube.refuse = note
    return writes


def condition(world: World) -> tuple[str, str]:
    conditions: list[dict[str, Any]] = world.kube.agent["status"]["conditions"]
    (found,) = [each for each in conditions if each["type"] == "Degraded"]
    return found["status"], found["reason"]


@pytest.mark.parametrize("change", [edit, apply_another_way, delete])
async def test_an_edit_is_reverted_at_once(world: World, change: Callable[[World], None]) -> None:
    before = str(world.cluster.objects[SERVICE]["spec"]["selector"])
    for _ in range(FREE_REVERTS):
        change(world)
        await world.look()
        assert str(world.cluster.objects[SERVICE]["spec"]["selector"]) == before
    assert condition(world) == ("False", "AsExpected")


@pytest.mark.parametrize("change", [edit, apply_another_way, delete])
async def test_another_client_that_continues_is_reported_and_not_fought(
    world: World, change: Callable[[World], None]
) -> None:
    writes = count(world)
    generation = world.kube.agent["metadata"]["generation"]
    for _ in range(400):
        if SERVICE in world.cluster.objects:
            change(world)
        due = await world.look()
        assert due is None or due > 0 or len(writes) < 2 * FREE_REVERTS, "a hot loop"
    assert condition(world) == ("True", "DriftFlapping")
    assert len(writes) < 20, "of 400 edits"
    assert world.kube.agent["status"]["observedGeneration"] == generation
    world.seconds += LONGEST_SECONDS
    assert await world.look() is not None, "it is looked at again"
    for _ in range(10):
        world.seconds += CALM_SECONDS
        await world.look()
    assert SERVICE in world.cluster.objects
    assert world.cluster.objects[SERVICE]["spec"]["selector"] != {"oops": "oops"}
    world.seconds += 2 * LONGEST_SECONDS
    await world.look()
    assert condition(world) == ("False", "AsExpected")


async def test_other_objects_are_reverted_meanwhile(world: World) -> None:
    for _ in range(10):
        edit(world)
        await world.look()
    chroma = world.cluster.objects["Service", "shop-chroma"]["spec"]
    chroma["ports"] = []
    await world.look()
    assert world.cluster.objects["Service", "shop-chroma"]["spec"]["ports"]


async def test_a_changed_spec_is_written_although_another_client_interferes(world: World) -> None:
    for _ in range(40):
        edit(world)
        await world.look()
    assert world.cluster.objects[SERVICE]["spec"]["selector"] == {"oops": "oops"}, "it waits"
    await world.reconcile_changed(gateway={"service": {"type": "NodePort"}})
    assert world.cluster.objects[SERVICE]["spec"]["type"] == "NodePort"


async def test_a_new_operator_writes_nothing_where_nothing_drifted(world: World) -> None:
    restarted = World()
    restarted.cluster, restarted.kube.cluster = world.cluster, world.cluster
    restarted.kube.agent = world.kube.agent
    writes = count(restarted)
    restarted.report()
    assert await restarted.reconcile() is None
    assert not writes
    edit(restarted)
    await restarted.look()
    assert writes == [("apply", "Service")]


async def test_an_agent_that_is_recreated_begins_again() -> None:
    clock = [0.0]
    reverts = Reverts(lambda: clock[0])
    for _ in range(10):
        reverts.wrote(KEY, SERVICE, "same")
    assert reverts.is_held(KEY, SERVICE, "same")
    assert reverts.refusals(KEY)
    reverts.forget(KEY)
    assert not reverts.is_held(KEY, SERVICE, "same")
    assert reverts.retry_after(KEY) is None


async def test_an_object_that_a_webhook_changes_in_each_write_is_written_once(world: World) -> None:
    apply, applied = world.kube.apply, 0

    async def mutate(manifest: dict[str, Any], digest: str) -> dict[str, Any]:
        nonlocal applied
        applied += 1
        body = await apply(manifest, digest)
        edit(world)
        return body

    world.kube.apply = mutate
    edit(world)
    for _ in range(5):
        await world.look()
    assert applied == 1
    assert condition(world) == ("False", "AsExpected")
