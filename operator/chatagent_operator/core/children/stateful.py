"""A managed server with data: one pod behind a Service, with its data in /data."""

from __future__ import annotations

from typing import Literal

from chatagent_operator.api.pods import PodPlacement
from chatagent_operator.api.v1alpha1 import VolumeSettings
from chatagent_operator.core import names
from chatagent_operator.core.agent import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Agent,
    Manifest,
    Platform,
    build_pull_secrets,
)
from chatagent_operator.core.children.placement import build_metadata, build_placement
from chatagent_operator.core.observed.objects import Observed


def build_objects(
    agent: Agent,
    role: str,
    name: str,
    container: Manifest,
    platform: Platform,
    *,
    is_parallel: bool,
    placement: PodPlacement,
    storage: VolumeSettings | None,
    when_deleted: Literal["Delete", "Retain"] = "Delete",
    temporary: Manifest | None = None,
    annotations: Manifest | None = None,
) -> list[Manifest]:
    """Return a Service and a StatefulSet.

    Args:
        container: the program, with one port, which the Service has too.
        is_parallel: whether a pod that never became ready is replaced after a change.
        placement: settings of the pod.
        storage: the volume. None: the data is lost with the pod.
        when_deleted: whether the volume is deleted with the StatefulSet.
        temporary: the emptyDir of /tmp.
        annotations: those of the pod.
    """
    selector = names.selector(agent.name, role)
    (port,) = container["ports"]
    ports = [{"name": port["name"], "port": port["containerPort"], "targetPort": port["name"]}]
    # There is no other pod to ask: one that is slow or starts is better than none.
    served: Manifest = {"selector": selector, "ports": ports, "publishNotReadyAddresses": True}
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": temporary or {}}]
    if storage is None:
        volumes.append({"name": "data", "emptyDir": {}})
    spec: Manifest = {
        "replicas": 1,
        "serviceName": name,
        "selector": {"matchLabels": selector},
        "template": {
            "metadata": build_metadata(names.labels(agent.name, role), placement, annotations),
            "spec": {
                "serviceAccountName": agent.name,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": RESTRICTED_POD,
                "containers": [container | _in_every_container(platform)],
                "volumes": volumes,
            }
            | build_placement(placement)
            | build_pull_secrets(platform),
        },
    }
    if is_parallel:
        spec["podManagementPolicy"] = "Parallel"
    if storage is not None:
        spec["persistentVolumeClaimRetentionPolicy"] = {
            "whenDeleted": when_deleted,
            "whenScaled": "Retain",
        }
        spec["volumeClaimTemplates"] = [_claim(storage, selector)]
    return [
        agent.child("v1", "Service", name, role, spec=served),
        agent.child("apps/v1", "StatefulSet", name, role, spec=spec),
    ]


def may_be_parallel(name: str, observed: Observed) -> bool:
    """Return whether corrected settings may replace a pod that cannot start. The field is
    immutable: the StatefulSet of an earlier operator keeps what it has."""
    found = observed.workload("StatefulSet", name)
    return found is None or found.is_parallel


def build_probes(check: Manifest) -> Manifest:
    """Return the probes of a server, from the check that they all make.

    They are patient: a node without CPU to spare answers late, and a restart makes it later.
    """
    check = check | {"timeoutSeconds": 5}
    return {
        # as long as it takes to load the data
        "startupProbe": check | {"periodSeconds": 2, "failureThreshold": 900},
        "readinessProbe": check | {"periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": check | {"periodSeconds": 20, "failureThreshold": 6},
    }


def _in_every_container(platform: Platform) -> Manifest:
    return {
        "imagePullPolicy": platform.image_pull_policy,
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _claim(storage: VolumeSettings, labels: Manifest) -> Manifest:
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class_name:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": labels},
        "spec": spec,
    }
