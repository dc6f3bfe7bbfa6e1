"""The demo asks the questions that the quickstart marks for it."""

from __future__ import annotations

import yaml

from dev.demo import QUESTIONS, QUICKSTART


def test_the_demo_asks_what_the_quickstart_marks() -> None:
    listed = yaml.safe_load((QUICKSTART / "questions.yaml").read_text(encoding="utf-8"))
    marked = [each["question"] for each in listed["questions"] if each.get("demo")]
    assert list(QUESTIONS) == marked
