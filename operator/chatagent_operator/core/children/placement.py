"""Labels, annotations and placement of pods, as the spec sets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatagent_operator.api.pods import PodPlacement
from chatagent_operator.core.agent import Manifest


def build_metadata(
    labels: Mapping[str, str], given: PodPlacement, annotations: Mapping[str, str] | None = None
) -> Manifest:
    """Return the metadata of a pod template.

    Args:
        labels, annotations: the operator's own, which cannot be changed.
    """
    annotated = given.annotations | dict(annotations or {})
    return {"labels": given.labels | dict(labels)} | (
        {"annotations": annotated} if annotated else {}
    )


def build_placement(given: PodPlacement, spread: Mapping[str, str] | None = None) -> Manifest:
    """Return the fields of a pod's spec.

    Args:
        spread: labels of the pods that are spread over nodes and zones by default.
    """
    constraints = given.topology_spread_constraints
    optional: Mapping[str, Any] = {
        "nodeSelector": dict(given.node_selector),
        "tolerations": [
            toleration.model_dump(mode="json", by_alias=True, exclude_none=True)
            for toleration in given.tolerations
        ],
        "affinity": given.affinity,
        "topologySpreadConstraints": list(constraints or _spread(spread)),
        "priorityClassName": given.priority_class_name,
    }
    return {key: value for key, value in optional.items() if value}


def override_placement(placement: PodPlacement, given: PodPlacement) -> PodPlacement:
    """Return a placement in which each setting that is given replaces the other one."""
    fields = PodPlacement.model_fields
    return PodPlacement.model_validate(
        {name: getattr(given, name) or getattr(placement, name) for name in fields}
    )


def _spread(labels: Mapping[str, str] | None) -> list[Manifest]:
    if labels is None:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            # One that finds no better place runs all the same.
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(labels)},
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
