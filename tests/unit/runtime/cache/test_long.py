"""No text takes for ever, whatever marks it is made of."""

from __future__ import annotations

import pytest

from agent_runtime.cache import chinese, english
from agent_runtime.text.sentences import sentence_spans

LONG = 100_000


@pytest.mark.timeout(60)  # with one class of marks after another they took hours
@pytest.mark.parametrize("mark", [".", "?", "，", " ", '"', ")", "! "])
def test_a_run_of_marks_is_read_once(mark: str) -> None:
    text = mark * LONG + "b"
    english.words(text)
    chinese.words(text)
    sentence_spans(text, 0, len(text))
