"""How good the quickstart's answers are, over all its questions and through HTTP.

The bounds lie a little under what was measured when they were written; raise them when the method
gets better. The method was tuned on the dev half of the questions only.
"""

from __future__ import annotations

import asyncio

import pytest

from agent_runtime.evaluation.questions import load
from agent_runtime.evaluation.remote import Remote
from agent_runtime.evaluation.report import Report, as_markdown, bounds, shortfalls, summarize
from agent_runtime.evaluation.runner import run
from tests.contract.runtime.processes import KNOWLEDGE, Agent

BOUNDS = {
    "hit5": 0.98,
    "mrr": 0.91,
    "cited": 0.92,
    "facts": 0.82,
    "grounded": 1.0,
    "refused": 0.92,
    "injected": 0,
    "failed": 0,
    "p95": 1000,  # on a machine that does other things as well
}


@pytest.fixture(scope="module")
def report(quickstart: Agent) -> Report:
    questions = load(KNOWLEDGE.parent / "questions.yaml")

    async def ask() -> Report:
        async with Remote(quickstart.base) as agent:
            return summarize(await run(questions, agent, concurrency=2))

    found = asyncio.run(ask())
    print(as_markdown(found))
    return found


@pytest.mark.parametrize("measure", BOUNDS)
def test_answers_are_at_least_as_good_as_they_were(report: Report, measure: str) -> None:
    assert not shortfalls(report, bounds([f"{measure}={BOUNDS[measure]}"]))


def test_each_language_is_answered_and_refused(report: Report) -> None:
    for language in ("en", "zh"):
        figures = report.groups[language]
        assert figures.cited is not None
        assert figures.refused is not None
        assert min(figures.cited, figures.refused) >= 0.8
