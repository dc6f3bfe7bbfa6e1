"""Replies of two agents side by side: what counts as lost, and as nothing to compare."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent_runtime import termination
from agent_runtime.domain import Turn
from agent_runtime.evaluation.comparison import lines, pair, summary
from agent_runtime.evaluation.judging import Cited, Judged, Observed, failed, judge
from agent_runtime.evaluation.questions import Question
from chatagent_operator.core.judging.quality import Counts, Summary

ANSWERED = Question("a", "en", "How long?", sources=("a.md",), facts=("30 days", "free"))
REFUSED = Question("b", "en", "Who?")
FOLLOWING = replace(ANSWERED, id="c", history=(Turn("user", "Returns?"),))

RIGHT = judge(ANSWERED, Observed("30 days, free", (Cited("a.md", "x"),), ("a.md",)), 0.1, ())
HALF = judge(ANSWERED, Observed("30 days", (Cited("a.md", "x"),), ("a.md",)), 0.1, ())
WRONG = judge(ANSWERED, Observed("no", (Cited("b.md", "x"),), ("b.md",)), 0.1, ())
NO_REPLY = failed(ANSWERED, "500: boom", 0.1)
UNSEEN = judge(ANSWERED, Observed("30 days, free", (Cited("a.md", "x"),)), 0.1, ())


def counted(new: list[Judged], baseline: list[Judged]) -> Summary:
    """The summary as the operator reads it from the termination message."""
    return Summary.model_validate(json.loads(termination.encode(summary(pair(new, baseline)))))


def row(counts: Counts) -> tuple[int, ...]:
    return (
        counts.new,
        counts.new_of,
        counts.baseline,
        counts.baseline_of,
        counts.compared,
        counts.lost,
        counts.gained,
    )


@pytest.mark.parametrize(
    ("new", "baseline", "hits", "facts"),
    [
        (RIGHT, RIGHT, (1, 1, 1, 1, 1, 0, 0), (2, 2, 2, 2, 2, 0, 0)),
        (HALF, RIGHT, (1, 1, 1, 1, 1, 0, 0), (1, 2, 2, 2, 2, 1, 0)),
        (RIGHT, WRONG, (1, 1, 0, 1, 1, 0, 1), (2, 2, 0, 2, 2, 0, 2)),
        (WRONG, RIGHT, (0, 1, 1, 1, 1, 1, 0), (0, 2, 2, 2, 2, 2, 0)),
    ],
)
def test_what_is_right_at_one_of_them_is_lost_or_gained(
    new: Judged, baseline: Judged, hits: tuple[int, ...], facts: tuple[int, ...]
) -> None:
    found = counted([new], [baseline]).measures
    assert row(found.retrieval_hits) == hits
    assert row(found.facts) == facts
    assert row(found.refusals) == (0,) * 7


def test_a_fact_inside_a_longer_number_is_lost() -> None:
    longer = judge(ANSWERED, Observed("130 days, free", (Cited("a.md", "x"),)), 0.1, ())
    assert row(counted([longer], [RIGHT]).measures.facts) == (1, 2, 2, 2, 2, 1, 0)


def test_no_reply_is_wrong_at_the_new_agent() -> None:
    found = counted([RIGHT, NO_REPLY], [RIGHT, RIGHT])
    for counts in (found.measures.retrieval_hits, found.measures.groundedness):
        assert row(counts) == (1, 2, 2, 2, 2, 1, 0)
    assert row(found.measures.facts) == (2, 4, 4, 4, 4, 2, 0)
    assert (found.failed.new, found.failed.baseline, found.error) == (1, 0, "500: boom")


def test_no_reply_to_what_is_to_be_refused_is_no_refusal() -> None:
    refused = judge(REFUSED, Observed("I do not know."), 0.1, ())
    found = counted([failed(REFUSED, "down", 0.1)], [refused]).measures.refusals
    assert row(found) == (0, 1, 1, 1, 1, 1, 0)


def test_no_reply_of_the_baseline_is_not_compared() -> None:
    found = counted([RIGHT, WRONG], [NO_REPLY, NO_REPLY])
    assert row(found.measures.groundedness) == (1, 2, 0, 0, 0, 0, 0)
    assert found.failed.baseline == 2


def test_what_was_retrieved_counts_where_it_is_seen() -> None:
    assert row(counted([UNSEEN], [RIGHT]).measures.retrieval_hits) == (0, 0, 1, 1, 0, 0, 0)
    # Of an agent that shows nothing, and of a follow-up, a failure is no miss.
    assert row(counted([NO_REPLY], [UNSEEN]).measures.retrieval_hits) == (0,) * 7
    missed = failed(FOLLOWING, "down", 0.1)
    assert counted([RIGHT, missed], [RIGHT, missed]).measures.retrieval_hits.new_of == 1


def test_the_worst_come_first_with_both_replies() -> None:
    new, baseline = [RIGHT, RIGHT, HALF, WRONG], [RIGHT, WRONG, RIGHT, RIGHT]
    shown = list(lines(pair(new, baseline)))
    all_ = ["retrievalHits", "groundedness", "facts"]
    assert [each["lost"] for each in shown] == [all_, ["facts"], [], []]
    assert [each["gained"] for each in shown] == [[], [], all_, []]
    assert shown[1]["new"] == {
        "reply": "30 days",
        "seconds": 0.1,
        "retrievalHits": True,
        "groundedness": True,
        "facts": [True, False],
    }
    worse = counted(new, baseline).worse
    assert [each.lost for each in worse] == [all_, ["facts"]]


def test_a_summary_of_many_questions_fits_the_termination_message() -> None:
    many = [replace(WRONG, question=replace(ANSWERED, id=f"{at}-{'问' * 60}")) for at in range(500)]
    found = counted(many, [RIGHT] * 500)
    assert found.questions == 500
    assert 0 < len(found.worse) < 500
    assert found.worse[0].id.startswith("0-")
