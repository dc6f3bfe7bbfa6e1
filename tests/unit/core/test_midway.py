"""What changes while a rollout is under way, and what fails half-way."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from chatagent_operator.api.rollout import Rollout
from chatagent_operator.core import names
from chatagent_operator.core.rollout.commands import Command
from tests.unit.core.simulation import Cluster, counted, spec

GOOD = counted(400, 1)
DEADLINE = {
    "type": "Failed",
    "status": "True",
    "message": "Job was active longer than specified deadline",
}


def start_rollout(steps: list[dict[str, Any]], **changes: Any) -> Cluster:
    """A cluster in which a second revision goes out by these steps."""
    cluster = Cluster()
    bump(cluster, "runtime:1", steps, **changes)
    bump(cluster, "runtime:2", steps, **changes)
    return cluster


def bump(cluster: Cluster, image: str, steps: list[dict[str, Any]] | None, **changes: Any) -> None:
    rollout = changes.pop("rollout", {}) | ({} if steps is None else {"steps": steps})
    cluster.spec = spec(image, rollout=rollout, **changes)
    cluster.settle()


WAIT: dict[str, Any] = {"pause": {}}


def at(weight: int) -> dict[str, Any]:
    return {"setWeight": weight}


def test_fewer_steps_approve_nothing() -> None:
    cluster = start_rollout([at(5), at(10), WAIT, at(50), WAIT])
    bump(cluster, "runtime:2", [at(5), WAIT, at(20)])
    assert cluster.status.phase == "Paused"
    assert sorted(cluster.weights().values()) == [10, 90]
    cluster.command = Command("1", "promote")
    cluster.settle()
    assert cluster.status.canary_revision is None, "after the last step all is approved"


def test_other_steps_restart_a_rollout_without_conversations() -> None:
    cluster = start_rollout([WAIT, WAIT, at(5), WAIT])
    cluster.command = Command("1", "promote")
    cluster.settle()
    assert cluster.status.rollout.step == 1
    cluster.tallies = {"runtime:1": GOOD, "runtime:2": counted(400, errors=360)}
    bump(cluster, "runtime:2", [at(5), {"analysis": {}}])
    assert cluster.status.failed_reason == "AnalysisFailed", "at the first weight, which is judged"


@pytest.mark.parametrize("how", ["spec", "command"])
def test_steps_that_change_while_it_is_held_keep_their_place(how: str) -> None:
    steps = [at(5), WAIT, at(25), WAIT, at(50), WAIT]
    cluster = start_rollout(steps)
    cluster.command = Command("1", "promote")
    cluster.settle()
    assert cluster.status.rollout.step == 3
    held = {"paused": how == "spec"}
    cluster.command = Command("2", "pause") if how == "command" else cluster.command
    bump(cluster, "runtime:2", steps, rollout=held)
    bump(cluster, "runtime:2", [*steps[:4], at(60), WAIT], rollout=held)
    cluster.command = Command("3", "resume") if how == "command" else cluster.command
    bump(cluster, "runtime:2", [*steps[:4], at(60), WAIT])
    assert cluster.status.rollout.step == 3, "25 % was approved before"


def test_lower_steps_do_not_lower_the_weight() -> None:
    cluster = start_rollout([at(60), WAIT], replicas=3)
    bump(cluster, "runtime:2", [at(1), at(5), WAIT], replicas=3)
    assert sorted(cluster.weights().values()) == [40, 60]
    assert cluster.pods() == {"runtime:1": 3, "runtime:2": 2}


def test_a_strategy_without_steps_waits_for_approval() -> None:
    cluster = start_rollout([at(5), WAIT])
    bump(cluster, "runtime:2", None, rollout={"strategy": "blueGreen"})
    assert sorted(cluster.weights().values()) == [5, 95]
    cluster.command = Command("1", "resume")
    cluster.settle()
    assert cluster.status.canary_revision is None


def test_a_broken_first_revision_is_replaced_without_a_gateway() -> None:
    cluster = Cluster(spec=spec("broken:1"), broken_images={"broken:1"}, gateway_follows=False)
    cluster.settle()
    cluster.spec = spec("runtime:1")
    cluster.settle()
    assert list(cluster.pods()) == ["runtime:1"]


def test_documents_that_go_while_they_are_indexed_are_no_index() -> None:
    cluster = start_rollout([at(5), WAIT])
    cluster.command = Command("1", "abort")
    cluster.settle()
    cluster.sources.clear()
    other = {"retrieval": {"embeddingModel": "sentence-transformers/other"}}
    bump(cluster, "runtime:3", [at(5), WAIT], pipeline=other)
    assert list(cluster.weights().values()) == [100]
    assert cluster.status.rollout.weight == 0


def test_old_conversations_need_no_more_pods_than_they_have() -> None:
    rollout = {"affinity": {"onPromote": "drain"}, "capacity": {"mode": "replace"}}
    cluster = Cluster(spec=spec(replicas=4, rollout=rollout | {"steps": []}), room=4)
    cluster.settle()
    bump(cluster, "runtime:2", [], replicas=4, rollout=rollout)
    assert cluster.status.draining
    assert cluster.pods()["runtime:1"] == 1


def test_a_draining_revision_that_is_desired_again_keeps_its_pods_and_its_time() -> None:
    drain = {"affinity": {"onPromote": "drain", "drain": "30m"}}
    cluster = Cluster(spec=spec(replicas=4, rollout=drain | {"steps": []}))
    cluster.settle()
    one = cluster.status.stable_revision
    bump(cluster, "runtime:2", [], replicas=4, rollout=drain)
    bump(cluster, "runtime:1", [at(5), WAIT], replicas=4, rollout=drain)
    assert sorted(cluster.weights().values()) == [5, 95]
    assert cluster.pods() == {"runtime:1": 4, "runtime:2": 4}, "who was on it is on it still"
    bump(cluster, "runtime:2", [at(5), WAIT], replicas=4, rollout=drain)
    assert [each.revision for each in cluster.status.draining] == [one]
    assert cluster.pods() == {"runtime:1": 4, "runtime:2": 4}
    cluster.wait(1800)
    assert cluster.pods() == {"runtime:2": 4}


def test_a_draining_revision_that_fails_keeps_no_conversation() -> None:
    drain = {"affinity": {"onPromote": "drain"}}
    cluster = Cluster(spec=spec(rollout=drain | {"steps": []}))
    cluster.settle()
    bump(cluster, "runtime:2", [], rollout=drain)
    bump(cluster, "runtime:1", [at(5), WAIT], rollout=drain)
    cluster.command = Command("1", "abort")
    cluster.settle()
    assert cluster.pods() == {"runtime:2": 1}
    assert not cluster.status.draining


def test_stable_pods_are_replaced_one_by_one() -> None:
    rollout = {"capacity": {"mode": "replace"}, "steps": [at(50), WAIT]}
    cluster = Cluster(spec=spec(replicas=10, rollout=rollout))
    cluster.settle()
    cluster.spec = spec("runtime:2", replicas=10, rollout=rollout)
    cluster.look()
    assert cluster.pods() == {"runtime:1": 9, "runtime:2": 1}
    cluster.settle()
    assert cluster.pods() == {"runtime:1": 5, "runtime:2": 5}


def test_no_measurement_is_waited_for_without_conversations() -> None:
    with pytest.raises(ValidationError, match="requires a setWeight step before it"):
        Rollout.model_validate({"steps": [{"analysis": {}}, {"setWeight": 50}]})
    cluster = Cluster()
    cluster.settle()
    cluster.spec = spec("runtime:2")
    cluster.look()
    cluster.command = Command("1", "skip")
    cluster.gateway_follows = False
    cluster.settle()
    assert "refused" in (cluster.status.rollout.last_command_result or "")
    cluster.gateway_follows = True
    cluster.settle()
    assert cluster.status.rollout.weight == 5


def test_other_answers_are_judged_after_a_canary_with_traffic() -> None:
    asked = {"analysis": {"evaluation": {"configMap": {"name": "questions"}}}}
    drain = asked | {"affinity": {"onPromote": "drain"}}
    cluster = Cluster(spec=spec(rollout=drain), lost=0)
    cluster.sources["questions"] = "beef"
    cluster.settle()
    bump(cluster, "runtime:2", [], rollout=drain)
    bump(cluster, "runtime:3", [at(5), WAIT], rollout=drain)
    assert cluster.status.rollout.weight == 5
    cluster.lost = 9
    bump(cluster, "runtime:1", [at(5), WAIT], rollout=drain)
    assert cluster.status.failed_reason == "EvaluationFailed"
    assert cluster.status.rollout.weight == 0


def test_a_report_that_cannot_be_read_yet_is_not_lost() -> None:
    asked = {"analysis": {"evaluation": {"configMap": {"name": "questions"}}}}
    cluster = Cluster(spec=spec(rollout=asked), lost=9, has_logs=False)
    cluster.sources["questions"] = "beef"
    cluster.settle()
    bump(cluster, "runtime:2", [], rollout=asked)
    assert cluster.status.failed_reason == "EvaluationFailed", "the verdict waits for no report"
    report = cluster.status.evaluation.report
    assert report
    cluster.wait(600)
    assert ("Job", report) in cluster.objects, "its log is all that there is"
    cluster.has_logs = True
    cluster.settle()
    assert ("ConfigMap", report) in cluster.objects
    assert ("Job", report) not in cluster.objects


def test_an_evaluation_runs_again_whose_report_is_gone_unread() -> None:
    asked = {"analysis": {"evaluation": {"configMap": {"name": "questions"}}}}
    cluster = Cluster(spec=spec(rollout=asked))
    cluster.sources["questions"] = "beef"
    cluster.settle()
    bump(cluster, "runtime:2", None, rollout=asked)
    (job,) = [key for key in cluster.objects if key[0] == "Job" and "-eval-" in key[1]]
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    cluster.objects[job]["status"] = complete  # its pod was deleted while no operator ran
    cluster.look()
    assert "was deleted before its report was read" in cluster.message("Progressing")
    assert f"deleted Job {job[1]}" in cluster.story
    cluster.lost = 0
    cluster.settle()
    assert cluster.status.rollout.weight


@pytest.mark.parametrize(
    ("reason", "change", "told"),
    [
        (
            "JobSuspended",
            {"spec": {"suspend": True}},
            "is suspended; set its spec.suspend to false",
        ),
        (
            "JobFailed",
            {"status": {"conditions": [DEADLINE]}},
            "was ended before it succeeded (Job was active longer than specified deadline); ",
        ),
    ],
)
def test_an_ingestion_that_somebody_stops_is_told(
    reason: str, change: dict[str, Any], told: str
) -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.sources = {"help": "beef"}
    cluster.look()
    (job,) = [body for key, body in cluster.objects.items() if key[0] == "Job" and key[1]]
    for field, value in change.items():
        job[field] = job.get(field, {}) | value
    cluster.look()
    assert cluster.condition("IndexReady") == ("False", reason)
    for each in ("IndexReady", "Degraded"):
        assert told in cluster.message(each)
    del cluster.objects["Job", job["metadata"]["name"]]
    cluster.settle()
    assert cluster.condition("IndexReady")[0] == "True"
    assert cluster.condition("Degraded")[0] == "False"


def test_missing_questions_that_a_rollout_waits_for_need_attention() -> None:
    asked = {"analysis": {"evaluation": {"configMap": {"name": "questions"}}}}
    cluster = Cluster(spec=spec(rollout=asked))
    cluster.settle()
    assert cluster.condition("Degraded")[0] == "False", "nothing waits for them"
    bump(cluster, "runtime:2", None, rollout=asked)
    assert cluster.condition("Degraded") == ("True", "ConfigMapNotFound")
    assert "ConfigMap 'questions' does not exist" in cluster.message("Degraded")
    cluster.sources["questions"], cluster.lost = "beef", 0
    cluster.settle()
    assert cluster.condition("Degraded")[0] == "False"


def test_a_pause_that_is_resumed_does_not_start_again() -> None:
    cluster = start_rollout([at(5), {"pause": {"duration": "10m"}}, at(50), WAIT])
    cluster.wait(400)
    cluster.command = Command("1", "pause")
    cluster.wait(100)
    cluster.command = Command("2", "resume")
    cluster.settle()
    assert cluster.status.rollout.weight == 5
    cluster.wait(100)
    assert cluster.status.rollout.weight == 50, "600 s after the pause has started"


@pytest.mark.parametrize("replicas", [2, 8])
def test_an_autoscaler_changes_no_steps(replicas: int) -> None:
    rolling: dict[str, Any] = {"strategy": "rolling"}
    cluster = Cluster(spec=spec(replicas=4, rollout=rolling))
    cluster.settle()
    cluster.spec = spec("runtime:2", replicas=4, rollout=rolling)
    while cluster.status.rollout.weight < 50:
        cluster.look()
        cluster.controllers()
    cluster.spec = spec("runtime:2", replicas=replicas, rollout=rolling)
    weights = [50]
    while cluster.status.canary_revision:
        cluster.look()
        cluster.controllers()
        weights.append(cluster.status.rollout.weight)
    assert not [line for line in cluster.story if "StepsChanged" in line]
    steps = {2: [], 8: [62, 75, 87]}[replicas]
    assert [*dict.fromkeys(weights)] == [50, *steps, 0], "no step is skipped or repeated"


@pytest.mark.parametrize("mode", ["surge", "replace", "auto"])
@pytest.mark.parametrize("how", ["step", "command", "spec", "not"])
def test_a_scale_up_without_capacity_fails_no_canary(how: str, mode: str) -> None:
    rollout = {"capacity": {"mode": mode}}
    steps = [at(50), WAIT if how == "step" else {"analysis": {}}, at(60), WAIT]
    cluster = start_rollout(steps, replicas=2, rollout=rollout)
    assert cluster.status.rollout.weight == 50
    cluster.room = sum(cluster.pods().values())
    if how == "command":
        cluster.command = Command("1", "pause")
    bump(cluster, "runtime:2", steps, replicas=9, rollout=rollout | {"paused": how == "spec"})
    cluster.wait(7)
    held = {"step": "PausedAtStep", "command": "PausedByCommand", "spec": "PausedBySpec"}
    assert cluster.condition("Progressing")[1] == held.get(how, "ScaleUpUnschedulable")
    assert cluster.condition("Degraded") == ("True", "InsufficientCapacity")
    cluster.wait(3600)
    assert cluster.status.rollout.weight == 50, "it serves on, and nothing is rolled back"
    bump(cluster, "runtime:2", steps, replicas=2, rollout=rollout)
    assert cluster.condition("Degraded")[0] == "False"


def test_added_pods_are_no_excuse_for_lost_ones() -> None:
    steps = [at(50), WAIT]
    surge = {"capacity": {"mode": "surge"}}
    cluster = start_rollout(steps, replicas=2, rollout=surge)
    cluster.room = 3
    bump(cluster, "runtime:2", steps, replicas=9, rollout=surge)
    canary = cluster.status.canary_revision
    cluster.objects["Deployment", f"shop-{canary}"]["status"]["availableReplicas"] = 0
    cluster.room = 2
    cluster.settle()
    cluster.wait(700)
    assert cluster.status.failed_reason == "InsufficientCapacity"


def test_a_next_weight_without_capacity_has_a_deadline() -> None:
    steps = [at(50), at(60), WAIT]
    surge = {"capacity": {"mode": "surge"}}
    cluster = Cluster(spec=spec(replicas=2, rollout=surge | {"steps": steps}), room=3)
    cluster.settle()
    bump(cluster, "runtime:2", steps, replicas=2, rollout=surge)
    assert cluster.status.rollout.weight == 50
    cluster.wait(700)
    assert cluster.status.failed_reason == "InsufficientCapacity"


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        (
            "canary",
            "no stable pod can be replaced by one; add a node, or set spec.rollout.strategy",
        ),
        ("recreate", "the stable pods have been deleted; add a node, or use `abort` to go back"),
    ],
)
def test_a_lack_of_room_is_told_with_what_helps(strategy: str, told: str) -> None:
    """Pods that were evicted, and stay as a record, do not make room."""
    rollout = {"strategy": strategy}
    cluster = Cluster(spec(rollout=rollout), room=1)
    cluster.settle()
    labels = names.labels("shop", names.ROLE_AGENT, cluster.status.stable_revision)
    for name, phase in (("shop-1", "Running"), ("shop-2", "Failed")):
        metadata = {"name": name, "labels": labels}
        pod = {"spec": {"restartPolicy": "Always"}, "status": {"phase": phase}}
        cluster.objects["Pod", name] = {"metadata": metadata, **pod}
    cluster.room = 1 if strategy == "canary" else 0
    cluster.spec = spec("runtime:2", rollout=rollout)
    cluster.settle()
    cluster.wait(100)
    assert cluster.condition("Degraded") == ("True", "InsufficientCapacity")
    assert told in cluster.message("Degraded")
