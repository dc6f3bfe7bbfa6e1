"""What the embedded generator chooses, quotes and refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.config import LLMConfig
from agent_runtime.domain import Evidence, IndexedChunk, Passage, Piece
from agent_runtime.llm.extractive import NO_ANSWER, ExtractiveGenerator
from agent_runtime.llm.scoring import Words, combine, coverage
from agent_runtime.retrieval.lexical import LexicalIndex
from tests.unit.runtime.fakes import HashingEmbedder, indexed


async def answer(question: str, *chunks: IndexedChunk, **config: object) -> list[Piece]:
    index = LexicalIndex({each.chunk.key.id: each.chunk.text for each in chunks})
    evidence = Evidence(
        question=question,
        vector=HashingEmbedder().embed([question])[0],
        semantic=question.isascii(),
        weights=index.weights(question),
        passages=[Passage(each, 1.0) for each in chunks],
    )
    generator = ExtractiveGenerator(LLMConfig.model_validate(config))
    return [piece async for piece in generator.generate(evidence)]


async def test_every_sentence_is_a_quote_at_the_place_its_citation_says() -> None:
    pieces = await answer(
        "refund paypal",
        indexed("refund by paypal\nrefund paypal quickly", "a.md"),
        indexed("paypal refund", "b.md", fingerprint="g"),
    )
    text = "".join(piece.text for piece in pieces)
    assert len(pieces) == 3
    for piece in pieces:
        assert piece.citation is not None
        assert text[piece.citation.start : piece.citation.end] == piece.citation.quote
        assert piece.citation.quote in piece.citation.chunk.text
        assert 0 < piece.citation.score <= 1


async def test_sentences_come_in_reading_order_the_best_document_first() -> None:
    pieces = await answer(
        "refund paypal",
        indexed("refund paypal later on\nrefund paypal", "a.md"),
        indexed("about refund paypal", "b.md", fingerprint="g"),
        minScore=0.1,
    )
    assert "".join(piece.text for piece in pieces) == (
        "refund paypal later on\nrefund paypal\n\nabout refund paypal"
    )


async def test_no_more_sentences_than_asked_for_and_none_twice() -> None:
    chunk = indexed("refund paypal\nrefund paypal\nrefund paypal now\nrefund paypal today")
    assert len(await answer("refund paypal", chunk, maxSentences=2)) == 2
    quotes = [piece.text.strip() for piece in await answer("refund paypal", chunk, maxSentences=9)]
    assert len(quotes) == len(set(quotes))


@pytest.mark.parametrize(
    ("question", "reply"),
    [("Who won the cup?", NO_ANSWER["en"]), ("谁赢了世界杯？", NO_ANSWER["zh"])],
)
async def test_it_says_so_in_the_language_of_the_question(question: str, reply: str) -> None:
    pieces = await answer(question, indexed("Refunds take 3 days."))
    assert pieces == [Piece(reply, refusal=True)]


async def test_the_configured_reply_and_threshold_hold() -> None:
    chunk = indexed("Refund by card.")
    assert [p.text for p in await answer("weather", chunk, noAnswer="Ask us.")] == ["Ask us."]
    assert not (await answer("refund by card", chunk))[0].refusal
    assert (await answer("refund by card", chunk, minScore=0.99))[0].refusal


def place(text: str, *terms: str) -> Words:
    return Words(text, frozenset(terms))


def test_a_word_counts_most_in_the_sentence_itself() -> None:
    nowhere, there = place(""), place("refund", "refund")
    weights = {"refund": 2.0}
    scores = [
        coverage(weights, there, nowhere, there),
        coverage(weights, nowhere, there, there),
        coverage(weights, nowhere, nowhere, there),
        coverage(weights, nowhere, nowhere, nowhere),
    ]
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], scores[-1]) == (1.0, 0.0)


def test_rare_words_weigh_more() -> None:
    weights = {"rare": 3.0, "common": 1.0}
    rare = coverage(weights, place("", "rare"), place(""), place(""))
    assert rare == 0.75


def test_a_chinese_word_is_partly_found_by_its_characters() -> None:
    weights = {"到账": 1.0}
    assert 0 < coverage(weights, place("账单到期"), place(""), place("")) < 1


def test_a_missing_amount_costs_and_a_foreign_cosine_hardly_counts() -> None:
    cosine = np.array([0.6], np.float32)
    with_amount, without = (combine([0.5], cosine, [sign], True)[0] for sign in (1, -1))
    assert with_amount > without
    high, low = np.array([0.9], np.float32), np.array([0.1], np.float32)
    english = combine([0.5], high, [0], True)[0] - combine([0.5], low, [0], True)[0]
    chinese = combine([0.5], high, [0], False)[0] - combine([0.5], low, [0], False)[0]
    assert english > 4 * chinese


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1), st.sampled_from([-1, 0, 1]))))
def test_scores_stay_between_0_and_1(views: list[tuple[float, float, int]]) -> None:
    covered, amounts = [view[0] for view in views], [view[2] for view in views]
    cosine = [view[1] for view in views]
    for semantic in (True, False):
        scores = combine(covered, np.array(cosine, np.float32), amounts, semantic)
        assert all(0 <= score <= 1 for score in scores)
