"""Every reason and condition that a user may see is explained."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from chatagent_operator.api.conditions import ConditionType

ROOT = Path(__file__).parents[3]
MAKERS = {"Finding", "Trouble", "Waiting", "Refusal", "EventRecord", "add_event", "roll_back"}
"""What makes a condition or an Event with a reason."""

GOOD = {
    *("Accepted", "Answers", "AsExpected", "Available", "Completed", "Indexed", "NotPaused"),
    *("Programmed", "Resolved", "Serving"),
    *("CanaryStarted", "CanaryWithdrawn", "Promoted", "Retried", "StepsChanged", "WeightSet"),
}
"""Reasons that say what has been reached, with nothing to be done."""


def find_reasons() -> Iterator[str]:
    for path in sorted((ROOT / "operator/chatagent_operator").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for value in find_values(node, is_report="reporting" in path.parts):
                text = value.value if isinstance(value, ast.Constant) else None
                if isinstance(text, str) and text.isalpha() and text[0].isupper():
                    yield text


def find_values(node: ast.AST, *, is_report: bool) -> list[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in MAKERS:
            return node.args
        case ast.Yield(value=ast.Tuple(elts=values)) if is_report:  # of `Degraded`
            return values
        case _:
            return []


def test_troubleshooting_explains_every_reason() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    found = set(find_reasons()) - GOOD - {"True", "False", "Unknown", "Normal", "Warning"}
    assert len(found) > 20, "they are found"
    assert not {each for each in found if f"`{each}`" not in text}


def test_each_condition_says_what_it_is_made_from() -> None:
    text = (ROOT / "docs/conditions.md").read_text("utf-8")
    assert not {each for each in ConditionType if f"`{each}`" not in text}
