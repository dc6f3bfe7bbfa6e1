"""Stories of whole rollouts, told by the pure plan against a cluster in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import names, revision
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.reporting import report_invalid
from chatagent_operator.core.requeue import POLL_SECONDS
from chatagent_operator.core.rollout.commands import Command, parse_command
from chatagent_operator.core.spec import find_last_readable
from chatagent_operator.core.writes import Apply
from tests.unit.core.simulation import Cluster, counted, spec


def name_of(image: str, **changes: object) -> str:
    return revision.build_revision(
        ChatAgentSpec.model_validate(spec(image, **changes)).versioned()
    ).name


def serving(image: str = "runtime:1", **changes: Any) -> Cluster:
    cluster = Cluster(spec(image, **changes))
    cluster.settle()
    return cluster


def with_canary() -> Cluster:
    cluster = serving()
    cluster.spec = spec("runtime:2")
    cluster.settle()
    return cluster


def test_first_revision_becomes_stable_once_it_is_ready() -> None:
    cluster = Cluster()
    cluster.look()
    assert cluster.status.stable_revision is None
    assert cluster.status.phase == "Pending"
    cluster.settle()
    one = name_of("runtime:1")
    assert cluster.status.stable_revision == one
    assert cluster.weights() == {one: 100}
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.status.phase == "Ready"


def test_a_second_reconciliation_writes_nothing() -> None:
    for cluster in (serving(), with_canary()):
        before = cluster.status
        made = cluster.plan()
        assert (made.writes, made.deletions) == ((), ())
        assert made.status == before
        assert made.events == ()


def test_a_new_tag_gets_five_percent_and_touches_nothing_of_the_stable_revision() -> None:
    cluster = serving()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    stable = cluster.objects["Deployment", f"shop-{one}"].copy()
    cluster.spec = spec("runtime:2")
    cluster.look()
    assert cluster.weights() == {one: 100}, "no weight before it is ready"
    cluster.settle()
    assert cluster.weights() == {one: 95, two: 5}
    assert cluster.status.phase == "Canary"
    assert cluster.status.canary_revision == two
    assert cluster.objects["Deployment", f"shop-{one}"] == stable


def test_a_changed_pipeline_is_a_new_revision_too() -> None:
    cluster = serving()
    cluster.spec = spec("runtime:1", pipeline={"retrieval": {"topK": 9}})
    cluster.settle()
    assert len(cluster.weights()) == 2


def test_an_operational_change_is_applied_in_place() -> None:
    cluster = serving()
    cluster.spec = spec("runtime:1", replicas=3)
    cluster.settle()
    one = name_of("runtime:1")
    assert cluster.revisions() == [one]
    assert cluster.objects["Deployment", f"shop-{one}"]["spec"]["replicas"] == 3


def test_promotion_makes_the_canary_stable_and_takes_the_old_revision_away() -> None:
    cluster = with_canary()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    canary = cluster.objects["Deployment", f"shop-{two}"].copy()
    cluster.command = Command("id-1", "promote", two, full=True)
    cluster.settle()
    assert cluster.weights() == {two: 100}
    cluster.wait(600)
    assert cluster.revisions() == [two]
    assert cluster.objects["Deployment", f"shop-{two}"] == canary, "no pod of it restarts"
    assert ("ControllerRevision", f"shop-{one}") in cluster.objects, "history is kept"
    assert cluster.status.rollout.last_command_result == (
        f"promoted {two}, remaining steps skipped"
    )


def test_weights_move_first_and_pods_go_last() -> None:
    cluster = with_canary()
    cluster.spec["rollout"] = {"keepPrevious": "0s"}
    cluster.command = Command("id-1", "promote", full=True)
    made = cluster.plan()
    first = made.writes[0]
    assert isinstance(first, Apply)
    assert first.desired.name == "shop-routes"
    old = f"shop-{name_of('runtime:1')}"
    assert not made.deletions, "the gateway may still send them something"
    cluster.look()
    cluster.gateway_follows = False
    cluster.settle()
    assert ("Deployment", old) in cluster.objects
    cluster.gateway_follows = True
    assert old in {gone.name for gone in cluster.plan().deletions}


def test_a_crash_before_the_status_is_stored_loses_no_revision() -> None:
    cluster = with_canary()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    cluster.command = Command("id-1", "promote", two, full=True)
    for write in cluster.plan().writes:
        cluster.write(write)  # and then the operator dies
    cluster.spec = spec("runtime:3")
    cluster.settle()
    assert one in cluster.revisions(), "the status still names it"
    assert cluster.weights() == {one: 95, name_of("runtime:3"): 5}


EXTERNAL = {"external": {"url": "http://chroma.example.com"}}


def test_another_store_is_filled_before_the_old_one_is_deleted() -> None:
    cluster = serving()
    jobs = {key for key in cluster.objects if key[0] == "Job"}
    cluster.spec = spec("runtime:1", vectorStore=EXTERNAL)
    cluster.look()
    assert ("StatefulSet", "shop-chroma") in cluster.objects
    cluster.settle()
    assert ("StatefulSet", "shop-chroma") not in cluster.objects
    assert {key for key in cluster.objects if key[0] == "Job"} != jobs
    assert cluster.status.phase == "Ready"


def test_the_old_store_stays_until_every_pod_uses_the_other_one() -> None:
    cluster = serving()
    cluster.spec = spec("runtime:1", vectorStore=EXTERNAL)
    cluster.look()
    (deployment,) = (body for key, body in cluster.objects.items() if key[0] == "Deployment")
    written = deployment["metadata"]["annotations"].pop(names.APPLIED_ANNOTATION)
    cluster.controllers()
    made = cluster.plan()
    assert [write.kind for write in made.writes] == ["Deployment"], "as before it was written"
    assert made.deletions == ()
    deployment["metadata"]["annotations"][names.APPLIED_ANNOTATION] = written
    cluster.settle()
    assert ("StatefulSet", "shop-chroma") not in cluster.objects


def test_the_old_store_stays_while_documents_are_missing() -> None:
    cluster = serving()
    cluster.sources = {}
    cluster.spec = spec("runtime:1", vectorStore=EXTERNAL)
    for _ in range(3):
        cluster.look()
        cluster.controllers()
        assert ("StatefulSet", "shop-chroma") in cluster.objects
    cluster.sources = {"help": "c0ffee"}
    cluster.settle()
    assert ("StatefulSet", "shop-chroma") not in cluster.objects


def test_a_deleted_service_of_the_stable_revision_sends_no_conversation_to_the_canary() -> None:
    cluster = with_canary()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    del cluster.objects["Service", f"shop-{one}"]
    cluster.look()
    assert cluster.weights() == {one: 95, two: 5}, "left as it was until the address is known"
    cluster.settle()
    assert cluster.weights() == {one: 95, two: 5}


def test_a_deleted_service_of_the_canary_is_recreated() -> None:
    cluster = with_canary()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    del cluster.objects["Service", f"shop-{two}"]
    cluster.look()
    assert cluster.weights() == {one: 100}
    cluster.settle()
    assert cluster.weights() == {one: 95, two: 5}
    del cluster.objects["Service", f"shop-{two}"]
    cluster.command = Command("id-1", "abort")
    cluster.look()
    assert cluster.weights() == {one: 100}
    assert cluster.status.failed_revision == two


def test_no_request_reaches_a_canary_before_its_first_weight() -> None:
    asked = {"analysis": {"evaluation": {"configMap": {"name": "questions"}}}}
    cluster = Cluster(spec("runtime:1", rollout=asked))
    cluster.sources["questions"] = "beef"
    cluster.settle()
    two = name_of("runtime:2")
    cluster.spec = spec("runtime:2", rollout=asked)
    cluster.broken_images = {"runtime:2"}
    cluster.settle()
    assert cluster.state_of(two) == "maint", "it has no pod"
    cluster.broken_images = set()
    cluster.settle()
    assert cluster.status.evaluation.verdict == "Running"
    assert cluster.state_of(two) == "maint", "it is not judged yet"
    cluster.lost = 0
    states = [cluster.state_of(two)]
    while states[-1] != "ready":
        cluster.controllers()
        cluster.look()
        states.append(cluster.state_of(two))
    assert list(dict.fromkeys(states)) == ["maint", "drain", "ready"]


def test_a_revision_that_cannot_be_read_wedges_nothing() -> None:
    cluster = with_canary()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    cluster.objects["ControllerRevision", f"shop-{one}"]["data"]["later"] = True
    cluster.command = Command("id-1", "abort")
    cluster.settle()
    assert cluster.weights() == {one: 100}
    assert cluster.revisions() == [one]
    assert cluster.status.failed_revision == two


def test_a_copy_with_our_labels_is_not_deleted_and_an_orphan_is_adopted() -> None:
    cluster = serving()
    name = ("Service", f"shop-{name_of('runtime:1')}")
    copy = cluster.objects[name] | {
        "metadata": cluster.objects[name]["metadata"] | {"name": "copy"}
    }
    copy["metadata"]["ownerReferences"] = []
    copy["metadata"]["labels"] = copy["metadata"]["labels"] | {"chatagent.dev/revision": "0000"}
    cluster.objects["Service", "copy"] = copy
    left = copy | {"metadata": copy["metadata"] | {"name": "shop-0000"}}
    cluster.objects["Service", "shop-0000"] = left
    cluster.objects[name]["metadata"]["ownerReferences"] = []
    cluster.settle()
    assert ("Service", "shop-0000") not in cluster.objects
    assert ("Service", "copy") in cluster.objects
    assert cluster.objects[name]["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def test_an_agent_that_is_created_again_for_its_orphans_continues_with_them() -> None:
    """As `kubectl delete --cascade=orphan`, or a backup that was restored without a status."""
    steps: dict[str, Any] = {"steps": [{"setWeight": 5}, {"pause": {}}]}
    cluster = serving(rollout=steps)
    one = cluster.status.stable_revision
    cluster.spec = spec("runtime:2", rollout=steps)
    cluster.settle()
    two = cluster.status.canary_revision
    for (kind, _), body in cluster.objects.items():
        if kind != "Secret":  # which the simulation does not adopt
            body["metadata"]["ownerReferences"] = []
    cluster.status = ChatAgentStatus()
    cluster.spec = spec("runtime:3", rollout=steps)
    cluster.look()
    assert cluster.status.stable_revision == one
    assert f"it is revision {one}, which the gateway sends conversations to" in "\n".join(
        cluster.story
    )
    cluster.settle()
    assert cluster.weights() == {one: 95, name_of("runtime:3"): 5}
    assert two not in cluster.revisions(), "its pods have no use"
    owners = {k: body["metadata"]["ownerReferences"] for k, body in cluster.objects.items()}
    assert all(owners.values()), "what has a use is adopted, and the rest deleted"


def test_an_agent_that_is_created_again_takes_nothing_from_what_is_being_deleted() -> None:
    cluster = serving()
    for body in cluster.objects.values():
        body["metadata"]["ownerReferences"][0]["uid"] = "uid-0"
    cluster.status = ChatAgentStatus()
    cluster.spec = spec("runtime:2")
    cluster.look()
    assert cluster.status.stable_revision is None
    assert cluster.status.canary_revision == name_of("runtime:2")


def test_a_failed_revision_serves_where_the_status_names_no_stable_one() -> None:
    cluster = Cluster(status=ChatAgentStatus(failed_revision=name_of("runtime:1")))
    cluster.settle()
    assert cluster.status.stable_revision == name_of("runtime:1")
    assert cluster.status.failed_revision is None


def test_an_exceeded_deadline_is_reported_without_any_event() -> None:
    cluster = serving()
    cluster.broken_images.add("runtime:2")
    cluster.spec = spec("runtime:2", rollout={"progressDeadlineSeconds": 60})
    cluster.settle()
    due = cluster.plan().requeue_after
    assert due is not None
    cluster.clock += int(due) + 1
    cluster.look()
    assert cluster.condition("Degraded") == ("True", "ProgressDeadlineExceeded")


def test_abort_sets_the_weight_to_0_at_once_and_stays() -> None:
    cluster = with_canary()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    cluster.command = Command("id-1", "abort", two)
    cluster.look()
    assert cluster.weights() == {one: 100}
    cluster.settle()
    assert cluster.status.failed_revision == two
    assert cluster.revisions() == [one]
    assert cluster.condition("Progressing") == ("False", "Aborted")
    made = cluster.plan()
    assert (made.writes, made.deletions) == ((), ()), "it does not come back by itself"
    cluster.spec = spec("runtime:1")
    cluster.settle()
    assert cluster.status.failed_revision is None
    cluster.spec = spec("runtime:2")
    cluster.settle()
    assert cluster.weights() == {one: 95, two: 5}, "a changed spec is a new try"


def test_a_broken_revision_never_takes_traffic() -> None:
    cluster = serving()
    one = name_of("runtime:1")
    cluster.broken_images.add("runtime:2")
    cluster.spec = spec("runtime:2")
    cluster.settle()
    assert cluster.weights() == {one: 100}
    cluster.command = Command("id-1", "promote", full=True)
    cluster.settle()
    assert cluster.weights() == {one: 100}
    assert (cluster.status.rollout.last_command_result or "").startswith("refused")


def test_a_canary_that_loses_its_pods_loses_its_weight() -> None:
    cluster = with_canary()
    one, two = name_of("runtime:1"), name_of("runtime:2")
    cluster.objects["Deployment", f"shop-{two}"]["status"]["availableReplicas"] = 0
    cluster.look()
    assert cluster.weights() == {one: 100}


def test_a_first_revision_that_never_served_is_replaced_not_kept() -> None:
    cluster = Cluster(spec("runtime:broken"), broken_images={"runtime:broken"})
    cluster.settle()
    assert cluster.weights() == {}
    cluster.spec = spec("runtime:1")
    cluster.settle()
    one = name_of("runtime:1")
    assert cluster.weights() == {one: 100}
    assert cluster.revisions() == [one]


def test_reverting_the_spec_withdraws_the_canary() -> None:
    cluster = with_canary()
    cluster.spec = spec("runtime:1")
    cluster.settle()
    assert cluster.weights() == {name_of("runtime:1"): 100}
    assert cluster.status.failed_revision is None


def test_an_old_command_is_not_carried_out_again() -> None:
    cluster = with_canary()
    cluster.command = Command("id-1", "promote", full=True)
    cluster.settle()
    cluster.spec = spec("runtime:3")
    cluster.settle()
    assert cluster.weights()[name_of("runtime:3")] == 5


def test_a_command_for_another_canary_is_refused() -> None:
    cluster = with_canary()
    cluster.command = Command("id-1", "promote", "0badcafe")
    cluster.settle()
    assert "is not the canary" in (cluster.status.rollout.last_command_result or "")
    assert cluster.weights()[name_of("runtime:2")] == 5


def test_changed_documents_make_a_new_job_and_a_new_tag_does_not() -> None:
    cluster = serving()
    jobs = {key for key in cluster.objects if key[0] == "Job"}
    cluster.spec = spec("runtime:2")
    cluster.settle()
    assert {key for key in cluster.objects if key[0] == "Job"} == jobs
    cluster.sources = {"help": "other"}
    cluster.settle()
    now = {key for key in cluster.objects if key[0] == "Job"}
    assert len(now) == 1
    assert now != jobs


def test_another_embedding_model_builds_its_own_index_before_it_serves() -> None:
    cluster = serving()
    cluster.spec = spec("runtime:1", pipeline={"retrieval": {"embeddingModel": "other/model"}})
    cluster.look()
    assert len([key for key in cluster.objects if key[0] == "Job"]) == 2
    assert len(cluster.weights()) == 1
    cluster.settle()
    assert len(cluster.weights()) == 2


def test_another_prompt_of_passages_builds_its_own_index_and_one_of_queries_does_not() -> None:
    cluster = serving()
    jobs = {key for key in cluster.objects if key[0] == "Job"}
    prompts = {"query": "query: "}
    cluster.spec = spec("runtime:1", pipeline={"retrieval": {"embeddingPrompts": prompts}})
    cluster.settle()
    assert {key for key in cluster.objects if key[0] == "Job"} == jobs
    assert len(cluster.weights()) == 2
    prompts["passage"] = "passage: "
    cluster.spec = spec("runtime:1", pipeline={"retrieval": {"embeddingPrompts": prompts}})
    cluster.look()
    assert len({key for key in cluster.objects if key[0] == "Job"} - jobs) == 1


def test_a_job_whose_image_was_broken_is_recreated_with_the_next_one() -> None:
    cluster = Cluster(spec("runtime:broken"), broken_images={"runtime:broken"})
    cluster.settle()
    cluster.spec = spec("runtime:1")
    cluster.settle()
    (job,) = [body for key, body in cluster.objects.items() if key[0] == "Job"]
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "runtime:1"


def test_missing_documents_are_named_and_heal() -> None:
    cluster = Cluster(sources={})
    cluster.settle()
    assert cluster.condition("ResolvedRefs") == ("False", "ConfigMapNotFound")
    (message,) = [c.message for c in cluster.status.conditions if c.type == "ResolvedRefs"]
    assert "spec.knowledge.sources[0].configMap" in message
    cluster.sources = {"help": "c0ffee"}
    cluster.settle()
    assert cluster.condition("ResolvedRefs") == ("True", "Resolved")
    assert cluster.status.phase == "Ready"


def test_documents_that_go_missing_take_nothing_away() -> None:
    cluster = serving()
    cluster.sources = {}
    assert cluster.look().deletions == ()
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.status.phase == "Degraded"


def test_suspend_changes_nothing() -> None:
    cluster = serving()
    cluster.spec = spec("runtime:2", suspend=True)
    cluster.command = Command("id-9", "abort")
    made = cluster.look()
    assert (made.writes, made.deletions) == ((), ())
    assert cluster.status.phase == "Suspended"
    assert cluster.status.rollout.message == cluster.message("Progressing")
    result = cluster.status.rollout.last_command_result
    assert result == "refused: spec.suspend is true; set it to false"
    cluster.spec = spec("runtime:2")
    cluster.settle()
    assert cluster.status.phase == "Canary"


def test_history_is_limited() -> None:
    cluster = Cluster(spec("runtime:0", rollout={"revisionHistoryLimit": 2}))
    cluster.settle()
    for number in range(1, 6):
        cluster.spec = spec(f"runtime:{number}", rollout={"revisionHistoryLimit": 2})
        cluster.settle()
        cluster.command = Command(f"id-{number}", "promote", full=True)
        cluster.settle()
    cluster.wait(600)
    kept = [key[1] for key in cluster.objects if key[0] == "ControllerRevision"]
    assert len(kept) == 3
    cluster.gateway_follows = False  # where nothing moves, it is not asked
    cluster.spec["rollout"]["revisionHistoryLimit"] = 1
    assert len(cluster.plan().deletions) == 1


def test_a_deleted_child_is_recreated() -> None:
    cluster = serving()
    for key in list(cluster.objects):
        if key[0] in ("ControllerRevision", "Secret"):
            continue
        del cluster.objects[key]
        cluster.settle()
        assert key in cluster.objects


def test_a_transient_problem_is_reported_once_it_has_lasted() -> None:
    cluster = serving()
    cluster.look()
    began = f"2026-01-01T00:{cluster.clock // 60:02}:{cluster.clock % 60:02}Z"
    cluster.objects["Pod", "shop-chroma-0"] = {
        "metadata": {
            "name": "shop-chroma-0",
            "resourceVersion": "1",
            "labels": names.labels("shop", names.ROLE_VECTOR_STORE),
        },
        "status": {
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "its claim is not there yet",
                    "lastTransitionTime": began,
                }
            ]
        },
    }
    made = cluster.look()
    assert cluster.condition("Degraded") == ("False", "AsExpected")
    assert made.requeue_after is not None, "it is looked at again without any event"
    cluster.clock += 5
    cluster.look()
    assert cluster.condition("Degraded") == ("True", "Unschedulable")


PAUSED = {"rollout": {"paused": True, "strategy": "recreate"}}


def test_nothing_is_recreated_while_the_rollout_is_held() -> None:
    cluster = serving()
    cluster.spec = spec("runtime:2", **PAUSED)
    cluster.settle()
    cluster.wait(3600)
    one = name_of("runtime:1")
    assert cluster.pods() == {"runtime:1": 1, "runtime:2": 0}
    assert cluster.weights() == {one: 100}
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.status.failed_revision is None, "what is held has no deadline"
    cluster.spec = spec("runtime:2", rollout={"strategy": "recreate"})
    cluster.settle()
    assert cluster.weights() == {name_of("runtime:2"): 100}


def test_nothing_is_recreated_before_its_documents_exist() -> None:
    cluster = serving()
    cluster.sources = {}
    pipeline = {"retrieval": {"chunking": {"maxTokens": 64}}}
    cluster.spec = spec("runtime:2", pipeline=pipeline, rollout={"strategy": "recreate"})
    cluster.settle()
    assert cluster.pods()["runtime:1"] == 1
    assert cluster.condition("Ready") == ("True", "Serving")


def test_an_agent_without_a_pod_is_not_ready() -> None:
    cluster = serving()
    cluster.broken_images = {"runtime:2"}
    cluster.spec = spec("runtime:2", rollout={"strategy": "recreate"})
    cluster.settle()
    assert cluster.pods()["runtime:1"] == 0
    assert cluster.condition("Ready")[0] == "False"


def test_more_pods_are_not_ready_before_they_exist() -> None:
    cluster = serving()
    cluster.spec = spec("runtime:1", replicas=2)
    cluster.look()
    assert cluster.condition("WorkloadsReady") == ("False", "Starting")
    cluster.settle()
    assert cluster.condition("WorkloadsReady") == ("True", "Available")


def test_documents_that_change_leave_the_canary_its_conversations() -> None:
    cluster = with_canary()
    cluster.sources = {"help": "decade"}
    cluster.look()
    assert sorted(cluster.weights().values()) == [5, 95]
    made = cluster.settle()
    assert made.status.rollout.weight == 5


def test_a_gateway_that_does_not_follow_an_abort_is_named() -> None:
    cluster = with_canary()
    cluster.lagging = 1
    cluster.command = Command("id-1", "abort")
    cluster.look()
    assert cluster.condition("Degraded")[0] == "False", "it has had no time yet"
    cluster.behind = 10
    made = cluster.look()
    assert cluster.condition("Degraded") == ("True", "GatewayLags")
    assert made.requeue_after, "no watch tells that it follows again"
    message = next(c.message for c in cluster.status.conditions if c.type == "Degraded")
    assert "shop-gateway-1" in message
    cluster.lagging = None
    cluster.settle()
    assert cluster.condition("Degraded")[0] == "False"


def test_an_annotation_that_is_no_command_is_answered_once() -> None:
    cluster = with_canary()
    cluster.command = parse_command('{"id": 7, "action": "abort"}')
    cluster.settle()
    cluster.settle()
    result = "refused: id must be a string that is new for every command, not 7"
    assert cluster.status.rollout.last_command_result == result
    assert len([told for told in cluster.story if "CommandRefused" in told]) == 1


def test_rolling_is_judged_by_readiness_alone() -> None:
    cluster = Cluster(spec("runtime:1", replicas=3, rollout={"strategy": "rolling"}))
    cluster.settle()
    cluster.tallies = {"runtime:1": counted(400), "runtime:2": counted(400, errors=400)}
    cluster.spec = spec("runtime:2", replicas=3, rollout={"strategy": "rolling"})
    cluster.settle()
    cluster.wait(120)
    assert cluster.status.stable_revision == name_of("runtime:2")


def test_the_accepted_spec_stays_in_effect_beside_an_invalid_one() -> None:
    cluster = with_canary()
    two = name_of("runtime:2")
    wrong = spec("runtime:3", pipeline={"llm": {"promptTemplate": "no question"}})
    with pytest.raises(ValueError, match="question"):
        ChatAgentSpec.model_validate(wrong)
    read = find_last_readable("shop", wrong, cluster.status, cluster.observed())
    assert read is not None
    assert revision.build_revision(read.versioned()).name == two
    wrong = spec("runtime:2", rollout={"steps": [{"pause": {}}, {"nothing": 1}]})
    read = find_last_readable("shop", wrong, cluster.status, cluster.observed())
    assert read is not None
    assert read.rollout.paused
    wrong = spec(
        "runtime:2",
        rollout={
            "steps": [{"setWeight": 5}, {"pause": {"duration": "0s"}}],
            "affinity": {"onPromote": "drain", "drain": "2h"},
            "analysis": {"interval": "0s", "failureLimit": 3},
            "progressDeadlineSeconds": 3600,
            "revisionHistoryLimit": 50,
        },
    )
    read = find_last_readable("shop", wrong, cluster.status, cluster.observed())
    assert read is not None
    kept = read.rollout
    assert kept.paused
    assert (kept.affinity.drain, kept.progress_deadline_seconds) == ("2h", 3600)
    assert (kept.revision_history_limit, kept.analysis.failure_limit) == (50, 3)
    assert (
        find_last_readable("shop", wrong | {"replicas": 0}, cluster.status, cluster.observed())
        is None
    )
    cluster.command = Command("id-1", "abort")
    cluster.settle()
    read = find_last_readable("shop", wrong, cluster.status, cluster.observed())
    assert read is not None
    assert revision.build_revision(read.versioned()).name == two, "it stays out"
    assert find_last_readable("shop", {"image": ""}, cluster.status, cluster.observed()) is None
    assert find_last_readable("shop", wrong, ChatAgentStatus(), cluster.observed()) is None


def test_an_invalid_spec_is_reported_beside_the_rollout() -> None:
    cluster = with_canary()
    cluster.lagging, cluster.behind = 1, 10
    looked = cluster.plan().status
    now = cluster.now()
    told = report_invalid(cluster.status, 2, "spec.image: wrong", now, reconciled=looked)
    assert told.canary_revision == looked.canary_revision
    assert told.phase == "Degraded"
    reasons = {each.type: each.reason for each in told.conditions}
    assert (reasons["Accepted"], reasons["Degraded"]) == ("InvalidSpec", "GatewayLags")
    assert told == report_invalid(told, 2, "spec.image: wrong", cluster.now(), reconciled=looked)


def test_a_new_store_is_no_problem_before_its_pods_have_connected_again() -> None:
    cluster = Cluster()
    cluster.look()
    cluster.reports = {"shop-1": Trouble("VectorStoreUnavailable", "the store does not answer")}
    pod = {
        "metadata": {
            "name": "shop-1",
            "labels": names.labels("shop", names.ROLE_AGENT)
            | {names.REVISION_LABEL: name_of("runtime:1")},
        },
        "status": {"containerStatuses": [{"name": "agent", "state": {"running": {}}}]},
    }
    cluster.objects["Pod", "shop-1"] = pod
    cluster.settle()
    assert cluster.condition("VectorStoreReady") == ("True", "Available")
    assert cluster.condition("Degraded")[0] == "False", "it waits for what has just come up"
    cluster.clock += 15
    cluster.look()
    assert cluster.condition("Degraded") == ("True", "VectorStoreUnavailable")


def failing(cluster: Cluster, revision: str | None = None) -> dict[str, Any]:
    """The container of a pod that indexes, and has just failed."""
    words = '{"reason": "ModelNotFound", "message": "acme/other is not in this image"}'
    failed = {"exitCode": 1, "message": words} | {
        "startedAt": cluster.now(),
        "finishedAt": cluster.now(),
    }
    container: dict[str, Any] = {"name": "ingest", "state": {"terminated": failed}}
    labels = names.labels("shop", names.ROLE_INGESTION, revision)
    cluster.objects["Pod", "shop-2"] = {
        "metadata": {"name": "shop-2", "labels": labels},
        "spec": {"restartPolicy": "OnFailure"},
        "status": {
            "containerStatuses": [container],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    return container


def test_an_ingestion_that_starts_again_has_still_failed() -> None:
    cluster = serving()
    container = failing(cluster)
    cluster.look()
    assert cluster.condition("Degraded") == ("True", "ModelNotFound")
    container["lastState"] = container["state"]
    container["state"] = {"running": {"startedAt": cluster.now()}}
    made = cluster.look()
    assert cluster.condition("Degraded") == ("True", "ModelNotFound")
    assert made.requeue_after == POLL_SECONDS, "nothing else would tell that it has passed"
    cluster.clock += 10
    cluster.look()
    assert cluster.condition("Degraded")[0] == "False"


@pytest.mark.parametrize("strategy", ["canary", "recreate"])
def test_a_revision_whose_documents_cannot_be_indexed_is_rolled_back(strategy: str) -> None:
    cluster = serving()
    one = cluster.status.stable_revision
    cluster.broken_images = {"runtime:2"}
    pipeline = {"retrieval": {"chunking": {"maxTokens": 64}}}
    cluster.spec = spec("runtime:2", pipeline=pipeline, rollout={"strategy": strategy})
    cluster.wait(1000)
    assert cluster.condition("Progressing") == ("True", "WaitingForIndex")
    assert cluster.status.canary_revision, "indexing takes as long as it takes"
    failing(cluster, cluster.status.canary_revision)
    made = cluster.settle()
    assert cluster.condition("Progressing") == ("True", "WaitingForIndex")
    assert made.requeue_after
    cluster.wait(590)
    assert cluster.status.canary_revision
    assert cluster.pods()["runtime:1"] == 1, "it makes way for nothing that cannot serve"
    cluster.wait(30)
    assert cluster.status.failed_reason == "ProgressDeadlineExceeded"
    assert "acme/other is not in this image" in (cluster.status.failed_message or "")
    assert cluster.weights() == {one: 100}


def test_a_revision_may_be_indexed_after_all() -> None:
    cluster = serving()
    cluster.broken_images = {"runtime:2"}
    pipeline = {"retrieval": {"chunking": {"maxTokens": 64}}}
    cluster.spec = spec("runtime:2", pipeline=pipeline)
    cluster.settle()
    failing(cluster, cluster.status.canary_revision)
    cluster.wait(400)
    del cluster.objects["Pod", "shop-2"]
    cluster.wait(400)
    failing(cluster, cluster.status.canary_revision)
    cluster.wait(400)
    assert cluster.status.canary_revision, "the time begins anew"
    del cluster.objects["Pod", "shop-2"]
    cluster.broken_images = set()
    cluster.settle()
    assert cluster.status.rollout.weight == 5


@pytest.mark.parametrize("count", ["many", -1, 2**70, True, [1]])
def test_an_ingestion_that_reports_no_count_reports_nothing(count: Any) -> None:
    cluster = Cluster()
    cluster.settle()
    ((_, job),) = [key for key in cluster.objects if key[0] == "Job"]
    metadata = cluster.objects["Job", job]["metadata"]
    report = json.dumps({"documents": 3, "chunks": count, "indexVersion": count})
    cluster.objects["Pod", f"{job}-x"] = {
        "metadata": metadata | {"name": f"{job}-x", "resourceVersion": "1"},
        "status": {"containerStatuses": [{"state": {"terminated": {"message": report}}}]},
    }
    cluster.settle()
    known = cluster.status.knowledge
    assert (known.documents, known.chunks, known.index_version) == (3, None, None)
