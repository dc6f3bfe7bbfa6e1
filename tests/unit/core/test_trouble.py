"""What the kubelet, the scheduler and the runtime say, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.observed.facts import PodFacts, read_pod
from chatagent_operator.core.observed.objects import Observed, project
from chatagent_operator.core.observed.trouble import (
    find_interruptions,
    find_pod_trouble,
    parse_event,
)
from chatagent_operator.core.untrusted import MESSAGE_BYTES


def pod(**container: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"name": "agent", "image": "i:1", **container}]}}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return pod(state={"waiting": {"reason": reason, "message": message}}, **more)


def ended(message: str = "", code: int = 1, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (waiting("ErrImagePull", "no such tag"), "ImagePullFailed", "'i:1': no such tag"),
        (waiting("ImagePullBackOff", "Back-off"), "ImagePullFailed", "Back-off"),
        (
            waiting("CreateContainerConfigError", 'secret "keys" not found'),
            "SecretNotFound",
            "keys",
        ),
        (
            waiting("CreateContainerConfigError", 'configmap "c" not found'),
            "ConfigMapNotFound",
            '"c"',
        ),
        (
            waiting("CreateContainerConfigError", "couldn't find key a in Secret x/y"),
            "ReferenceNotFound",
            "key a",
        ),
        (
            waiting(
                "CrashLoopBackOff",
                lastState=ended('{"reason": "ModelNotFound", "message": "no model x"}'),
            ),
            "ModelNotFound",
            "no model x",
        ),
        (
            waiting("CrashLoopBackOff", lastState=ended("Traceback …")),
            "ContainerFailed",
            "exit code 1",
        ),
        (pod(state=ended(code=137)), "ContainerFailed", "137"),
        (pod(state=ended(code=137, reason="OOMKilled")), "ContainerFailed", "memory"),
        (pod(state=ended("a\nlast words")), "ContainerFailed", "a last words; check its log"),
        (
            waiting("CrashLoopBackOff", lastState=ended(code=0, reason="Completed")),
            "ContainerFailed",
            "exit code 0 (Completed)",
        ),
        (
            pod(
                state={"running": {}},
                started=False,
                restartCount=2,
                lastState=ended(code=0, reason="Completed"),
            ),
            "ContainerFailed",
            "exit code 0 (Completed)",
        ),
        (
            {
                "status": {
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/1 nodes: 1 Insufficient nvidia.com/gpu",
                        }
                    ]
                }
            },
            "Unschedulable",
            "nvidia.com/gpu",
        ),
    ],
)
def test_trouble_is_named(body: dict[str, Any], reason: str, words: str) -> None:
    found = find_pod_trouble(body)
    assert found is not None
    assert found.reason == reason
    assert words in found.message


PULL = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
CREATE = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
    "RunContainerError",
    "RunInitContainerError",
    "VerifyNonRootError",
    "CreatePodSandboxError",
    "ConfigPodSandboxError",
    "KillContainerError",
    "KillPodSandboxError",
    "SetupNetworkError",
    "ReasonOfALaterKubernetes",
)
END = ("Error", "ContainerCannotRun", "StartError", "DeadlineExceeded", "ContainerStatusUnknown")


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [(waiting(why, "some words"), "ImagePullFailed", "some words") for why in PULL]
    + [(waiting(why, "some words"), "ContainerFailed", f"{why}: some words") for why in CREATE]
    + [(waiting(why), "ContainerFailed", why) for why in CREATE]
    + [(pod(state=ended(code=128, reason=why)), "ContainerFailed", f"128 ({why})") for why in END],
)
def test_every_reason_of_the_kubelet_is_told(body: dict[str, Any], reason: str, words: str) -> None:
    found = find_pod_trouble(body)
    assert found is not None
    assert found.reason == reason
    assert words in found.message


KEYS = "references non-existent secret key: ca.crt"


@pytest.mark.parametrize(
    ("kind", "reason", "message", "expected"),
    [
        ("Job", "FailedCreate", "no quota", "PodsCannotBeMade"),
        ("Pod", "FailedMount", 'volume "a" : secret "b" not found', "SecretNotFound"),
        ("Pod", "FailedMount", 'volume "a" : configmap "b" not found', "ConfigMapNotFound"),
        ("Pod", "FailedMount", f'volume "a" : {KEYS}', "ReferenceNotFound"),
        ("Pod", "FailedMount", 'volume "secret" : share not found', "FailedMount"),
        ("Pod", "FailedAttachVolume", "Multi-Attach error", "FailedAttachVolume"),
        ("Pod", "FailedCreatePodSandBox", "no IP is left", "FailedCreatePodSandBox"),
        ("Pod", "FailedPrepareDynamicResources", "no GPU", "FailedPrepareDynamicResources"),
        ("Pod", "Preempted", "by another pod", None),
        ("ReplicaSet", "FailedCreate", "no quota", None),
    ],
)
def test_events_say_why_a_pod_does_not_start(
    kind: str, reason: str, message: str, expected: str | None
) -> None:
    about = {"kind": kind, "name": "x"}
    found = parse_event({"involvedObject": about, "reason": reason, "message": message})
    assert (found.reason, found.message) == (expected, message) if found else expected is None


CREATING = {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}
STARTS = "PodReadyToStartContainers"


@pytest.mark.parametrize(
    ("status", "is_unprepared"),
    [
        ({}, True),
        (CREATING, True),
        (CREATING | {"initContainerStatuses": [{"state": {"running": {}}}]}, False),
        (CREATING | {"conditions": [{"type": STARTS, "status": "True"}]}, False),
        (CREATING | {"conditions": [{"type": STARTS, "status": "False"}]}, True),
        ({"phase": "Succeeded", "conditions": [{"type": STARTS, "status": "False"}]}, False),
    ],
)
def test_a_pod_is_prepared_before_its_containers_start(
    status: dict[str, Any], is_unprepared: bool
) -> None:
    assert read_pod({"status": status}).is_unprepared == is_unprepared


def test_trouble_lasts_while_the_container_starts_again() -> None:
    words = '{"reason": "ModelNotFound", "message": "acme/other is not in the image"}'
    times = {"startedAt": "2026-01-01T10:00:00Z", "finishedAt": "2026-01-01T10:00:01Z"}
    before = {"terminated": ended(words)["terminated"] | times}
    now = {"running": {"startedAt": "2026-01-01T10:00:02Z"}}
    found = find_pod_trouble(pod(state=now, started=False, lastState=before))
    assert found is not None
    assert (found.reason, found.until) == ("ModelNotFound", ""), (
        "its probe says when it has started"
    )


def test_trouble_of_a_task_lasts_until_it_runs_for_longer_than_before() -> None:
    words = '{"reason": "ModelNotFound", "message": "acme/other is not in the image"}'
    times = {"startedAt": "2026-01-01T10:00:00Z", "finishedAt": "2026-01-01T10:00:20Z"}
    body = pod(
        state={"running": {"startedAt": "2026-01-01T10:01:00Z"}},
        started=True,
        lastState={"terminated": ended(words)["terminated"] | times},
    )
    body["spec"] = {"restartPolicy": "OnFailure"}
    body["metadata"] = {
        "name": "shop-ingest-1",
        "labels": {names.AGENT_LABEL: "shop", names.MANAGED_BY_LABEL: names.MANAGED_BY},
    }
    child = project("Pod", body)
    assert child is not None
    observed = Observed({("Pod", child.name): child})

    def told(now: str) -> str | None:
        facts = observed.without_transient_troubles(now).children["Pod", child.name].facts
        assert isinstance(facts, PodFacts)
        return facts.trouble and facts.trouble.reason

    assert told("2026-01-01T10:01:01Z") == "ModelNotFound", "starting again makes nothing better"
    assert told("2026-01-01T10:01:45Z") == "ModelNotFound"
    assert told("2026-01-01T10:01:46Z") is None, "twice as long as before, and a margin"


@pytest.mark.parametrize(
    "body",
    [
        {},
        waiting("ContainerCreating"),
        pod(state={"running": {}}),
        pod(state={"running": {}}, started=True, lastState=ended("it crashed once")),
        waiting("PodInitializing"),
        pod(state=ended(code=0)),
        waiting("ContainerCreating", restartCount=1, lastState=ended(code=0)),  # after a reboot
        waiting("CrashLoopBackOff", lastState=ended(code=0)) | {"spec": {"restartPolicy": "Never"}},
        {"status": {"initContainerStatuses": [{"name": "i", "state": ended(code=0)}]}},
        {"status": pod(state=ended(code=137))["status"] | {"phase": "Failed"}},  # evicted
    ],
)
def test_what_is_no_trouble(body: dict[str, Any]) -> None:
    assert find_pod_trouble(body) is None


DEEP = "[" * 2000 + "]" * 2000


@pytest.mark.parametrize(
    "message",
    ['{"reason": 7}', '{"reason": "two words"}', '{"reason": "A", "more": ' + DEEP + "}", DEEP],
)
def test_a_termination_message_that_is_no_report_is_an_exit_code(message: str) -> None:
    body = waiting("CrashLoopBackOff", lastState=ended(message))
    body["metadata"] = {
        "name": "shop-1",
        "labels": {names.AGENT_LABEL: "shop", names.MANAGED_BY_LABEL: names.MANAGED_BY},
    }
    child = project("Pod", body)
    assert child is not None
    assert isinstance(child.facts, PodFacts)
    assert child.facts.trouble is not None
    assert child.facts.trouble.reason == "ContainerFailed"


def test_a_message_is_cut_whoever_reports_it() -> None:
    found = find_pod_trouble(waiting("ErrImagePull", "no\n\x1b[31m" + "x" * 10_000))
    assert found is not None
    assert found.message.startswith("image 'i:1': no [31mxxx")
    assert len(found.message.encode()) <= 1024


def test_what_a_container_that_restarted_says_has_no_control_characters() -> None:
    last = {"finishedAt": "2026-01-01T00:00:00Z", "exitCode": 1, "message": "a\x1b[31mb\n" * 999}
    container = {"name": "agent", "state": {}, "lastState": {"terminated": last}}
    (found,) = find_interruptions({"status": {"containerStatuses": [container]}})
    assert found.message.isprintable()
    assert len(found.message.encode()) <= MESSAGE_BYTES
