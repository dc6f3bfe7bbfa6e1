"""Revisions whose objects were deleted by hand, or cannot be read: restored, kept or forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatagent_operator.api.status import ChatAgentStatus, DrainingRevision
from chatagent_operator.core import names
from chatagent_operator.core.rollout.commands import Command
from tests.unit.core.simulation import Cluster, spec
from tests.unit.core.test_plan import name_of

ONE, TWO = name_of("runtime:1"), name_of("runtime:2")
THEN = "2026-01-01T00:00:00Z"


def rolling_out(**changes: Any) -> Cluster:
    """A cluster in which the revision TWO is to replace the stable revision ONE."""
    rollout = {"steps": [{"setWeight": 50}, {"pause": {}}]} | changes
    if "strategy" in changes:
        del rollout["steps"]
    cluster = Cluster(spec("runtime:1", rollout=rollout))
    cluster.settle()
    cluster.spec = spec("runtime:2", rollout=rollout)
    return cluster


def lose(cluster: Cluster, revision: str, *kinds: str) -> None:
    for kind in kinds:
        del cluster.objects[kind, f"shop-{revision}"]


def lose_content(cluster: Cluster, revision: str) -> None:
    """As if an earlier operator, which stored one copy only, had rolled the revision out."""
    lose(cluster, revision, "ControllerRevision")
    del cluster.objects["ConfigMap", f"shop-{revision}"]["data"][names.CONTENT_KEY]


@pytest.mark.parametrize("revision", [ONE, TWO])
def test_a_deleted_controller_revision_is_restored(revision: str) -> None:
    cluster = rolling_out()
    cluster.settle()
    before = cluster.objects["ControllerRevision", f"shop-{revision}"]["data"]
    lose(cluster, revision, "ControllerRevision")
    cluster.settle()
    assert cluster.objects["ControllerRevision", f"shop-{revision}"]["data"] == before
    assert cluster.condition("Degraded")[0] == "False"
    assert cluster.weights() == {ONE: 50, TWO: 50}


def test_a_draining_revision_is_restored_too() -> None:
    cluster = rolling_out(affinity={"onPromote": "drain"})
    cluster.settle()
    cluster.command = Command("1", "promote", full=True)
    cluster.settle()
    assert [each.revision for each in cluster.status.draining] == [ONE]
    lose(cluster, ONE, "ControllerRevision", "Deployment")
    cluster.settle()
    assert ONE in cluster.revisions()
    assert ("ControllerRevision", f"shop-{ONE}") in cluster.objects


def test_an_abort_scales_up_a_stable_revision_of_which_only_the_name_is_known() -> None:
    """Under `recreate` the stable revision has no pods left when the abort comes."""
    cluster = rolling_out(strategy="recreate")
    cluster.look()
    cluster.controllers()
    cluster.look()
    assert cluster.pods()["runtime:1"] == 0
    lose_content(cluster, ONE)
    cluster.command = Command("1", "abort")
    cluster.settle()
    assert cluster.pods() == {"runtime:1": 1}
    assert cluster.weights() == {ONE: 100}
    assert cluster.condition("Degraded") == ("True", "RevisionUnreadable")
    assert f"ControllerRevision shop-{ONE} was deleted" in cluster.message("Degraded")


def test_the_pods_of_a_revision_that_a_later_operator_wrote_are_kept() -> None:
    cluster = rolling_out()
    cluster.settle()
    cluster.objects["ControllerRevision", f"shop-{ONE}"]["data"] = {"image": {"later": True}}
    stable = json.dumps(cluster.objects["Deployment", f"shop-{ONE}"]["spec"])
    lose(cluster, ONE, "Service")
    cluster.settle()
    assert json.dumps(cluster.objects["Deployment", f"shop-{ONE}"]["spec"]) == stable
    assert ("Service", f"shop-{ONE}") in cluster.objects
    assert cluster.condition("Degraded") == ("True", "RevisionUnreadable")
    assert "upgrade the operator" in cluster.message("Degraded")
    cluster.command = Command("1", "promote", full=True)
    cluster.settle()
    cluster.wait(3600)
    assert cluster.weights() == {TWO: 100}
    assert cluster.condition("Degraded")[0] == "False"


def test_a_store_stays_while_a_revision_that_cannot_be_read_uses_it() -> None:
    cluster = rolling_out()
    cluster.settle()
    cluster.objects["ControllerRevision", f"shop-{ONE}"]["data"] = {"image": {"later": True}}
    store = {"external": {"url": "http://chroma.example"}}
    cluster.spec = cluster.spec | {"vectorStore": store}
    cluster.settle()
    assert ("StatefulSet", "shop-chroma") in cluster.objects
    cluster.command = Command("1", "promote", full=True)
    cluster.settle()
    cluster.wait(3600)
    assert ("StatefulSet", "shop-chroma") not in cluster.objects


def test_a_stable_revision_that_cannot_exist_is_forgotten() -> None:
    draining = (DrainingRevision(revision="0123abcd", since=THEN),)
    cluster = Cluster(
        spec("runtime:2"), status=ChatAgentStatus(stable_revision=ONE, draining=draining)
    )
    cluster.settle()
    assert cluster.weights() == {TWO: 100}
    assert cluster.status.stable_revision == TWO
    assert cluster.status.draining == ()
    assert cluster.condition("Ready") == ("True", "Serving")
    (event,) = [each for each in cluster.story if "RevisionLost" in each]
    assert event == (
        f"Warning RevisionLost: the stable revision {ONE} is lost: it has no pods, and its "
        f"ControllerRevision does not exist or cannot be read; revision {TWO} serves once it is "
        "ready"
    )


def test_a_failed_revision_is_rolled_out_where_no_other_is_left() -> None:
    cluster = rolling_out()
    cluster.settle()
    cluster.command = Command("1", "abort")
    cluster.settle()
    lose_content(cluster, ONE)
    lose(cluster, ONE, "Deployment")
    cluster.settle()
    assert cluster.weights() == {TWO: 100}
    assert cluster.status.failed_revision is None


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (Command("1", "abort"), "refused: the first revision is not ready yet"),
        (Command("1", "promote", full=True), "refused: the first revision is not ready yet"),
    ],
)
def test_commands_where_the_stable_revision_is_lost(command: Command, result: str) -> None:
    cluster = Cluster(
        spec("runtime:2"),
        status=ChatAgentStatus(stable_revision=ONE),
        broken_images={"runtime:2"},
    )
    cluster.command = command
    cluster.settle()
    assert (cluster.status.rollout.last_command_result or "").startswith(result)
    assert cluster.revisions() == [TWO]
    cluster.broken_images = set()
    cluster.settle()
    assert cluster.weights() == {TWO: 100}


def test_an_abort_keeps_the_only_pods_that_serve() -> None:
    cluster = rolling_out()
    cluster.settle()
    lose_content(cluster, ONE)
    lose(cluster, ONE, "Deployment")
    cluster.command = Command("1", "abort")
    cluster.settle()
    assert cluster.weights() == {TWO: 100}
    assert cluster.status.stable_revision == TWO
