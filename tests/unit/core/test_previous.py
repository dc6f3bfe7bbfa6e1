"""The previous revision after a promotion: its pods are kept for a rollback."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.rollout.commands import Command
from tests.unit.core.simulation import Cluster, spec
from tests.unit.core.test_due import find_late_change


def promoted(replicas: int = 3, room: int = 100, **rollout: Any) -> Cluster:
    """A cluster whose second revision has just been promoted."""
    cluster = Cluster(spec(replicas=replicas, rollout=rollout), room=room)
    cluster.settle()
    cluster.spec = spec("runtime:2", replicas=replicas, rollout=rollout)
    cluster.settle()
    cluster.command = Command("promote", "promote", full=True)
    cluster.settle()
    assert cluster.status.canary_revision is None
    return cluster


def test_its_pods_are_kept_for_a_time_and_get_nothing() -> None:
    cluster = promoted()
    assert cluster.pods() == {"runtime:1": 3, "runtime:2": 3}
    assert list(cluster.weights()) == [cluster.status.stable_revision]
    assert find_late_change(cluster) is None
    cluster.wait(500)
    assert cluster.pods() == {"runtime:1": 3, "runtime:2": 3}
    cluster.wait(100)
    assert cluster.pods() == {"runtime:2": 3}
    assert cluster.status.previous is None


def test_a_rollback_to_it_waits_for_no_pod() -> None:
    cluster = promoted()
    second = cluster.status.stable_revision
    cluster.wait(500)
    cluster.broken_images = {"runtime:1"}  # no new pod of it becomes ready
    cluster.spec = spec("runtime:1", replicas=3)
    cluster.settle()
    assert sorted(cluster.weights().values()) == [5, 95]
    cluster.wait(500)
    assert cluster.pods() == {"runtime:1": 3, "runtime:2": 3}, "it is kept while it is the canary"
    cluster.command = Command("back", "promote", full=True)
    cluster.settle()
    assert list(cluster.weights()) == [cluster.status.stable_revision]
    assert cluster.status.stable_revision != second
    assert cluster.status.previous
    assert cluster.status.previous.revision == second


def test_one_that_is_aborted_is_not_kept() -> None:
    cluster = promoted()
    cluster.spec = spec("runtime:1", replicas=3)
    cluster.settle()
    cluster.command = Command("stop", "abort")
    cluster.settle()
    assert cluster.pods() == {"runtime:2": 3}


def test_another_rollout_and_a_lack_of_capacity_end_it() -> None:
    cluster = promoted()
    cluster.spec = spec("runtime:3", replicas=3)
    cluster.settle()
    assert cluster.pods() == {"runtime:2": 3, "runtime:3": 1}
    cluster = promoted(room=6)
    cluster.spec = spec("runtime:2", replicas=5)
    cluster.wait(6)
    assert cluster.pods() == {"runtime:2": 5}
    assert cluster.condition("WorkloadsReady") == ("True", "Available")


@pytest.mark.parametrize(
    ("rollout", "room"),
    [({"keepPrevious": "0s"}, 100), ({"strategy": "recreate"}, 100), ({}, 3)],
)
def test_it_is_not_kept_where_it_is_not_desired_or_was_evicted(
    rollout: dict[str, Any], room: int
) -> None:
    cluster = Cluster(spec(replicas=3, rollout=rollout), room=room)
    cluster.settle()
    cluster.spec = spec("runtime:2", replicas=3, rollout=rollout)
    cluster.settle()
    if cluster.status.canary_revision:
        cluster.command = Command("promote", "promote", full=True)
        cluster.settle()
    assert cluster.pods() == {"runtime:2": 3}


def test_one_that_cannot_be_read_is_told_and_nothing_waits_for_it() -> None:
    cluster = promoted()
    assert cluster.status.previous
    first, second = cluster.status.previous.revision, cluster.status.stable_revision
    cluster.objects["ControllerRevision", f"shop-{first}"]["data"] = {"image": {"later": True}}
    cluster.settle()
    assert cluster.condition("Degraded")[0] == "False"
    assert cluster.condition("Ready")[0] == "True"
    assert cluster.message("Progressing") == (
        f"revision {second} serves; revision {first}, whose pods are kept for a rollback: "
        f"ControllerRevision shop-{first} cannot be read, since a later operator wrote it; to roll "
        "back to it, upgrade the operator, or apply its manifest"
    )
    assert cluster.pods() == {"runtime:1": 3, "runtime:2": 3}
    cluster.spec = spec("runtime:1", replicas=3)
    cluster.command = Command("back", "promote", full=True)
    cluster.settle()
    assert cluster.status.stable_revision == first, "the spec describes it"
    cluster.wait(600)
    assert cluster.message("Progressing") == f"revision {first} serves"


def test_problems_of_kept_pods_are_not_reported() -> None:
    cluster = promoted()
    assert cluster.status.previous
    labels = names.labels("shop", names.ROLE_AGENT, cluster.status.previous.revision)
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    container = {"name": "agent", "state": {"waiting": {}}, "lastState": ended}
    status = {"containerStatuses": [container]}
    cluster.objects["Pod", "old"] = {
        "metadata": {"name": "old", "labels": labels},
        "status": status,
    }
    cluster.settle()
    assert cluster.condition("Degraded")[0] == "False"


def test_a_broken_promoted_revision_is_told_with_the_way_back() -> None:
    cluster = promoted()
    first = cluster.status.previous.revision if cluster.status.previous else ""
    second = cluster.status.stable_revision
    cluster.broken_images = {"runtime:2"}
    cluster.objects["Deployment", f"shop-{second}"]["status"]["availableReplicas"] = 0
    cluster.settle()
    told = f"those of the previous revision {first} still run, and `kubectl chatagent undo`"
    assert told in cluster.message("Ready")
    cluster.spec = spec("runtime:1", replicas=3)  # undo
    cluster.settle()
    cluster.wait(31)
    assert cluster.weights() == {first: 100}
