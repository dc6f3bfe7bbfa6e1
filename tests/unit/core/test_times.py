"""A clock that is set back: whatever waits begins to wait anew, once, and is not blocked."""

from __future__ import annotations

import typing
from typing import Any

import pytest

from chatagent_operator.api import status as api
from chatagent_operator.api.status import (
    ChatAgentStatus,
    DrainingRevision,
    RolloutStatus,
    StatusModel,
    WindowStatus,
)
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.rollout.times import RECORDS, list_times, replace_future_times
from tests.unit.core.simulation import Cluster, counted, spec

NOW = "2026-01-01T10:00:00Z"
FUTURE = "2026-01-01T11:00:00Z"
HOUR = 3600


MODELS = [
    each
    for each in vars(api).values()
    if isinstance(each, type) and issubclass(each, StatusModel) and each is not StatusModel
]


@pytest.mark.parametrize("model", MODELS)
def test_every_time_is_waited_for_or_a_record(model: type[StatusModel]) -> None:
    hints = typing.get_type_hints(model, include_extras=True)
    checks = vars(api)["_check_time"]
    times = {name for name, hint in hints.items() if checks.__qualname__ in repr(hint)}
    assert times <= {*list_times(model), *RECORDS}
    assert set(list_times(model)) <= times


def test_times_in_the_future_are_replaced_wherever_they_are() -> None:
    status = ChatAgentStatus(
        draining=(DrainingRevision(revision="a", since=FUTURE),),
        rollout=RolloutStatus(
            started_at=FUTURE,
            waiting_since=FUTURE,
            step_started_at="2026-01-01T09:00:00Z",
            window=WindowStatus(began_at=FUTURE),
        ),
    )
    found = replace_future_times(status, NOW)
    assert found.draining[0].since == NOW
    assert found.rollout.waiting_since == NOW
    assert found.rollout.step_started_at == "2026-01-01T09:00:00Z"
    assert found.rollout.started_at == FUTURE, "it names an evaluation"
    assert found.rollout.window == status.rollout.window
    assert replace_future_times(found, NOW) is found
    assert replace_future_times(status, "2026-01-01T10:59:55Z") is status, "clocks differ a little"


def running(*steps: dict[str, Any], **changes: Any) -> Cluster:
    """An agent at ten o'clock, with a canary."""
    cluster = Cluster(clock=10 * HOUR)
    cluster.settle()
    cluster.spec = spec("runtime:2", rollout={"steps": list(steps), **changes})
    return cluster


def images(cluster: Cluster) -> set[str]:
    return {image for image, count in cluster.pods().items() if count}


def test_a_pause() -> None:
    cluster = running({"setWeight": 20}, {"pause": {"duration": "10m"}})
    cluster.settle()
    cluster.clock -= HOUR
    plan = cluster.settle()
    assert plan.requeue_after is not None
    assert plan.requeue_after <= 600
    assert cluster.condition("Paused")[0] == "True"
    cluster.wait(610)
    assert cluster.status.canary_revision is None


def test_a_progress_deadline() -> None:
    cluster = running({"setWeight": 20}, progressDeadlineSeconds=600)
    cluster.broken_images.add("runtime:2")
    cluster.settle()
    cluster.clock -= HOUR
    cluster.settle()
    assert cluster.status.failed_revision is None
    cluster.wait(610)
    assert cluster.status.failed_reason == "ProgressDeadlineExceeded"


def test_a_progress_deadline_of_the_first_revision() -> None:
    cluster = Cluster(spec(rollout={"progressDeadlineSeconds": 600}), clock=10 * HOUR)
    cluster.settle()
    waiting = cluster.status.rollout.model_copy(update={"waiting_since": cluster.now()})
    changes = {"stable_revision": None, "rollout": waiting}
    revision = cluster.status.stable_revision
    cluster.status = cluster.status.model_copy(update={**changes, "canary_revision": revision})
    cluster.objects["Deployment", f"shop-{revision}"]["status"]["availableReplicas"] = 0
    cluster.clock -= HOUR
    cluster.look()
    assert cluster.condition("Degraded")[0] == "False"
    cluster.clock += 610
    cluster.look()
    assert cluster.condition("Degraded") == ("True", "ProgressDeadlineExceeded")


def test_draining() -> None:
    cluster = running(affinity={"onPromote": "drain", "drain": "10m"})
    cluster.settle()
    assert cluster.status.draining
    assert images(cluster) == {"runtime:1", "runtime:2"}
    cluster.clock -= HOUR
    cluster.settle()
    assert images(cluster) == {"runtime:1", "runtime:2"}
    cluster.wait(610)
    assert images(cluster) == {"runtime:2"}


def test_measurements() -> None:
    analysis = {"interval": "30s", "count": 4, "minSamples": 10}
    cluster = running({"setWeight": 20}, {"analysis": {}}, analysis=analysis)
    cluster.tallies = {"runtime:1": counted(1000), "runtime:2": counted(1000)}
    cluster.settle()
    cluster.wait(30)
    before = cluster.status.analysis.measurements
    assert before
    cluster.clock = cluster.clock // 30 * 30 - HOUR
    for _ in range(4):
        cluster.look()
    assert cluster.status.analysis.measurements == before + 1, "each is counted once"
    for _ in range(3):
        cluster.wait(30)
    assert cluster.status.canary_revision is None


def test_pods_of_an_earlier_revision_that_are_terminating() -> None:
    cluster = running()
    cluster.settle()
    assert cluster.status.history[0].outcome == "Promoted"
    cluster.clock -= HOUR
    name = f"shop-{cluster.status.stable_revision}"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    metadata = cluster.objects["Deployment", name]["metadata"] | {"name": f"{name}-x"}
    pod = {"metadata": metadata, "status": {"conditions": [condition]}}
    cluster.objects["Pod", f"{name}-x"] = pod
    cluster.settle()
    assert cluster.condition("Degraded") == ("True", "Unschedulable")


def test_a_trouble_that_a_node_with_another_clock_reports() -> None:
    cluster = running()
    cluster.settle()
    observed = cluster.observed()
    observed.reports.update({"x": Trouble("Broken", "m", since=FUTURE)})  # pyright: ignore
    assert observed.without_transient_troubles(NOW).reports
    assert not observed.without_transient_troubles("2026-01-01T10:59:58Z").reports
