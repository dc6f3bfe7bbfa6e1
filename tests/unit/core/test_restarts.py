"""A canary whose pods crash or lose readiness, whatever its turns say."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.observed.trouble import Trouble, find_interruptions
from chatagent_operator.core.rollout.commands import Command
from tests.unit.core.simulation import Cluster, counted, spec

GOOD = counted(400, 1)
SAID = "MemoryError: 3.1 GB of 3 GB"


def going(**changes: Any) -> Cluster:
    """A cluster with a canary that has its first weight, and few turns."""
    cluster = Cluster(spec(**changes))
    cluster.settle()
    cluster.spec = spec("runtime:2", **changes)
    cluster.settle()
    assert cluster.status.rollout.weight
    return cluster


def put_pod(cluster: Cluster, name: str, revision: str | None = None, **status: Any) -> None:
    labels = names.labels("shop", names.ROLE_AGENT, revision or cluster.status.canary_revision)
    body = {"metadata": {"name": name, "labels": labels}, "status": status}
    cluster.objects["Pod", name] = body


def crash(cluster: Cluster, name: str = "pod-1", code: int = 137, said: str = SAID) -> None:
    """A container ends now, and runs again a moment later."""
    cluster.clock += 10
    ended: dict[str, Any] = {"exitCode": code, "reason": "OOMKilled", "message": said}
    ended["finishedAt"] = cluster.now()
    cluster.clock += 10
    running = {"running": {"startedAt": cluster.now()}}
    container: dict[str, Any] = {"name": "agent", "ready": True, "state": running}
    container["lastState"] = {"terminated": ended}
    ready = {"type": "Ready", "status": "True"}
    put_pod(cluster, name, containerStatuses=[container], conditions=[ready])
    cluster.settle()


def lose_readiness(cluster: Cluster, name: str = "pod-1", is_ready: bool = False) -> None:
    started = cluster.now()
    cluster.clock += 10
    container = {"name": "agent", "ready": is_ready, "state": {"running": {"startedAt": started}}}
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": cluster.now()}
    put_pod(cluster, name, containerStatuses=[container], conditions=[unready])
    cluster.settle()


def test_a_canary_that_crashes_is_rolled_back_without_any_turn() -> None:
    cluster = going()
    crash(cluster)
    assert cluster.status.canary_revision, "once is no loop"
    assert "Warning CanaryRestarted" in "\n".join(cluster.story)
    crash(cluster)
    assert cluster.status.failed_reason == "TooManyRestarts"
    told = cluster.status.failed_message or ""
    assert "2 times" in told
    assert "exit code 137 (OOMKilled): MemoryError: 3.1 GB of 3 GB" in told


def test_a_crash_is_counted_once_and_with_every_weight() -> None:
    cluster = going()
    crash(cluster)
    cluster.tallies = {"runtime:1": GOOD, "runtime:2": GOOD}
    while cluster.status.rollout.weight < 50:
        cluster.wait(30)
    assert cluster.status.rollout.restarts == 1
    crash(cluster)
    assert cluster.status.failed_reason == "TooManyRestarts", "although its turns are good"


def test_a_pod_that_is_replaced_hides_no_crash() -> None:
    cluster = going()
    crash(cluster)
    del cluster.objects["Pod", "pod-1"]
    cluster.settle()
    crash(cluster, "pod-2")
    assert cluster.status.failed_reason == "TooManyRestarts"


@pytest.mark.parametrize("code", [0, 1])
def test_every_end_of_a_container_counts_while_it_is_paused(code: int) -> None:
    cluster = going(rollout={"analysis": {"restartLimit": 0}})
    cluster.command = Command("1", "pause")
    cluster.settle()
    crash(cluster, code=code)
    assert cluster.status.failed_reason == "TooManyRestarts"


def test_what_a_pod_says_is_cut() -> None:
    cluster = going(rollout={"analysis": {"restartLimit": 0}})
    crash(cluster, said="x" * 100_000)
    assert 1000 < len(cluster.status.failed_message or "") < 1300


def test_readiness_that_is_lost_counts() -> None:
    cluster = going()
    lose_readiness(cluster)
    assert cluster.status.rollout.restarts == 1
    lose_readiness(cluster)
    assert cluster.status.failed_reason == "TooManyRestarts"
    assert "it lost readiness" in (cluster.status.failed_message or "")


def test_what_is_no_fault_of_the_canary_does_not_count() -> None:
    cluster = going(rollout={"analysis": {"restartLimit": 0}})
    canary, stable = cluster.status.canary_revision, cluster.status.stable_revision
    crash(cluster, said='{"reason": "VectorStoreUnavailable", "message": "no answer"}')
    assert cluster.status.canary_revision == canary
    cluster.reports = {"pod-1": Trouble("VectorStoreUnavailable", "no answer")}
    lose_readiness(cluster)
    assert cluster.status.canary_revision == canary
    cluster.reports = {}
    running = {"name": "agent", "state": {"running": {}}}
    unready = {"type": "Ready", "status": "False"}
    put_pod(cluster, "pod-0", stable, containerStatuses=[running], conditions=[unready])
    lose_readiness(cluster)
    assert cluster.status.canary_revision == canary, "the stable revision has the same trouble"
    del cluster.objects["Pod", "pod-0"]
    lose_readiness(cluster, is_ready=True)
    assert cluster.status.canary_revision == canary, "its node was lost"
    put_pod(cluster, "pod-1", phase="Failed", reason="Evicted")
    cluster.settle()
    assert cluster.status.canary_revision == canary
    crash(cluster)
    assert cluster.status.failed_reason == "TooManyRestarts"


def test_crashes_before_the_first_weight_do_not_count() -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.spec = spec("runtime:2", rollout={"analysis": {"restartLimit": 0}})
    cluster.gateway_follows = False
    cluster.settle()
    crash(cluster)
    cluster.gateway_follows = True
    cluster.settle()
    assert cluster.status.rollout.weight == 5


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "blueGreen", "paused": True},
        {"steps": [{"pause": {}}]},
        {"strategy": "rolling", "paused": True},
    ],
)
def test_crashes_count_once_it_is_ready_where_no_step_sets_a_weight(
    settings: dict[str, Any],
) -> None:
    cluster = Cluster(spec(rollout=settings))
    cluster.settle()
    cluster.spec = spec("runtime:2", rollout=settings)
    cluster.broken_images = {"runtime:2"}
    cluster.settle()
    crash(cluster, said="at its start")
    assert cluster.status.rollout.restarts == 0
    cluster.broken_images = set()
    cluster.settle()
    crash(cluster)
    assert cluster.status.rollout.restarts == 1
    crash(cluster)
    assert cluster.status.failed_reason == "TooManyRestarts"
    assert "2 times since they were ready" in (cluster.status.failed_message or "")


def test_a_container_that_a_reboot_ended_did_not_crash() -> None:
    ended = {"exitCode": 255, "reason": "Unknown", "finishedAt": "2026-01-01T00:00:00Z"}
    container = {"name": "agent", "state": {"running": {}}, "lastState": {"terminated": ended}}
    assert find_interruptions({"status": {"containerStatuses": [container]}}) == ()
    ended["reason"] = "Error"
    assert len(find_interruptions({"status": {"containerStatuses": [container]}})) == 1
