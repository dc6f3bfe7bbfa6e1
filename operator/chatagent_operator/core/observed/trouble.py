"""What is wrong with a pod, in one reason for programs and one sentence for people.

The kubelet and the scheduler say it in a dozen places; the runtime says it in the message that
it leaves when it ends (`{"reason": …, "message": …}`). This is the one place that reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

Body = Mapping[str, Any]

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_MARGIN = timedelta(seconds=5)
_REFERENCES = {"secret": "SecretNotFound", "configmap": "ConfigMapNotFound"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong."""

    reason: str
    message: str
    since: str = ""
    """When it began, where that is known: a trouble that is younger than a moment may pass."""

    until: str = ""
    """When it has passed, unless it is told again by then."""

    @property
    def is_reference(self) -> bool:
        """A Secret, ConfigMap or key that the pod needs is not there."""
        return self.reason in {*_REFERENCES.values(), "ReferenceNotFound"}

    @property
    def is_store(self) -> bool:
        """The vector store does not answer."""
        return self.reason == "VectorStoreUnavailable"

    @property
    def is_unschedulable(self) -> bool:
        """No node has room for the pod."""
        return self.reason == "Unschedulable"


def find_pod_trouble(body: Body) -> Trouble | None:
    """The first trouble of a pod, the most telling one first."""
    status: Body = body.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        return None  # it is over, evicted for instance, and another one has taken its place
    is_task = (body.get("spec") or {}).get("restartPolicy") == "OnFailure"
    for container in _containers(status):
        if found := _find_container_trouble(container, is_task):
            return found
    for condition in status.get("conditions") or []:
        # a SchedulerError passes by itself: two writers met
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            since = condition.get("lastTransitionTime", "")
            return Trouble("Unschedulable", condition.get("message", ""), since)
    return None


def parse_trouble(report: Body) -> Trouble | None:
    """Trouble in the words of the runtime: `{"reason": …, "message": …}`."""
    reason = report.get("reason")
    return Trouble(str(reason), str(report.get("message", ""))) if reason else None


def _containers(status: Body) -> Iterator[Body]:
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def _find_container_trouble(container: Body, is_task: bool) -> Trouble | None:
    state: Body = container.get("state") or {}
    ended: Body = (
        state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    )
    waiting: Body = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        text = waiting.get("message", "")
        return Trouble("ImagePullFailed", f"image {container.get('image')!r}: {text}")
    if reason in {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}:
        return _classify_configuration_error(waiting.get("message", reason))
    running: Body | None = state.get("running")
    # While one that failed starts again, nothing is known to be better.
    if running is not None and container.get("started", True) and not is_task:
        return None
    if ended.get("exitCode", 0) == 0:
        return None
    found = _describe_exit(container, ended)
    # Of what serves, the probes say when it has started.
    return (
        replace(found, until=_find_recovery_time(running, ended)) if running and is_task else found
    )


def _describe_exit(container: Body, ended: Body) -> Trouble:
    return _parse_termination_message(ended) or Trouble(
        "ContainerFailed",
        f"container {container['name']!r} ended with exit code {ended.get('exitCode')} "
        f"({ended.get('reason', 'Error')}); see its log with kubectl logs --previous",
    )


def _classify_configuration_error(message: str) -> Trouble:
    for word, reason in _REFERENCES.items():
        if message.lower().startswith(word) and "not found" in message:
            return Trouble(reason, message)
    if "couldn't find key" in message:
        return Trouble("ReferenceNotFound", message)
    return Trouble("ContainerFailed", message)


def _find_recovery_time(running: Body, ended: Body) -> str:
    """When a container runs for so much longer than the one before it that it has come further."""
    times = running.get("startedAt"), ended.get("startedAt"), ended.get("finishedAt")
    if not all(times):
        return ""
    again, began, failed = (datetime.fromisoformat(str(when)) for when in times)
    return (again + 2 * (failed - began) + _MARGIN).isoformat()


def _parse_termination_message(ended: Body) -> Trouble | None:
    try:
        report = json.loads(ended.get("message") or "{}")
    except ValueError:
        return None
    return parse_trouble(report) if isinstance(report, dict) else None
