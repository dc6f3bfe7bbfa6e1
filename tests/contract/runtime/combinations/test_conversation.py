"""One suite of conversations over every store, embedding model and generator.

What models say is checked where they were taught it; of a random T5, which
gets passages, history and results in its prompt, only that it answers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime import BaseChatAgent
from agent_runtime.domain import Answer, Finish, Piece, Turn
from tests.contract.runtime.combinations.product import Combination
from tests.contract.runtime.combinations.talk import (
    AFTERWARDS,
    CHINESE,
    ENGLISH,
    EXCHANGES,
    FOLLOW_UP,
    ORDER,
    PAYPAL,
    REFUND,
    STATUS,
    UNANSWERABLE,
    UNKNOWING,
    Exchange,
)
from tests.contract.runtime.processes import KNOWLEDGE

pytestmark = pytest.mark.timeout(900)  # the first test waits until all servers are up


def sound(answer: Answer) -> None:
    """Check what holds for every answer of every generator."""
    assert answer.finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0
    assert answer.pending is None
    assert answer.client_calls == ()
    assert answer.evidence
    assert answer.evidence.passages
    for each in answer.citations:
        assert each.quote in Path(KNOWLEDGE, each.chunk.key.path).read_text()
        assert 0 <= each.start < each.end <= len(answer.text)


def sources(answer: Answer) -> set[str]:
    return {each.chunk.key.path for each in answer.citations}


def right(answer: Answer, exchange: Exchange, combination: Combination) -> None:
    """Check that it is the answer, and where it comes from."""
    sound(answer)
    assert answer.tool_calls == ()
    assert answer.evidence
    found = {each.indexed.chunk.key.path for each in answer.evidence.passages}
    assert exchange.source in found
    if combination.kind == "random":
        return
    assert exchange.fact in answer.text
    assert exchange.source in sources(answer)
    if combination.kind == "extractive":
        quoted = [answer.text[each.start : each.end] for each in answer.citations]
        assert quoted == [each.quote for each in answer.citations]
    else:
        assert answer.text == exchange.taught


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
def test_questions_are_answered_from_documents(
    agent: BaseChatAgent, combination: Combination, exchange: Exchange
) -> None:
    right(agent(exchange.asked, history=exchange.before), exchange, combination)


def test_what_no_document_says_is_not_answered(
    agent: BaseChatAgent, combination: Combination
) -> None:
    answer = agent(UNANSWERABLE)
    sound(answer)
    if combination.kind == "extractive":
        assert answer.refusal
    elif combination.kind == "taught":
        assert answer.text == UNKNOWING
    if combination.kind != "random":
        assert answer.citations == ()


@pytest.mark.parametrize("exchange", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_streamed_and_whole_answers_are_the_same(agent: BaseChatAgent, exchange: Exchange) -> None:
    whole = agent(exchange.asked)
    events = list(agent.stream(exchange.asked))
    pieces = [each for each in events if isinstance(each, Piece)]
    assert "".join(each.text for each in pieces) == whole.text
    assert tuple(each.citation for each in pieces if each.citation) == whole.citations
    assert events[-1] == Finish(whole.finish_reason, whole.usage)


def test_a_tool_is_called(agent: BaseChatAgent, combination: Combination) -> None:
    answer = agent(ORDER)
    sound(answer)
    (result,) = answer.tool_calls
    assert (result.status, result.content) == ("ok", STATUS)
    assert result.call.arguments == {"order_id": "A-1007"}
    if combination.kind == "extractive":
        assert answer.text == "Order A-1007 was handed to the carrier."
    elif combination.kind == "taught":
        assert answer.text == AFTERWARDS


@pytest.mark.parametrize(
    ("message", "reply"),
    [("Hello!", "Hello! What would you like to know?"), ("谢谢", "不客气！")],
)
def test_small_talk_needs_no_documents(agent: BaseChatAgent, message: str, reply: str) -> None:
    answer = agent(message)
    assert (answer.text, answer.citations, answer.evidence) == (reply, (), None)


def test_a_conversation_is_remembered_by_its_name(
    agent: BaseChatAgent, combination: Combination
) -> None:
    first = agent(PAYPAL, conversation_id="c")
    right(first, REFUND, combination)
    named = agent(FOLLOW_UP.asked, conversation_id="c")
    right(named, FOLLOW_UP, combination)
    given = (Turn("user", PAYPAL), Turn("assistant", first.text))
    told = agent(FOLLOW_UP.asked, history=given)
    assert replace(named, evidence=None) == replace(told, evidence=None)


def test_the_agent_is_yaml_and_back(agent: BaseChatAgent) -> None:
    again = BaseChatAgent.from_yaml(agent.to_yaml())
    assert again.config == agent.config
    assert again.to_yaml() == agent.to_yaml()
