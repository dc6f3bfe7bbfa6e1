"""Finds what is wrong with a pod: a machine-readable reason and a human-readable message.

The kubelet and the scheduler report it in a dozen places, the runtime in its termination message
(`{"reason": …, "message": …}`). Only this module reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from chatagent_operator.core.untrusted import clean_message, parse_object

Body = Mapping[str, Any]

PODS_CANNOT_BE_MADE = "PodsCannotBeMade"
_PULL = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_STARTING = {"", "ContainerCreating", "PodInitializing"}
_BACK_OFF = "CrashLoopBackOff"
_MOST_QUOTED = 300
"""Characters of a termination message that are quoted."""
_LOST = {"ContainerStatusUnknown", "Unknown"}
"""Reasons of a container that terminated unseen by the kubelet, as its node rebooted."""
_MARGIN = timedelta(seconds=5)
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_REFERENCES = {"secret": "SecretNotFound", "configmap": "ConfigMapNotFound"}
_MISSING = re.compile(r"\b(secret|configmap)s? \"[^\"]*\" not found", re.IGNORECASE)
_MISSING_KEY = re.compile(r"couldn't find key|references non-existent (secret|config) key")
_UNPREPARED = {
    "FailedAttachVolume",
    "FailedCreatePodContainer",
    "FailedCreatePodSandBox",
    "FailedMapVolume",
    "FailedMount",
    "FailedPrepareDynamicResources",
    "NetworkNotReady",
}
"""Reasons of Events of a pod whose volumes, devices or network cannot be prepared."""


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
    def is_index(self) -> bool:
        """Whether the collection does not exist."""
        return self.reason == "IndexMissing"

    @property
    def is_cache(self) -> bool:
        """Whether Redis does not respond, or refuses the password. The pod serves without it."""
        return self.reason == "StateUnavailable"

    @property
    def is_expected(self) -> bool:
        """Whether it is a usual state of a pod that is not ready: it starts, terminates, or waits
        for the ingestion Job, which has its own condition."""
        return self.is_index or self.reason in {"Starting", "Draining"}

    @property
    def is_unschedulable(self) -> bool:
        """Whether no node has the resources that the pod requests."""
        return self.reason == "Unschedulable"


def find_pod_trouble(body: Body) -> Trouble | None:
    """Return the trouble of a pod, the most specific one if there are several."""
    status: Body = body.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        return None  # it has ended, evicted for example, and has been replaced
    policy = (body.get("spec") or {}).get("restartPolicy", "Always")
    for container in status.get("initContainerStatuses") or []:
        if found := _find_container_trouble(container, policy, may_end=True):
            return found
    for container in status.get("containerStatuses") or []:
        if found := _find_container_trouble(container, policy, may_end=policy != "Always"):
            return found
    for condition in status.get("conditions") or []:
        # a SchedulerError is transient: a conflict of two writers
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            since = condition.get("lastTransitionTime", "")
            return Trouble("Unschedulable", condition.get("message", ""), since)
    return None


def is_replaced(body: Body) -> bool:
    """Return whether a pod has ended that never should, evicted for example: another one has been
    created for it, and it stays as a record."""
    is_server = (body.get("spec") or {}).get("restartPolicy") == "Always"
    return is_server and (body.get("status") or {}).get("phase") in {"Failed", "Succeeded"}


def parse_event(body: Body) -> Trouble | None:
    """Parse what only an Event says: that a controller cannot create its pods, or that a pod cannot
    be prepared. None if it is about something else."""
    kind, reason = body["involvedObject"].get("kind"), body.get("reason")
    message = body.get("message") or ""
    since = body.get("firstTimestamp") or body.get("eventTime") or ""
    if kind in ("StatefulSet", "Job") and reason == "FailedCreate":
        return Trouble(PODS_CANNOT_BE_MADE, message, since)
    if kind == "Pod" and reason in _UNPREPARED:
        return Trouble(_find_missing_reference(message) or reason, message, since)
    return None


@dataclass(frozen=True, slots=True)
class Interruption:
    """A container of a pod that serves terminated, or the pod lost readiness."""

    at: str
    message: str
    is_restart: bool = True
    """Whether a container terminated."""
    is_store: bool = False
    """Whether it says that the vector store does not respond."""


def find_interruptions(body: Body) -> tuple[Interruption, ...]:
    """Return how a pod was last interrupted. One that is evicted or deleted is not."""
    status: Body = body.get("status") or {}
    containers: list[Body] = status.get("containerStatuses") or []
    if status.get("phase") in {"Failed", "Succeeded"}:
        return ()
    found = [each for container in containers if (each := _find_restart(container))]
    since = [(each.get("state") or {}).get("running", {}).get("startedAt") for each in containers]
    for condition in status.get("conditions") or []:
        if condition["type"] != "Ready" or condition["status"] != "False" or not all(since):
            continue
        lost = condition.get("lastTransitionTime", "")
        # The node's controller sets the condition only, where it has lost the node.
        is_unready = any(not each.get("ready", True) for each in containers)
        if is_unready and all(_is_later(lost, started) for started in since):
            found.append(Interruption(lost, "it lost readiness", is_restart=False))
    return tuple(found)


def _find_restart(container: Body) -> Interruption | None:
    states: tuple[Body, ...] = container.get("state") or {}, container.get("lastState") or {}
    ended: Body = next((each["terminated"] for each in states if each.get("terminated")), {})
    if not ended.get("finishedAt") or ended.get("reason") in _LOST:
        return None
    said = (ended.get("message") or "").strip()
    message = (
        f"container {container['name']!r} terminated with exit code {ended.get('exitCode')} "
        f"({ended.get('reason', 'Error')})"
    )
    trouble = _parse_termination_message(ended)
    return Interruption(
        ended["finishedAt"],
        clean_message(f"{message}: {said}" if said else message),
        is_store=trouble is not None and trouble.is_store,
    )


def _is_later(time: str, other: str) -> bool:
    return bool(time) and datetime.fromisoformat(time) > datetime.fromisoformat(other)


def parse_trouble(report: Body) -> Trouble | None:
    """Parse a trouble as the runtime reports it: `{"reason": …, "message": …}`. None if there is no
    reason in one word."""
    reason, message = report.get("reason"), report.get("message")
    if not isinstance(reason, str) or not _REASON.fullmatch(reason):
        return None
    return Trouble(reason, message if isinstance(message, str) else "")


def parse_readiness(report: Body) -> Trouble | None:
    """Parse an answer of `/readyz`: why the pod is not ready, or in `reasons` why it serves with
    less than it should. A lost index comes first: only that needs a write."""
    given: Any = report.get("reasons")
    reasons = cast(list[Any], given) if isinstance(given, list) else []
    found = [parse_trouble(cast(Body, each)) for each in (report, *reasons) if _is_object(each)]
    order = sorted((each for each in found if each), key=lambda each: each.is_cache)
    troubles = sorted(order, key=lambda each: not each.is_index)
    return next(iter(troubles), None)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _find_container_trouble(container: Body, policy: str, may_end: bool) -> Trouble | None:
    """Return the trouble of a container.

    Args:
        policy: the pod's restart policy.
        may_end: whether it is done when it has ended with exit code 0.
    """
    is_task = policy == "OnFailure"
    state: Body = container.get("state") or {}
    ended: Body = (
        state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    )
    waiting: Body = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        text = waiting.get("message", "")
        return Trouble("ImagePullFailed", f"image {container.get('image')!r}: {text}")
    if reason not in _STARTING and reason != _BACK_OFF:  # the kubelet cannot create or start it
        return _classify_configuration_error(reason, waiting.get("message", ""))
    running: Body | None = state.get("running")
    # While a container that failed starts again, its trouble is kept.
    if running is not None and container.get("started", True) and not is_task:
        return None
    if not ended:
        return None
    if ended.get("exitCode", 0) == 0:
        # Once may be a node that shut down; a server that ends again and again does not serve.
        is_loop = reason == _BACK_OFF or container.get("restartCount", 0) > 1
        if may_end or not is_loop:
            return None
    found = _describe_exit(container, ended)
    # Whether a serving container has started is known from its probes.
    return (
        replace(found, until=_find_recovery_time(running, ended)) if running and is_task else found
    )


def _describe_exit(container: Body, ended: Body) -> Trouble:
    if found := _parse_termination_message(ended):
        return found
    name, code, reason = container["name"], ended.get("exitCode", 0), ended.get("reason", "Error")
    text = f"container {name!r} terminated with exit code {code} ({reason})"
    if reason == "OOMKilled":
        return Trouble("ContainerFailed", f"{text}: it used more memory than its limit; raise it")
    if words := " ".join(str(ended.get("message") or "").split())[-_MOST_QUOTED:]:
        text += f": {words}"
    return Trouble("ContainerFailed", f"{text}; check its log with kubectl logs --previous")


def _classify_configuration_error(kind: str, message: str) -> Trouble:
    if reason := _find_missing_reference(message):
        return Trouble(reason, message)
    return Trouble("ContainerFailed", f"{kind}: {message}" if message else kind)


def _find_missing_reference(message: str) -> str | None:
    """Return the reason if a Secret, ConfigMap or key does not exist, as the kubelet says it."""
    if found := _MISSING.search(message):
        return _REFERENCES[found[1].lower()]
    return "ReferenceNotFound" if _MISSING_KEY.search(message) else None


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
