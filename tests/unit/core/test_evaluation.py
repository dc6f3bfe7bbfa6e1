"""The quality gate: which Job is made, what its counts mean, and what is said of one that fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from chatagent_operator.api.status import EvaluationStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import revision
from chatagent_operator.core.agent import Agent, Manifest
from chatagent_operator.core.children.evaluation import build_job, build_report
from chatagent_operator.core.children.pod import RuntimePod
from chatagent_operator.core.judging import quality
from chatagent_operator.core.observed.objects import Observed, project
from chatagent_operator.core.servers import Redis, Servers, Store
from chatagent_operator.core.view.evaluations import (
    Evaluation,
    UnstoredReport,
    find_evaluation,
    find_missing_questions,
    find_unstored_report,
    read_result,
)
from tests.conftest import Golden
from tests.unit.core.simulation import PLATFORM, spec

SOURCES = {"help": "c0ffee", "questions": "abc"}
SERVERS = Servers(Store("chroma://chroma:8000"), Redis("redis://redis:6379/0"))
UNREAD = UnstoredReport("shop-eval-1", "bbbbbbbb", "shop-eval-1-x")
GPU = {"limits": {"nvidia.com/gpu": 1}}


def agent(image: str = "runtime:2", **settings: Any) -> Agent:
    asked = {"configMap": {"name": "questions"}} if "persistentVolumeClaim" not in settings else {}
    body = spec(
        image,
        resources=GPU,
        rollout={"analysis": {"evaluation": {**asked, **settings}}},
    )
    return Agent("demo", "shop", "uid-1", 1, ChatAgentSpec.model_validate(body))


def asked(of: Agent, sources: dict[str, str] = SOURCES, attempt: str = "") -> Evaluation:
    stable = revision.build_revision(agent("runtime:1").spec.versioned())
    found = find_evaluation(
        of, revision.build_revision(of.spec.versioned()), stable, sources, attempt
    )
    assert found is not None
    return found


def counts(compared: int, lost: int = 0, gained: int = 0, before: int | None = None) -> Any:
    before = compared if before is None else before
    return {
        "new": before - lost + gained,
        "newOf": compared,
        "baseline": before,
        "baselineOf": compared,
        "compared": compared,
        "lost": lost,
        "gained": gained,
    }


def report(**measures: Any) -> dict[str, Any]:
    all_ = {name: counts(20) for name in ("retrievalHits", "groundedness", "facts", "refusals")}
    return {
        "questions": 25,
        "measures": all_ | measures,
        "failed": {"new": 0, "baseline": 0},
        "error": None,
        "worse": [{"id": "returns-1", "lost": ["facts"]}],
    }


def observed(
    of: Evaluation, *messages: object, condition: str | None = None, message: str = ""
) -> Observed:
    """The Job with a condition, and a pod for each termination message."""
    labels = {
        "app.kubernetes.io/managed-by": "chatagent-operator",
        "chatagent.dev/agent": "shop",
        "chatagent.dev/role": "evaluation",
        "chatagent.dev/revision": "bbbbbbbb",
    }
    found = {"type": condition, "status": "True", "reason": condition, "message": message}
    bodies: list[tuple[str, dict[str, Any]]] = [
        (
            "Job",
            {
                "metadata": {"name": of.job, "labels": labels},
                "status": {"conditions": [found] if condition else []},
            },
        )
    ]
    for at, said in enumerate(messages):
        text = said if isinstance(said, str) else json.dumps(said)
        ended = {"terminated": {"exitCode": 0, "message": text}}
        status = {"phase": "Succeeded", "containerStatuses": [{"name": "x", "state": ended}]}
        bodies.append(
            ("Pod", {"metadata": {"name": f"{of.job}-{at}", "labels": labels}, "status": status})
        )
    children = [child for kind, body in bodies if (child := project(kind, body))]
    return Observed({(child.kind, child.name): child for child in children}, SOURCES)


@pytest.mark.parametrize(
    ("measure", "verdict"),
    [
        (counts(100), "Succeeded"),
        (counts(100, lost=5), "Succeeded"),  # as much as maxDecrease allows
        (counts(100, lost=6), "Failed"),
        (counts(100, lost=10, gained=5), "Succeeded"),
        (counts(100, lost=12, gained=5, before=90), "Failed"),
        (counts(100, lost=30, gained=22, before=70), "Succeeded"),  # as if tossed, (8)² < 2.71 x 52
        (counts(100, gained=10, before=80), "Succeeded"),
        (counts(10, lost=1), "Succeeded"),  # a tenth, but of one question nobody knows
        (counts(10, lost=2), "Succeeded"),
        (counts(10, lost=3), "Failed"),
        (counts(2, lost=1), "Succeeded"),
        (counts(2, lost=2), "Failed"),  # nothing is right any more
        (counts(1, lost=1), "Succeeded"),
        (counts(0), "Succeeded"),  # a set without unanswerable questions
    ],
)
def test_a_share_that_falls_is_distinguished_from_noise(measure: Any, verdict: str) -> None:
    read = quality.Summary.model_validate(report(refusals=measure))
    assert quality.judge(read.measures, asked(agent()).settings)[0] == verdict


@pytest.mark.parametrize(
    ("allowed", "lost", "verdict"),
    [(0.0, 3, "Failed"), (0.29, 29, "Succeeded"), (0.29, 30, "Failed"), (1.0, 100, "Succeeded")],
)
def test_max_decrease_is_the_share_that_may_be_lost(
    allowed: float, lost: int, verdict: str
) -> None:
    read = quality.Summary.model_validate(report(facts=counts(100, lost=lost)))
    assert quality.judge(read.measures, asked(agent(maxDecrease=allowed)).settings)[0] == verdict


@pytest.mark.parametrize(
    ("measure", "minimum", "verdict"),
    [
        (counts(10, before=9), 0.9, "Succeeded"),
        (counts(10, before=8), 0.9, "Failed"),
        (counts(0), 0.9, "Failed"),  # what nobody sees is not reached
        (counts(10, before=0), 0.0, "Succeeded"),
    ],
)
@pytest.mark.parametrize("name", ["retrievalHits", "groundedness", "facts", "refusals"])
def test_a_least_share_holds_whatever_the_stable_revision_has(
    measure: Any, minimum: float, verdict: str, name: str
) -> None:
    read = quality.Summary.model_validate(report(**{name: measure}))
    limits = asked(agent(min={name: minimum})).settings
    found, message = quality.judge(read.measures, limits)
    assert found == verdict
    assert verdict == "Succeeded" or "is below min 0.9" in message


def test_a_measure_that_only_the_stable_revision_shows_is_no_pass() -> None:
    hidden = counts(0) | {"baseline": 9, "baselineOf": 10}
    read = quality.Summary.model_validate(report(retrievalHits=hidden))
    verdict, message = quality.judge(read.measures, asked(agent()).settings)
    assert (verdict, "does not return it" in message) == ("Failed", True)


def test_nothing_to_compare_is_no_pass() -> None:
    names = ("retrievalHits", "groundedness", "facts", "refusals")
    read = quality.Summary.model_validate(report(**{name: counts(0) for name in names}))
    assert quality.judge(read.measures, asked(agent()).settings)[0] == "Failed"


def test_a_pass_gives_both_revisions_shares() -> None:
    of = asked(agent())
    found = read_result(of, observed(of, report(facts=counts(20, gained=1, before=18))))
    assert found.verdict == "Succeeded"
    assert found.report == of.job
    assert found.canary is not None
    assert found.stable is not None
    assert (found.canary.facts, found.stable.facts) == (0.95, 0.9)
    assert "facts 0.95 (stable revision 0.9)" in found.message


def test_a_failure_names_the_share_the_difference_and_the_questions() -> None:
    of = asked(agent())
    bad = report(groundedness=counts(20, lost=8)) | {
        "failed": {"new": 3, "baseline": 1},
        "error": "http://shop: 500: boom",
    }
    found = read_result(of, observed(of, bad, condition="Complete"))
    assert found.verdict == "Failed"
    assert found.message == (
        "25 questions: groundedness 0.6 (stable revision 1): lost 8 and gained 0 of 20, which "
        "exceeds maxDecrease 0.05; the new revision did not reply to 3 (http://shop: 500: boom); "
        "the stable revision did not reply to 1, which are not compared; such as returns-1"
    )


BROKEN = {"reason": "InvalidQuestions", "message": "/q/questions.jsonl:7: questions[3]: lang: no"}


@pytest.mark.parametrize(
    ("messages", "condition", "said", "verdict", "words"),
    [
        ([], None, "", "Running", "asked the questions of ConfigMap 'questions'"),
        ([BROKEN], None, "", "Running", "makes no progress: InvalidQuestions"),
        ([BROKEN], "Failed", "exit code 3", "Failed", "questions.jsonl:7: questions[3]: lang"),
        ([], "Failed", "longer than specified deadline", "Failed", "longer than specified"),
        (["usage: agent-runtime"], "Failed", "exit code 2", "Failed", "exit code 2"),
        ([], "Complete", "", "Running", "the Job is run again"),
        ([{"measures": {}}], "Complete", "", "Failed", "is invalid: questions"),
        ([report() | {"questions": 0}], "Complete", "", "Failed", "is invalid: questions"),
        ([report(facts=None)], "Complete", "", "Failed", "is invalid: measures.facts"),
        ([report(facts=counts(3) | {"lost": "3"})], None, "", "Failed", "measures.facts.lost"),
        ([BROKEN, report()], "Complete", "", "Succeeded", "25 questions"),
    ],
)
def test_whatever_is_no_report_is_no_pass(
    messages: list[object], condition: str | None, said: str, verdict: str, words: str
) -> None:
    of = asked(agent())
    found = read_result(of, observed(of, *messages, condition=condition, message=said))
    assert found.verdict == verdict
    assert words in found.message


def test_a_verdict_holds_after_the_pod_is_deleted_and_only_for_its_own_job() -> None:
    of = asked(agent())
    gone = observed(of, condition="Complete")
    before = EvaluationStatus(verdict="Succeeded", message="fine", report=of.job)
    assert read_result(of, gone, before) == before
    other = before.model_copy(update={"report": "shop-eval-00000000"})
    assert read_result(of, gone, other).verdict == "Running"


def test_a_pod_of_another_job_is_ignored() -> None:
    of, other = asked(agent()), asked(agent("runtime:3"))
    pods = observed(other, report(), condition="Complete")
    assert read_result(of, pods).verdict == "Running"


def test_a_job_is_named_by_its_questions_and_not_by_the_limits() -> None:
    first = asked(agent()).job
    assert asked(agent(maxDecrease=0.2, min={"facts": 0.5})).job == first
    others = [
        asked(agent("runtime:3")).job,
        asked(agent(timeout="1h")).job,
        asked(agent(configMap={"name": "questions", "key": "other.yaml"})).job,
        asked(agent(), SOURCES | {"questions": "changed"}).job,
        asked(agent(), attempt="2").job,
        asked(agent(persistentVolumeClaim={"claimName": "questions"})).job,
    ]
    assert len({first, *others}) == 7


def test_no_evaluation_is_desired_where_none_is_configured() -> None:
    plain = Agent("demo", "shop", "uid-1", 1, ChatAgentSpec.model_validate(spec()))
    one = revision.build_revision(plain.spec.versioned())
    assert find_evaluation(plain, one, one, SOURCES) is None
    assert find_missing_questions(plain, {}) is None


def test_a_configmap_that_does_not_exist_is_named_and_waited_for() -> None:
    of = asked(agent(), {})
    assert of.missing == find_missing_questions(agent(), {})
    found = read_result(of, Observed())
    assert found.verdict == "Running"
    assert "ConfigMap 'questions' does not exist in namespace 'demo'; create it" in found.message


def job(of: Agent) -> Manifest:
    found = asked(of)
    return build_job(found, RuntimePod(of, found.stable, SERVERS, PLATFORM))


def test_the_job(golden: Golden) -> None:
    of = agent()
    made = [job(of)]
    volume = agent(persistentVolumeClaim={"claimName": "sets", "path": "shop/en.yaml"})
    made.append(job(volume))
    golden.check("evaluation.yaml", yaml.safe_dump_all(made, sort_keys=True, width=100))
    pod = made[0]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "runtime:1"
    assert "nvidia.com/gpu" not in json.dumps(pod["containers"])


def line(at: int, text: str = "x", **changes: object) -> str:
    new, baseline = {"reply": text}, {"reply": "y"}
    whole = {"id": f"q{at}", "lost": [], "gained": [], "new": new, "baseline": baseline, **changes}
    return json.dumps(whole, ensure_ascii=False)


def test_a_report_has_what_changed_and_what_did_not_and_no_log() -> None:
    of = agent()
    printed = [line(1, lost=["facts"]), line(2, gained=["facts"]), line(3, "a\u2028b")]
    log = "\n".join(['{"level": "info"}', *printed, json.dumps(report()), "bye", ""])
    made = build_report(of, UNREAD, log)
    assert made["metadata"]["name"] == UNREAD.job
    read = json.loads(made["data"]["report.json"])
    assert read["summary"] == report()
    assert [each["id"] for each in read["changed"]] == ["q1", "q2"]
    assert read["same"] == [
        {
            "id": "q3",
            "lost": [],
            "gained": [],
            "canary": {"reply": "a\u2028b"},
            "stable": {"reply": "y"},
        }
    ]
    assert read["leftOut"] == 0


def test_a_report_that_is_too_long_is_marked_as_cut() -> None:
    of = agent()
    log = "\n".join([*(line(at, "问" * 100) for at in range(5000)), json.dumps(report())])
    text = build_report(of, UNREAD, log)["data"]["report.json"]
    assert len(text.encode()) < 1024 * 1024
    read = json.loads(text)
    assert read["same"][0]["id"] == "q0"
    assert read["leftOut"] == 5000 - len(read["same"]) > 0


def test_a_log_with_lines_that_are_no_report_is_read_nevertheless() -> None:
    deep = '{"baseline": ' + "[" * 5000 + "]" * 5000 + "}"
    log = "\n".join((deep, "[1]", '"measures"', json.dumps({"measures": {}})))
    data = build_report(agent(), UNREAD, log)["data"]
    assert json.loads(data["report.json"]) == {
        "summary": {"measures": {}}, "changed": [], "same": [], "leftOut": 0,
    }  # fmt: skip


def test_of_a_job_that_failed_the_log_is_kept() -> None:
    of = agent()
    made = build_report(of, UNREAD, "x" * 2_000_000 + "the end")
    assert made["data"]["log.txt"].endswith("the end")
    assert len(made["data"]["log.txt"]) < 1_000_000


def test_a_report_is_to_be_kept_once_there_is_a_verdict() -> None:
    wanted = asked(agent())
    trying = observed(wanted, BROKEN)
    assert find_unstored_report(read_result(wanted, trying), trying) is None
    ended = observed(wanted, BROKEN, report(), condition="Complete")
    status = read_result(wanted, ended)
    assert find_unstored_report(status, ended) == UnstoredReport(
        wanted.job, "bbbbbbbb", f"{wanted.job}-1"
    )
    kept = build_report(agent(), UNREAD, "")
    body = kept | {"metadata": kept["metadata"] | {"name": wanted.job, "resourceVersion": "1"}}
    stored = project("ConfigMap", body)
    assert stored is not None
    there = Observed({**ended.children, ("ConfigMap", wanted.job): stored}, SOURCES)
    assert find_unstored_report(status, there) is None
    gone = Observed({("Job", wanted.job): ended.children["Job", wanted.job]}, SOURCES)
    assert find_unstored_report(status, gone) is None, "nobody can read it any more"
