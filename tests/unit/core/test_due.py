"""What the plan would say at any time before the next due look is what it has said."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.plan import plan
from tests.unit.core.simulation import PLATFORM, Cluster, spec
from tests.unit.core.test_story import STORIES, Story

LATEST = 2 * 86400
"""Seconds after which nothing is awaited."""


def find_late_change(cluster: Cluster) -> str | None:
    """Let time pass without any event. Return what the plan would say before it is asked again."""
    observed, now = cluster.observed(), datetime.fromisoformat(cluster.now())

    def plan_later(seconds: int, status: Any) -> Any:
        time = (now + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        return plan(cluster.agent, status, observed, cluster.command, PLATFORM, time)

    first = plan_later(0, cluster.status)
    due = LATEST if first.requeue_after is None else first.requeue_after
    last = math.ceil(due) - 1  # the clock has whole seconds
    steps = [2**n for n in range(int(math.log2(LATEST)))]
    for seconds in [*(each for each in steps if each < last), last]:
        later = plan_later(seconds, first.status)
        if (later.status, later.writes, later.deletions) != (first.status, (), ()):
            told, tells = first.status.model_dump(), later.status.model_dump()
            changed = {
                name: (told[name], tells[name]) for name in told if told[name] != tells[name]
            }
            return f"after {seconds} s, and it is asked after {first.requeue_after}: {changed}"
    return None


class Watched(Story):
    """A story in which every chapter ends with a time without events."""

    def chapter(self, title: str, wait: int = 0) -> None:
        super().chapter(title, wait)
        if not self.cluster.agent.spec.suspend:
            assert find_late_change(self.cluster) is None, title


def start(cluster: Cluster, image: str = "runtime:1", **changes: Any) -> None:
    cluster.spec = spec(image, **changes)
    cluster.settle()


def lose_capacity(cluster: Cluster) -> None:
    """Somebody else takes the room of the stable pod that makes way for the canary."""
    cluster.room = 1
    start(cluster, rollout={"strategy": "recreate"})
    cluster.room = 0
    start(cluster, "runtime:2", rollout={"strategy": "recreate"})


def lose_capacity_before_a_rollback(cluster: Cluster) -> None:
    """The pods of the canary are deleted, and there is no room for those of the stable revision."""
    recreate = {"strategy": "recreate", "progressDeadlineSeconds": 60}
    start(cluster, rollout=recreate)
    cluster.broken_images = {"runtime:2"}
    start(cluster, "runtime:2", rollout=recreate)
    cluster.room = 0
    cluster.wait(70)
    assert cluster.status.failed_revision


def lose_capacity_after_a_promotion(cluster: Cluster) -> None:
    """The pods of the stable revision that are replaced terminate, and another takes their room."""
    start(cluster, replicas=2, rollout={"steps": []})
    start(cluster, "runtime:2", replicas=2, rollout={"steps": []})
    cluster.room = 1
    cluster.objects["Deployment", f"shop-{cluster.status.stable_revision}"]["status"] |= {
        "availableReplicas": 1
    }
    cluster.settle()


def store_is_lost(cluster: Cluster) -> None:
    """A pod that restarted says that its store does not respond, which is available again."""
    start(cluster)
    store = cluster.objects["StatefulSet", "shop-chroma"]["status"]
    store["availableReplicas"] = 0
    cluster.look()
    cluster.clock += 60
    store["availableReplicas"] = 1
    labels = names.labels("shop", names.ROLE_AGENT, cluster.status.stable_revision)
    said = '{"reason": "VectorStoreUnavailable", "message": "no answer"}'
    ended = {"terminated": {"exitCode": 1, "message": said}}
    agent = {"name": "agent", "state": {"waiting": {}}, "lastState": ended}
    cluster.objects["Pod", "shop-1"] = {
        "metadata": {"name": "shop-1", "labels": labels},
        "status": {"containerStatuses": [agent]},
    }


def trouble_has_just_begun(cluster: Cluster) -> None:
    start(cluster)
    cluster.room = 0
    start(cluster, replicas=2)
    cluster.reports = {"shop-1": Trouble("Slow", "it is slow", since=cluster.now())}


def pods_drain(cluster: Cluster) -> None:
    rollout = {"steps": [], "affinity": {"onPromote": "drain", "drain": "45s"}}
    start(cluster, rollout=rollout)
    start(cluster, "runtime:2", rollout=rollout)


def gateway_lags(cluster: Cluster) -> None:
    start(cluster)
    cluster.lagging, cluster.behind = 1, 2.0


@pytest.mark.parametrize("name", STORIES)
def test_no_step_of_a_story_is_reported_late(name: str) -> None:
    changes, tell = STORIES[name]
    tell(Watched(**changes))


@pytest.mark.parametrize(
    "happen",
    [
        lose_capacity,
        lose_capacity_before_a_rollback,
        lose_capacity_after_a_promotion,
        store_is_lost,
        trouble_has_just_begun,
        pods_drain,
        gateway_lags,
    ],
)
def test_no_change_is_reported_late(happen: Callable[[Cluster], None]) -> None:
    cluster = Cluster()
    happen(cluster)
    assert find_late_change(cluster) is None
