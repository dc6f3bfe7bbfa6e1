"""What helps out of an outage: a fix for a broken stable revision."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core.rollout.commands import Command
from tests.unit.core.simulation import Cluster, spec
from tests.unit.core.test_due import find_late_change


def broken(**changes: Any) -> Cluster:
    """A cluster whose stable revision has lost all its pods for good."""
    cluster = Cluster(spec(**changes))
    cluster.settle()
    lose_stable(cluster)
    return cluster


def lose_stable(cluster: Cluster) -> None:
    stable = cluster.status.stable_revision
    cluster.objects["Deployment", f"shop-{stable}"]["status"]["availableReplicas"] = 0
    cluster.broken_images = {"runtime:1"}
    cluster.settle()


ASKED = {"configMap": {"name": "questions"}}


@pytest.mark.parametrize(
    "rollout",
    [
        {},
        {"steps": [{"pause": {}}]},
        {"strategy": "blueGreen", "analysis": {"evaluation": ASKED}},
        {"affinity": {"onPromote": "drain"}},
    ],
)
def test_a_fix_takes_over_from_a_revision_without_ready_pods(rollout: dict[str, Any]) -> None:
    cluster = broken(replicas=4, rollout=rollout)
    cluster.sources["questions"] = "beef"
    first = cluster.status.stable_revision
    cluster.spec = spec("runtime:2", replicas=4, rollout=rollout)
    cluster.settle()
    assert cluster.status.stable_revision == first, "it may be a short one"
    cluster.wait(30)
    assert cluster.status.canary_revision is None
    assert cluster.pods() == {"runtime:2": 4}
    assert cluster.condition("Ready")[0] == "True"
    assert cluster.status.history[0].reason == "StableUnavailable"
    assert f"revision {first} has had no available pod, or no Service, since" in "\n".join(
        cluster.story
    )


def test_a_short_outage_of_the_stable_revision_promotes_nothing() -> None:
    steps: dict[str, Any] = {"steps": [{"setWeight": 5}, {"pause": {}}]}
    cluster = Cluster(spec(rollout=steps))
    cluster.settle()
    cluster.spec = spec("runtime:2", rollout=steps)
    cluster.settle()
    lose_stable(cluster)
    assert find_late_change(cluster) is None
    cluster.wait(20)
    cluster.broken_images = set()
    cluster.settle()
    cluster.wait(20)
    lose_stable(cluster)
    cluster.wait(20)
    assert cluster.status.rollout.weight == 5
    cluster.wait(20)
    assert cluster.status.canary_revision is None, "it has taken over"


def test_a_canary_that_is_not_ready_or_paused_by_hand_does_not_take_over() -> None:
    cluster = broken()
    cluster.broken_images = {"runtime:1", "runtime:2"}
    cluster.spec = spec("runtime:2")
    cluster.settle()
    cluster.wait(60)
    assert cluster.status.canary_revision
    cluster.command = Command("1", "pause")
    cluster.settle()
    cluster.broken_images = {"runtime:1"}
    cluster.wait(60)
    assert cluster.condition("Paused")[1] == "PausedByCommand"
    cluster.command = Command("2", "resume")
    cluster.settle()
    assert cluster.status.canary_revision is None


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_fix_gets_the_capacity_of_a_revision_without_ready_pods(replicas: int) -> None:
    cluster = Cluster(spec(replicas=replicas), room=replicas)
    cluster.settle()
    stable = cluster.objects["Deployment", f"shop-{cluster.status.stable_revision}"]
    stable["status"]["availableReplicas"] = 0
    cluster.broken_images = {"runtime:1"}
    cluster.settle()
    cluster.room = 0  # the broken pods have it
    cluster.spec = spec("runtime:2", replicas=replicas)
    cluster.settle()
    cluster.wait(31)
    assert stable["spec"]["replicas"] == replicas - 1
    cluster.room = 1
    cluster.settle()
    assert list(cluster.pods()) == ["runtime:2"]


@pytest.mark.parametrize("is_promoted", [True, False])
def test_the_first_pod_serves_while_the_others_that_replace_all_start(is_promoted: bool) -> None:
    recreate = {"strategy": "recreate"}
    cluster = Cluster(spec(replicas=3, rollout=recreate))
    cluster.settle()
    stable = cluster.status.stable_revision
    cluster.broken_images = {"runtime:2"}
    cluster.spec = spec("runtime:2", replicas=3, rollout=recreate)
    cluster.settle()
    assert cluster.condition("Ready")[0] == "False"
    canary = cluster.status.canary_revision
    cluster.objects["Deployment", f"shop-{canary}"]["status"] = {"availableReplicas": 1}
    cluster.settle()
    assert cluster.weights() == {canary: 100}
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.message("Ready") == f"revision {canary} serves"
    assert "can serve 33 % of the conversations" in cluster.message("Progressing")
    assert cluster.status.stable_revision == stable
    assert find_late_change(cluster) is None
    if is_promoted:
        cluster.broken_images = set()
        cluster.settle()
    cluster.wait(601)
    assert cluster.status.stable_revision == (canary if is_promoted else stable)
    assert cluster.weights() == {cluster.status.stable_revision: 100}
    assert cluster.status.failed_reason == (None if is_promoted else "ProgressDeadlineExceeded")
