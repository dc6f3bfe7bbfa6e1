"""What is said of a spec that the API server accepted and the operator cannot read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core.spec import describe_errors
from chatagent_operator.core.untrusted import MESSAGE_BYTES
from tests.unit.core.simulation import spec


def describe(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        ChatAgentSpec.model_validate(spec(**changes))
    return describe_errors(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"later": {"a": 1}},
            "spec.later: this operator does not know the field; remove it, or upgrade the operator",
        ),
        ({"replicas": 0}, "spec.replicas: Input should be greater than or equal to 1, not 0"),
        (
            {"rollout": {"steps": [{"setWeight": 5}, {"setWeight": 500}]}},
            "spec.rollout.steps[1].setWeight: Input should be less than or equal to 100, not 500",
        ),
        (
            {"rollout": {"steps": [{"setWeight": 5, "pause": {}}]}},
            "spec.rollout.steps[0]: a step must have exactly one of setWeight, pause and analysis",
        ),
    ],
)
def test_the_field_the_cause_and_the_value_are_told(changes: dict[str, Any], told: str) -> None:
    assert describe(**changes) == told


def test_what_is_told_of_many_errors_is_cut() -> None:
    unknown = {f"field{n}": 1 for n in range(1000)}
    assert len(describe(**unknown).encode()) <= MESSAGE_BYTES
