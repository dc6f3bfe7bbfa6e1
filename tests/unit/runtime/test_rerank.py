"""Putting passages into the order of a cross-encoder's scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.domain import Passage
from agent_runtime.retrieval.rerank import reordered, texts_of
from tests.unit.runtime.fakes import indexed


def passages(count: int) -> list[Passage]:
    return [Passage(indexed(f"Text {n}.", f"{n}.md"), 1.0 / (n + 1)) for n in range(count)]


def paths(found: list[Passage]) -> list[str]:
    return [passage.indexed.chunk.key.path for passage in found]


def test_the_best_come_first_with_their_new_scores() -> None:
    found = reordered(passages(4), np.array([0.1, 0.9, 0.1, 0.5], np.float32), 3)
    assert paths(found) == ["1.md", "3.md", "0.md"]
    assert [passage.score for passage in found] == pytest.approx([0.9, 0.5, 0.1])


def test_a_score_that_is_no_number_comes_last() -> None:
    assert paths(reordered(passages(3), np.array([np.nan, -5, 2], np.float32), 3)) == [
        "2.md",
        "1.md",
        "0.md",
    ]


def test_what_is_read_is_where_a_passage_stands_and_what_it_says() -> None:
    passage = Passage(indexed("Two days.", title="Shipping", headings=("Shipping", "Time")), 1)
    assert texts_of([passage]) == ["Shipping\nTime\nTwo days."]


def test_each_passage_needs_a_score() -> None:
    with pytest.raises(ValueError, match="1 scores for 2 passages"):
        reordered(passages(2), np.array([1], np.float32), 2)


@given(st.lists(st.floats(-10, 10, width=32), max_size=12), st.integers(0, 12))
def test_nothing_is_made_up_or_given_twice(scores: list[float], limit: int) -> None:
    found = reordered(passages(len(scores)), np.array(scores, np.float32), limit)
    assert len(found) == min(limit, len(scores)) == len(set(paths(found)))
    kept = [passage.score for passage in found]
    assert kept == sorted(kept, reverse=True)
