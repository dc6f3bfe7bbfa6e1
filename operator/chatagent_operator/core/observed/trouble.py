"""Finds what is wrong with a pod: a machine-readable reason and a human-readable message.

The kubelet and the scheduler report it in a dozen places, the runtime in its termination message
(`{"reason": …, "message": …}`). Only this module reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chatagent_operator.core.untrusted import clean_message, parse_object

Body = Mapping[str, Any]

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_MARGIN = timedelta(seconds=5)
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_REFERENCES = {"secret": "SecretNotFound", "configmap": "ConfigMapNotFound"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem of a pod."""

    reason: str
    message: str
    since: str = ""
    """When it started, if that is known: a recent one may be transient."""

    until: str = ""
    """When it expires, unless it is reported again by then."""

    def __post_init__(self) -> None:
        # Whoever reports it, a pod, a registry or a webhook, it goes into the status.
        object.__setattr__(self, "message", clean_message(self.message))

    @property
    def is_reference(self) -> bool:
        """Whether a Secret, ConfigMap or key that the pod needs does not exist."""
        return self.reason in {*_REFERENCES.values(), "ReferenceNotFound"}

    @property
    def is_store(self) -> bool:
        """Whether the vector store does not respond."""
        return self.reason == "VectorStoreUnavailable"

    @property
    def is_unschedulable(self) -> bool:
        """Whether no node has the resources that the pod requests."""
        return self.reason == "Unschedulable"


def find_pod_trouble(body: Body) -> Trouble | None:
    """Return the trouble of a pod, the most specific one if there are several."""
    status: Body = body.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        return None  # it has ended, evicted for example, and has been replaced
    is_task = (body.get("spec") or {}).get("restartPolicy") == "OnFailure"
    for container in _containers(status):
        if found := _find_container_trouble(container, is_task):
            return found
    for condition in status.get("conditions") or []:
        # a SchedulerError is transient: a conflict of two writers
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            since = condition.get("lastTransitionTime", "")
            return Trouble("Unschedulable", condition.get("message", ""), since)
    return None


def parse_trouble(report: Body) -> Trouble | None:
    """Parse a trouble as the runtime reports it: `{"reason": …, "message": …}`. None if there is no
    reason in one word."""
    reason, message = report.get("reason"), report.get("message")
    if not isinstance(reason, str) or not _REASON.fullmatch(reason):
        return None
    return Trouble(reason, message if isinstance(message, str) else "")


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
    # While a container that failed starts again, its trouble is kept.
    if running is not None and container.get("started", True) and not is_task:
        return None
    if ended.get("exitCode", 0) == 0:
        return None
    found = _describe_exit(container, ended)
    # Whether a serving container has started is known from its probes.
    return (
        replace(found, until=_find_recovery_time(running, ended)) if running and is_task else found
    )


def _describe_exit(container: Body, ended: Body) -> Trouble:
    return _parse_termination_message(ended) or Trouble(
        "ContainerFailed",
        f"container {container['name']!r} terminated with exit code {ended.get('exitCode')} "
        f"({ended.get('reason', 'Error')}); check its log with kubectl logs --previous",
    )


def _classify_configuration_error(message: str) -> Trouble:
    for word, reason in _REFERENCES.items():
        if message.lower().startswith(word) and "not found" in message:
            return Trouble(reason, message)
    if "couldn't find key" in message:
        return Trouble("ReferenceNotFound", message)
    return Trouble("ContainerFailed", message)


def _find_recovery_time(running: Body, ended: Body) -> str:
    """Return the time after which a restarted container has run longer than the failed one."""
    times = running.get("startedAt"), ended.get("startedAt"), ended.get("finishedAt")
    if not all(times):
        return ""
    again, began, failed = (datetime.fromisoformat(str(when)) for when in times)
    return (again + 2 * (failed - began) + _MARGIN).isoformat()


def _parse_termination_message(ended: Body) -> Trouble | None:
    report = parse_object(ended.get("message") or "{}")
    return parse_trouble(report) if report else None
