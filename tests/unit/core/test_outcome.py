"""What tells a program how a rollout has ended, and whether an agent is as desired."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core.reporting import report_invalid
from chatagent_operator.core.rollout.commands import Command
from tests.unit.core.simulation import Cluster, spec

WAIT: dict[str, Any] = {"steps": [{"setWeight": 5}, {"pause": {}}]}


def start_rollout(**changes: Any) -> Cluster:
    """A cluster with a canary that waits for approval."""
    cluster = Cluster(spec(rollout=WAIT, **changes))
    cluster.settle()
    cluster.spec = spec("runtime:2", rollout=WAIT, **changes)
    cluster.settle()
    return cluster


def test_promoted_tells_success_from_failure() -> None:
    cluster = Cluster(spec(rollout=WAIT), broken_images={"runtime:1"})
    cluster.settle()
    assert cluster.condition("Promoted") == ("Unknown", "WaitingForIndex")
    cluster.broken_images.clear()
    cluster.settle()
    assert cluster.condition("Promoted") == ("True", "Completed")
    cluster.spec = spec("runtime:2", rollout=WAIT)
    cluster.settle()
    assert cluster.condition("Promoted") == ("Unknown", "PausedAtStep")
    cluster.command = Command("1", "abort")
    cluster.settle()
    assert cluster.condition("Promoted") == ("False", "Aborted")
    cluster.command = Command("2", "retry")
    cluster.settle()
    assert cluster.condition("Promoted") == ("Unknown", "PausedAtStep")
    cluster.command = Command("3", "promote")
    cluster.settle()
    assert cluster.condition("Promoted") == ("True", "Completed")


def test_a_revision_that_is_rolled_back_is_not_promoted() -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.broken_images = {"runtime:2"}
    cluster.spec = spec("runtime:2")
    cluster.settle()
    cluster.wait(700)
    assert cluster.condition("Promoted") == ("False", "ProgressDeadlineExceeded")


def test_a_spec_that_is_not_reconciled_is_not_promoted() -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.spec = spec(suspend=True)
    cluster.settle()
    assert cluster.condition("Promoted") == ("True", "Completed")
    cluster.spec = spec("runtime:2", suspend=True)
    cluster.settle()
    assert cluster.condition("Promoted") == ("Unknown", "Suspended")
    cluster.status = report_invalid(cluster.status, 2, "spec.image: wrong", cluster.now())
    assert cluster.condition("Promoted") == ("False", "InvalidSpec")


def replace_pods(cluster: Cluster) -> None:
    cluster.spec = spec(replicas=3)


def change_documents(cluster: Cluster) -> None:
    cluster.sources["help"] = "beef"


def lose_cache(cluster: Cluster) -> None:
    cluster.objects["StatefulSet", "shop-redis"]["status"]["availableReplicas"] = 0


@pytest.mark.parametrize("change", [replace_pods, change_documents, lose_cache])
def test_kstatus_waits_for_every_part(change: Any) -> None:
    cluster = Cluster()
    cluster.settle()
    assert not {"Reconciling", "Stalled"} & {each.type for each in cluster.status.conditions}
    change(cluster)
    cluster.look()
    assert cluster.condition("Ready")[0] == "True"
    assert cluster.condition("Reconciling")[0] == "True"
    cluster.settle()
    assert not {"Reconciling", "Stalled"} & {each.type for each in cluster.status.conditions}
