"""Reads the facts that decisions need from API objects, by kind.

A stored object has tens of kilobytes, its facts a few hundred bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatagent_operator.core.observed.trouble import Trouble, find_pod_trouble
from chatagent_operator.core.routing.routes import ROUTES_KEY

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


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Facts of a Job."""

    complete: bool
    failure: str | None = None
    """Why it failed permanently."""

    lacks_pods: bool = False
    """Whether no pod of it is created or has ended, and it should have one."""


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


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """Facts of a Service."""

    cluster_ip: str | None


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Data of a ConfigMap or ControllerRevision that the operator reads back."""

    data: Mapping[str, Any]
    revision: int = 0


Facts = WorkloadFacts | JobFacts | PodFacts | ServiceFacts | DataFacts | None


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
        lacks_pods=status.get("replicas", 0) < replicas,
        is_parallel=body["spec"].get("podManagementPolicy") == "Parallel",
    )


def read_job(body: Body) -> JobFacts:
    """Read the facts of a Job."""
    status: Body = body.get("status") or {}
    conditions = status.get("conditions") or []
    found = {c["type"]: c.get("message", "") for c in conditions if c["status"] == "True"}
    has_ended = not found.keys().isdisjoint({"Complete", "Failed"})
    return JobFacts(
        "Complete" in found,
        found.get("Failed"),
        lacks_pods=not has_ended and not status.get("active", 0),
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
    )


def read_service(body: Body) -> ServiceFacts:
    """Read the facts of a Service."""
    return ServiceFacts(body["spec"].get("clusterIP"))


def read_routes(body: Body) -> DataFacts | None:
    """Read the routes of a gateway. None for other ConfigMaps: a report may have a megabyte."""
    data: Body = body.get("data") or {}
    return DataFacts({ROUTES_KEY: data[ROUTES_KEY]}) if ROUTES_KEY in data else None


def read_revision(body: Body) -> DataFacts:
    """Read the content and the number of a ControllerRevision."""
    return DataFacts(body.get("data") or {}, body.get("revision", 0))


def _read_report(containers: list[Any]) -> Mapping[str, Any]:
    for container in containers:
        ended = container.get("state", {}).get("terminated") or {}
        try:
            report = json.loads(ended.get("message") or "{}")
        except ValueError:
            continue
        if isinstance(report, dict):
            return report
    return {}
