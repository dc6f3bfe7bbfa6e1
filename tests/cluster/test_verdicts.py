"""Recorded statuses before the tools that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from chatagent_operator.api.status import ChatAgentStatus
from tests.cluster.kubectl import manifest
from tests.cluster.verdicts import argocd, kstatus

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
    assert found.message == story.get("message", "the operator has not seen the present spec yet")
