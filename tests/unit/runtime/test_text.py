"""Sentences, terms and languages, in English and Chinese."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.llm.amounts import asks_amount, has_amount
from agent_runtime.text.language import language_of
from agent_runtime.text.sentences import sentence_spans
from agent_runtime.text.terms import Analyzer


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, 0, len(text))]


def test_english_sentences_survive_abbreviations_and_decimals() -> None:
    text = 'It costs 3.5 EUR, e.g. by card. "Stop!" she said. Mr. Smith left.  Visit shop.example.'
    assert split(text) == [
        "It costs 3.5 EUR, e.g. by card.",
        '"Stop!" she said.',
        "Mr. Smith left.",
        "Visit shop.example.",
    ]


def test_chinese_sentences_keep_their_closing_quotes() -> None:
    assert split("他说：“走吧！”然后离开。真的？") == ["他说：“走吧！”", "然后离开。", "真的？"]


@given(st.text(alphabet="aB1 .!?\n。！？”\"'-", max_size=60))
def test_sentences_drop_nothing_but_white_space(text: str) -> None:
    spans = sentence_spans(text, 0, len(text))
    assert spans == sorted(spans)
    kept = {n for a, b in spans for n in range(a, b)}
    assert {n for n, each in enumerate(text) if not each.isspace()} <= kept
    assert all(not text[a].isspace() and not text[b - 1].isspace() for a, b in spans)


def test_terms_fold_inflection_width_and_case() -> None:
    analyzer = Analyzer()
    assert analyzer.terms("Refunds were REFUNDED") == ["refund", "refund"]
    assert analyzer.terms("ＰａｙＰａｌ") == analyzer.terms("PayPal")


def test_a_compound_is_found_by_its_name_and_its_parts() -> None:
    assert set(Analyzer().terms("set spec.pipeline")) >= {"spec.pipeline", "spec", "pipelin"}


def test_chinese_is_cut_into_words_characters_and_pairs() -> None:
    terms = Analyzer().terms("退款多久到账")
    assert {"退款", "退", "款"} <= set(terms)
    assert Analyzer().words("请问退款多久能到") == ["退款", "多久"]


def test_asking_words_are_no_terms() -> None:
    assert Analyzer().terms("How do I get this? 请问怎么") == []


@pytest.mark.parametrize(
    ("text", "language"),
    [("How long?", "en"), ("退款要多久？", "zh"), ("用PayPal付款可以吗", "zh"), ("", "en")],
)
def test_the_language_of_a_question(text: str, language: str) -> None:
    assert language_of(text) == language


def test_questions_for_amounts_and_sentences_that_hold_them() -> None:
    assert all(map(asks_amount, ["How long does it take?", "When?", "运费多少钱", "几天"]))
    assert not any(map(asks_amount, ["Can I pay by card?", "可以开发票吗"]))
    assert all(map(has_amount, ["within 30 days", "twice a year", "三天", "免费"]))
    assert not any(map(has_amount, ["by courier", "原路退回"]))
