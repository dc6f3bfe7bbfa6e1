"""What the kubelet, the scheduler and the runtime say, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core.trouble import of_pod


def pod(**container: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"name": "agent", "image": "i:1", **container}]}}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return pod(state={"waiting": {"reason": reason, "message": message}}, **more)


def ended(message: str = "", code: int = 1) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": "Error", "message": message}}


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
    found = of_pod(body)
    assert found is not None
    assert found.reason == reason
    assert words in found.message


def test_trouble_lasts_while_the_container_starts_again() -> None:
    words = '{"reason": "ModelNotFound", "message": "acme/other is not in the image"}'
    found = of_pod(pod(state={"running": {}}, started=False, lastState=ended(words)))
    assert found is not None
    assert found.reason == "ModelNotFound"


@pytest.mark.parametrize(
    "body",
    [
        {},
        waiting("ContainerCreating"),
        pod(state={"running": {}}),
        pod(state={"running": {}}, started=True, lastState=ended("it crashed once")),
        pod(state=ended(code=0)),
        {"status": pod(state=ended(code=137))["status"] | {"phase": "Failed"}},  # evicted
    ],
)
def test_what_is_no_trouble(body: dict[str, Any]) -> None:
    assert of_pod(body) is None
