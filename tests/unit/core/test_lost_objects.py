"""Whatever is deleted by hand is created again, and nothing else changes."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tests.unit.core.simulation import Cluster, spec

STEPS = {"steps": [{"setWeight": 50}, {"pause": {}}]}


def serving(*images: str) -> Cluster:
    """An agent after the rollouts of these images, of which the second one is paused."""
    cluster = Cluster()
    for image in images:
        cluster.spec = spec(image, rollout=STEPS)
        cluster.settle()
    return cluster


PHASES = {"settled": serving("runtime:1"), "canary": serving("runtime:1", "runtime:2")}


@pytest.mark.parametrize(
    ("phase", "kind", "name"),
    [
        (phase, kind, name)
        for phase, cluster in PHASES.items()
        for kind, name in cluster.objects
        if kind != "ControllerRevision"  # the one of a stable revision cannot be made from the spec
    ],
)
def test_a_deleted_object_is_created_again(phase: str, kind: str, name: str) -> None:
    cluster = deepcopy(PHASES[phase])
    before = cluster.status
    cluster.clock += 60
    del cluster.objects[kind, name]
    cluster.settle()
    assert set(cluster.objects) == set(PHASES[phase].objects)
    assert cluster.weights() == PHASES[phase].weights()
    assert cluster.status.stable_revision == before.stable_revision
    assert [(each.type, each.status, each.reason) for each in cluster.status.conditions] == [
        (each.type, each.status, each.reason) for each in before.conditions
    ]
