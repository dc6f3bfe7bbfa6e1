"""The few hundred bytes that a decision needs of an API object, by kind.

A stored object has tens of kilobytes.
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
    """A Deployment or StatefulSet."""

    replicas: int
    available: int
    settled: bool
    """Every pod is of the present template, and the controller has seen the present spec."""

    failure: str | None = None
    """Why pods cannot even be made: a quota, a missing ServiceAccount or RuntimeClass."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A Job."""

    complete: bool
    failure: str | None = None
    """Why it was given up."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A Pod."""

    ready: bool
    running: bool
    """Its containers run, ready or not."""

    ip: str | None
    trouble: Trouble | None
    report: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What its first container wrote when it ended."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A Service."""

    cluster_ip: str | None


@dataclass(frozen=True, slots=True)
class DataFacts:
    """A ConfigMap's or ControllerRevision's data, where the operator reads it back."""

    data: Mapping[str, Any]
    revision: int = 0


Facts = WorkloadFacts | JobFacts | PodFacts | ServiceFacts | DataFacts | None


def read_workload(body: Body) -> WorkloadFacts:
    """Facts of a Deployment or StatefulSet."""
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
    )


def read_job(body: Body) -> JobFacts:
    """Facts of a Job."""
    conditions = (body.get("status") or {}).get("conditions") or []
    held = {c["type"]: c.get("message", "") for c in conditions if c["status"] == "True"}
    return JobFacts("Complete" in held, held.get("Failed"))


def read_pod(body: Body) -> PodFacts:
    """Facts of a Pod."""
    status: Body = body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    containers = status.get("containerStatuses") or []
    return PodFacts(
        ready=conditions.get("Ready", {}).get("status") == "True",
        running=bool(containers) and all("running" in c.get("state", {}) for c in containers),
        ip=status.get("podIP"),
        trouble=find_pod_trouble(body),
        report=_report(containers),
    )


def read_service(body: Body) -> ServiceFacts:
    """Facts of a Service."""
    return ServiceFacts(body["spec"].get("clusterIP"))


def read_routes(body: Body) -> DataFacts | None:
    """Routes of a gateway; None for every other ConfigMap: a report may have a megabyte."""
    data: Body = body.get("data") or {}
    return DataFacts({ROUTES_KEY: data[ROUTES_KEY]}) if ROUTES_KEY in data else None


def read_revision(body: Body) -> DataFacts:
    """Content and number of a ControllerRevision."""
    return DataFacts(body.get("data") or {}, body.get("revision", 0))


def _report(containers: list[Any]) -> Mapping[str, Any]:
    for container in containers:
        ended = container.get("state", {}).get("terminated") or {}
        try:
            report = json.loads(ended.get("message") or "{}")
        except ValueError:
            continue
        if isinstance(report, dict):
            return report
    return {}
