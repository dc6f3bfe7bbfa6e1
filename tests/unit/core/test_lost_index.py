"""An index that is lost after its Job completed: pods report it, and it is built again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.observed.trouble import Trouble, parse_readiness
from chatagent_operator.core.requeue import LOOK_SECONDS, POLL_SECONDS
from chatagent_operator.core.writes import Apply, Delete
from tests.unit.core.simulation import Cluster, spec

MISSING = Trouble("IndexMissing", "the collection does not exist yet")


def serving(is_ready: bool = True) -> Cluster:
    """An agent that serves, with one pod."""
    cluster = Cluster()
    cluster.settle()
    revision = cluster.status.stable_revision
    cluster.objects["Pod", "shop-1"] = {
        "metadata": {
            "name": "shop-1",
            "labels": names.labels("shop", names.ROLE_AGENT, revision),
            "uid": "pod-1",
        },
        "status": {
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
            "containerStatuses": [{"name": "agent", "state": {"running": {}}}],
        },
    }
    cluster.settle()
    return cluster


def job(cluster: Cluster) -> tuple[str, str]:
    (found,) = [key for key in cluster.objects if key[0] == "Job"]
    return found


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_lost_index_is_reported_and_built_again(is_ready: bool) -> None:
    cluster = serving(is_ready)
    before = cluster.status
    cluster.reports = {"shop-1": MISSING}
    key = job(cluster)
    made = cluster.look()
    assert [(type(each), each.kind, each.name) for each in made.writes] == [(Delete, *key)]
    assert cluster.condition("IndexReady") == ("False", "IndexMissing")
    assert cluster.condition("Degraded") == ("True", "IndexMissing")
    assert any("Warning Reindexing" in each for each in cluster.story)
    made = cluster.look()
    assert [write.desired.name for write in made.writes if isinstance(write, Apply)] == [key[1]]
    assert cluster.condition("IndexReady")[0] == "False"
    assert made.requeue_after == POLL_SECONDS
    cluster.controllers()
    cluster.reports = {}
    cluster.settle()
    assert cluster.condition("IndexReady") == ("True", "Indexed")
    assert cluster.condition("Degraded") == ("False", "AsExpected")
    assert cluster.status.stable_revision == before.stable_revision
    assert cluster.status.canary_revision is None


def test_pods_that_serve_without_their_index_are_reported_while_it_is_built() -> None:
    cluster = serving()
    cluster.reports = {"shop-1": MISSING}
    cluster.look()
    cluster.look()
    assert "status" not in cluster.objects[job(cluster)]
    cluster.look()
    assert cluster.condition("Degraded") == ("True", "IndexMissing")
    assert cluster.condition("Ready") == ("True", "Serving")


def test_a_store_that_loses_its_data_again_and_again_is_filled_more_and_more_seldom() -> None:
    cluster = serving()
    cluster.reports = {"shop-1": MISSING}
    rebuilds: list[int] = []
    for _ in range(4 * 60):
        cluster.clock += 59
        made = cluster.look()
        cluster.controllers()
        if any(isinstance(write, Delete) for write in made.writes):
            rebuilds.append(cluster.clock)
    waits = [later - earlier for earlier, later in pairwise(rebuilds)]
    assert waits == [120, 240, 480, 960, 1920, 3600, 3600]
    assert cluster.status.knowledge.rebuilds == len(rebuilds)
    (found,) = [each for each in cluster.status.conditions if each.type == "IndexReady"]
    assert "rebuilds so far: 8" in found.message
    cluster.reports = {}
    cluster.wait(3 * 3600)
    cluster.reports = {"shop-1": MISSING}
    cluster.look()
    assert cluster.status.knowledge.rebuilds == 1, "what was long ago does not count"


def test_an_index_that_users_wait_for_is_built_a_second_time_at_once() -> None:
    cluster = serving(is_ready=False)
    revision = cluster.status.stable_revision
    cluster.broken_images = {"runtime:1"}  # its pods stay unready
    cluster.objects["Deployment", f"shop-{revision}"]["status"]["availableReplicas"] = 0
    cluster.reports = {"shop-1": MISSING}
    rebuilds: list[int] = []
    for _ in range(100):
        cluster.clock += 9
        made = cluster.look()
        for kind, name in cluster.objects:
            if kind == "Job":
                done = {"type": "Complete", "status": "True"}
                cluster.objects[kind, name]["status"] = {"conditions": [done]}
        if any(isinstance(write, Delete) for write in made.writes):
            rebuilds.append(cluster.clock)
    waits = [later - earlier for earlier, later in pairwise(rebuilds)]
    assert waits[:4] == [20, 120, 120, 120]


def test_a_pod_may_see_its_index_a_moment_after_the_job() -> None:
    cluster = serving(is_ready=False)
    cluster.objects[job(cluster)]["status"]["completionTime"] = cluster.now()
    cluster.reports = {"shop-1": MISSING}
    cluster.clock += 10
    assert not cluster.look().writes
    assert cluster.condition("IndexReady") == ("False", "Ingesting")
    cluster.clock += 10
    assert cluster.look().writes


def test_a_canary_waits_for_the_index_that_its_stable_revision_lost() -> None:
    cluster = serving()
    cluster.reports = {"shop-1": MISSING}
    cluster.spec = spec("runtime:2")
    for _ in range(5):
        cluster.look()
    assert cluster.condition("Progressing") == ("True", "WaitingForIndex")
    assert sum(cluster.weights().values()) == 100
    assert len(cluster.weights()) == 1


def test_ready_pods_are_asked_now_and_then_and_not_all_agents_at_once() -> None:
    cluster = serving()
    due = cluster.plan().requeue_after
    assert due is not None
    assert 0.75 * LOOK_SECONDS <= due <= LOOK_SECONDS
    del cluster.objects["Pod", "shop-1"]
    assert cluster.plan().requeue_after is None


def test_a_ready_pod_that_cannot_reach_the_store_is_reported() -> None:
    cluster = serving()
    store = {"external": {"url": "http://chroma.example"}}
    cluster.spec = spec(vectorStore=store)
    cluster.settle()
    assert cluster.condition("VectorStoreReady") == ("True", "Answers")
    cluster.reports = {"shop-1": Trouble("VectorStoreUnavailable", "it does not answer")}
    cluster.look()
    assert cluster.condition("VectorStoreReady") == ("False", "VectorStoreUnavailable")
    assert cluster.condition("Degraded") == ("True", "VectorStoreUnavailable")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": "ready"}, None),
        ({"ready": False, "reason": "IndexMissing", "message": "m"}, Trouble("IndexMissing", "m")),
        (
            {"status": "ready", "reasons": [{"reason": "A"}, {"reason": "IndexMissing"}]},
            Trouble("IndexMissing", ""),
        ),
        ({"reasons": [{"reason": "A", "message": "a"}, {"reason": "B"}]}, Trouble("A", "a")),
        ({"reasons": [{"reason": "StateUnavailable"}, {"reason": "A"}]}, Trouble("A", "")),
        ({"reasons": "A"}, None),
        ({"reasons": ["A", None, {}]}, None),
    ],
)
def test_what_pods_answer(answer: dict[str, object], expected: Trouble | None) -> None:
    assert parse_readiness(answer) == expected
