"""Statuses before the tools that read them: recorded ones, and those of the operator's core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core.reporting import report_invalid
from chatagent_operator.core.rollout.commands import Command
from tests.cluster.kubectl import ROOT, manifest
from tests.cluster.verdicts import argocd, kstatus
from tests.unit.core.simulation import Cluster, spec

Story = dict[str, Any]

STORIES: list[Story] = yaml.safe_load(
    Path(__file__).with_name("gitops-statuses.yaml").read_text(encoding="utf-8")
)
each_story = pytest.mark.parametrize("story", STORIES, ids=[each["story"] for each in STORIES])


def body(story: Story) -> dict[str, Any]:
    agent = manifest("shop", **story.get("spec", {}))
    agent["metadata"] |= {"namespace": "demo", "generation": 2, "uid": "1"}
    if "status" in story:
        agent["status"] = story["status"]
    return agent


@each_story
def test_it_is_a_status(story: Story) -> None:
    for condition in story.get("status", {}).get("conditions", []):
        condition |= {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 2}
    ChatAgentStatus.model_validate(story.get("status", {}))


@each_story
def test_kstatus(story: Story) -> None:
    assert kstatus(body(story)).status == story["kstatus"]


@each_story
def test_argocd(story: Story) -> None:
    found = argocd(body(story))
    assert found.status == story["argocd"]
    assert found.message == story.get(
        "message", "the operator has not reconciled the current spec yet"
    )


PAUSED: dict[str, Any] = {"steps": [{"setWeight": 5}, {"pause": {}}]}


def verdicts(cluster: Cluster) -> tuple[str, str]:
    """What both make of a status as the operator's core decides it."""
    found: dict[str, Any] = {
        "apiVersion": "chatagent.dev/v1alpha1",
        "kind": "ChatAgent",
        "metadata": {"name": "shop", "namespace": "demo", "generation": 1},
        "spec": cluster.spec,
        "status": cluster.status.model_dump(mode="json", by_alias=True),
    }
    return kstatus(found).status, argocd(found).status


@pytest.fixture
def serving() -> Cluster:
    """An agent whose first revision serves."""
    cluster = Cluster()
    cluster.settle()
    return cluster


def test_while_the_first_revision_starts() -> None:
    cluster = Cluster(broken_images={"runtime:1"})
    cluster.settle()
    assert verdicts(cluster) == ("InProgress", "Progressing")
    cluster.broken_images.clear()
    cluster.settle()
    assert verdicts(cluster) == ("Current", "Healthy")


def test_through_a_rollout(serving: Cluster) -> None:
    serving.spec = spec("runtime:2", rollout=PAUSED)
    serving.look()
    assert verdicts(serving) == ("InProgress", "Progressing")
    serving.settle()
    assert verdicts(serving) == ("InProgress", "Suspended")
    serving.command = Command("1", "promote")
    serving.settle()
    assert verdicts(serving) == ("Current", "Healthy")


def test_after_an_abort(serving: Cluster) -> None:
    serving.spec = spec("runtime:2", rollout=PAUSED)
    serving.settle()
    serving.command = Command("1", "abort")
    serving.settle()
    assert verdicts(serving) == ("Failed", "Degraded")


def test_a_canary_that_never_starts(serving: Cluster) -> None:
    serving.spec = spec("runtime:2")
    serving.broken_images.add("runtime:2")
    serving.settle()
    assert verdicts(serving) == ("InProgress", "Progressing")
    serving.wait(700)
    assert verdicts(serving) == ("Failed", "Degraded")


def test_an_agent_that_is_left_alone(serving: Cluster) -> None:
    serving.spec |= {"suspend": True}
    serving.settle()
    assert verdicts(serving) == ("Current", "Suspended")


def test_a_spec_that_is_not_understood(serving: Cluster) -> None:
    serving.status = report_invalid(serving.status, 1, "spec.rollout: no", serving.now())
    assert verdicts(serving) == ("Failed", "Degraded")


def test_an_agent_before_its_first_reconciliation() -> None:
    """kstatus takes an object without a status for done: the API server has to say otherwise."""
    definition = yaml.safe_load((ROOT / "crds" / "chatagent.dev_chatagents.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert schema["default"] == {"observedGeneration": -1}
