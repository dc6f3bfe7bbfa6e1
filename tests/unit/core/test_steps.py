"""The types of steps: one class each, and nothing else of the operator names them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from chatagent_operator.api.crd import manifest
from chatagent_operator.api.rollout import AnalysisStep, Pause, Rollout, Step
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core.rollout.advance import advance
from chatagent_operator.core.rollout.context import Seen
from chatagent_operator.core.rollout.steps import STEP_TYPES, UnknownStepError, create_step

STEPS = {
    "set_weight": Step(set_weight=20),
    "pause": Step(pause=Pause()),
    "analysis": Step(analysis=AnalysisStep(count=4)),
}


class LaterStep(Step):
    """As a later version of the API may have it."""

    notify: str | None = None
    """Whom to tell."""


def test_every_step_of_the_api_has_a_type() -> None:
    assert list(STEP_TYPES) == list(Step.model_fields) == list(STEPS)
    for name, step in STEPS.items():
        assert step.type == name
        assert create_step(step).field == name


def test_an_unknown_step_is_an_error_and_no_analysis() -> None:
    later = LaterStep(notify="on-call")
    with pytest.raises(UnknownStepError, match=r"'notify'.*setWeight, pause, analysis"):
        create_step(later)
    status = ChatAgentStatus(stable_revision="a", canary_revision="b")
    settings = Rollout().model_copy(update={"steps": (later,)})
    with pytest.raises(UnknownStepError, match="notify"):
        advance(status, Seen("b", "2026-01-01T00:00:00Z"), settings, 1)


def test_a_type_that_is_not_registered_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(STEP_TYPES, "analysis")
    with pytest.raises(UnknownStepError, match="'analysis'"):
        create_step(STEPS["analysis"])


@pytest.mark.parametrize("given", [{}, {"setWeight": 5, "pause": {}}])
def test_a_step_has_one_type(given: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match="a step must have exactly one of setWeight, pause and analysis"
    ):
        Step.model_validate(given)


def test_a_new_type_needs_no_other_rule() -> None:
    with pytest.raises(ValidationError, match="one of setWeight, pause, analysis and notify"):
        LaterStep()
    (rule,) = LaterStep.model_json_schema()["x-kubernetes-validations"]
    assert rule == {
        "rule": "[has(self.setWeight), has(self.pause), has(self.analysis), has(self.notify)]"
        ".filter(x, x).size() == 1",
        "message": "a step must have exactly one of setWeight, pause, analysis and notify",
    }


def test_the_api_server_checks_the_same() -> None:
    version = manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rollout = version["properties"]["spec"]["properties"]["rollout"]
    (rule,) = rollout["properties"]["steps"]["items"]["x-kubernetes-validations"]
    assert rule == {
        "rule": "[has(self.setWeight), has(self.pause), has(self.analysis)]"
        ".filter(x, x).size() == 1",
        "message": "a step must have exactly one of setWeight, pause and analysis",
    }


def test_each_type_knows_what_commands_and_people_need() -> None:
    weight, pause, analysis = (create_step(step) for step in STEPS.values())
    assert [each.weight for each in (weight, pause, analysis)] == [20, None, None]
    assert [each.waits_for_approval for each in (weight, pause, analysis)] == [False, True, False]
    assert [bool(each.skip_refusal) for each in (weight, pause, analysis)] == [True, False, False]
    texts = [each.text for each in (weight, pause, analysis)]
    assert texts == ["setWeight 20%", "pause until resumed", "analysis, 4 measurements"]
