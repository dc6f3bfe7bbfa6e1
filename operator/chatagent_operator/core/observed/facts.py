"""Reads the facts that decisions need from API objects, by kind.

A stored object has tens of kilobytes, its facts a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatagent_operator.core import names
from chatagent_operator.core.observed.trouble import (
    Interruption,
    Trouble,
    find_interruptions,
    find_pod_trouble,
)
from chatagent_operator.core.routing.routes import ROUTES_KEY
from chatagent_operator.core.untrusted import clean_message, parse_object

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """Facts of a Deployment or StatefulSet."""

    replicas: int
    available: int
    settled: bool
    """Whether all pods have the current template, and the controller has observed the spec."""

    failure: str | None = None
    """Why pods of a Deployment cannot be created: a quota, a missing ServiceAccount or
    RuntimeClass."""

    lacks_pods: bool = False
    """Whether pods that it should have are not created."""

    is_parallel: bool = False
    """Whether a StatefulSet replaces pods that never became ready."""

    password: str | None = None
    """When the password that its pods read was written, from their annotation."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Facts of a Job."""

    complete: bool
    failure: str | None = None
    """Why it failed permanently."""

    completed_at: str = ""
    """When it completed, if that is known."""

    lacks_pods: bool = False
    """Whether no pod of it is created or has ended, and it should have one."""

    is_suspended: bool = False
    """Whether somebody suspended it."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """Facts of a Pod."""

    ready: bool
    running: bool
    """Whether its containers run, ready or not."""

    ip: str | None
    trouble: Trouble | None
    report: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Termination message of its first container, if it is JSON."""

    interruptions: tuple[Interruption, ...] = ()
    """How it was last interrupted."""

    is_unprepared: bool = False
    """Whether its volumes, devices and network are not ready, so that no container can start."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """Facts of a Service."""

    cluster_ip: str | None


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """Facts of a Secret, of which only the metadata is known."""

    written_at: str
    """When its data was last written, RFC 3339."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Data of a ConfigMap or ControllerRevision that the operator reads back."""

    data: Mapping[str, Any]
    revision: int = 0


Facts = WorkloadFacts | JobFacts | PodFacts | ServiceFacts | SecretFacts | DataFacts | None


def read_workload(body: Body) -> WorkloadFacts:
    """Read the facts of a Deployment or StatefulSet."""
    status: Body = body.get("status") or {}
    replicas = body["spec"].get("replicas", 1)
    return WorkloadFacts(
        replicas=replicas,
        available=status.get("availableReplicas", 0),
        settled=status.get("observedGeneration") == body["metadata"].get("generation")
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == replicas,
        failure=next(
            (
                condition.get("message")
                for condition in status.get("conditions") or []
                if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
            ),
            None,
        ),
        password=_read_annotations(body["spec"].get("template")).get(names.PASSWORD_ANNOTATION),
        lacks_pods=status.get("replicas", 0) < replicas,
        is_parallel=body["spec"].get("podManagementPolicy") == "Parallel",
    )


def read_job(body: Body) -> JobFacts:
    """Read the facts of a Job."""
    status: Body = body.get("status") or {}
    conditions = status.get("conditions") or []
    found = {c["type"]: c.get("message", "") for c in conditions if c["status"] == "True"}
    failure = clean_message(found["Failed"]) if "Failed" in found else None
    has_ended = not found.keys().isdisjoint({"Complete", "Failed"})
    return JobFacts(
        "Complete" in found,
        failure,
        status.get("completionTime", ""),
        lacks_pods=not has_ended and not status.get("active", 0),
        is_suspended=bool((body.get("spec") or {}).get("suspend")) and not has_ended,
    )


def read_pod(body: Body) -> PodFacts:
    """Read the facts of a Pod."""
    status: Body = body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    containers = status.get("containerStatuses") or []
    return PodFacts(
        ready=conditions.get("Ready", {}).get("status") == "True",
        running=bool(containers) and all("running" in c.get("state", {}) for c in containers),
        ip=status.get("podIP"),
        trouble=find_pod_trouble(body),
        report=_read_report(containers),
        interruptions=find_interruptions(body),
        is_unprepared=_is_unprepared(status, conditions.get("PodReadyToStartContainers")),
    )


def read_service(body: Body) -> ServiceFacts:
    """Read the facts of a Service."""
    return ServiceFacts(body["spec"].get("clusterIP"))


def read_secret(body: Body) -> SecretFacts:
    """Read when the data of a Secret was last written: its metadata names who wrote which field."""
    metadata: Body = body["metadata"]
    writes = [
        entry.get("time") or ""
        for entry in metadata.get("managedFields") or []
        if "f:data" in (entry.get("fieldsV1") or {})
    ]
    return SecretFacts(max([metadata.get("creationTimestamp") or "", *writes]))


def read_config_map(body: Body) -> DataFacts | None:
    """Read the routes of a gateway, or the content of a revision. None for other ConfigMaps: a
    report may have a megabyte."""
    data: Body = body.get("data") or {}
    found = {key: data[key] for key in (ROUTES_KEY, names.CONTENT_KEY) if key in data}
    return DataFacts(found) if found else None


def read_revision(body: Body) -> DataFacts:
    """Read the content and the number of a ControllerRevision."""
    return DataFacts(body.get("data") or {}, body.get("revision", 0))


def _read_annotations(template: Body | None) -> Body:
    return ((template or {}).get("metadata") or {}).get("annotations") or {}


def _is_unprepared(status: Body, condition: Body | None) -> bool:
    if status.get("phase") in {"Failed", "Succeeded"}:
        return False  # it has ended
    if condition:  # since Kubernetes 1.29
        return condition["status"] != "True"
    fields = ("initContainerStatuses", "containerStatuses")
    containers = [each for field in fields for each in status.get(field) or []]
    return all("waiting" in (each.get("state") or {}) for each in containers)


def _read_report(containers: list[Any]) -> Mapping[str, Any]:
    for container in containers:
        ended = container.get("state", {}).get("terminated") or {}
        report = parse_object(ended.get("message") or "{}")
        if report is not None:
            return report
    return {}
