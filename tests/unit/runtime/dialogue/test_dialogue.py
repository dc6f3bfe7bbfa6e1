"""What a message means in its conversation."""

from __future__ import annotations

import pytest

from agent_runtime.config import DialogueConfig, IntentConfig
from agent_runtime.dialogue.follow_up import focus, leans_back
from agent_runtime.dialogue.intents import Intents
from agent_runtime.dialogue.manager import DialogueManager, RuleRewriter, recent
from agent_runtime.domain import Approval, Pending, Request, Session, ToolCall, Turn
from agent_runtime.errors import InvalidRequestError
from tests.unit.runtime.fakes import HashingVectors


def manager(**config: object) -> DialogueManager:
    settings = DialogueConfig.model_validate(config)
    vectors = HashingVectors()
    return DialogueManager(settings, Intents(settings.intents, vectors), RuleRewriter(vectors))


def asked(*texts: str) -> Request:
    """A conversation of questions, each but the last with a reply."""
    turns = [turn for text in texts[:-1] for turn in (Turn("user", text), Turn("assistant", "Ok."))]
    return Request((*turns, Turn("user", texts[-1])), "c")


HISTORY = [Turn("user", "How long does delivery take?"), Turn("assistant", "Three days.")]


@pytest.mark.parametrize(
    "question",
    [
        "And for furniture?",
        "What about sofas?",
        "How much does it cost?",
        "那家具呢？",
        "它要多少钱？",
    ],
)
def test_a_question_that_points_back_leans_on_the_turns_before(question: str) -> None:
    assert leans_back(question, HISTORY)
    assert not leans_back(question, [])


@pytest.mark.parametrize(
    "question", ["How do I cancel my subscription?", "怎么修改订单的收货地址？"]
)
def test_a_question_with_a_subject_of_its_own_stands_alone(question: str) -> None:
    assert not leans_back(question, HISTORY)


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("And for furniture?", "furniture"),
        ("what about PayPal then?", "PayPal"),
        ("那家具呢？", "家具"),
        ("And for  the red\nsofa instead ? ", "red sofa"),
        ("And how long does it take?", None),
        ("它要多少钱？", None),
    ],
)
def test_another_thing_is_told_from_another_question(question: str, thing: str | None) -> None:
    assert focus(question) == thing


@pytest.mark.timeout(60)
@pytest.mark.parametrize("padding", [" ", "? ", "?", "呢", "then", "then ", "\n"])
def test_a_message_made_to_be_slow_is_not(padding: str) -> None:
    focus(f"and a{padding * (7_990 // len(padding))}b")


async def test_another_thing_takes_the_place_of_the_one_it_is_like() -> None:
    understood = await manager().understand(
        asked("How long do refunds to a credit card take?", "And to a debit card?"), None
    )
    assert understood.follow_up
    assert understood.standalone.startswith("How long do refunds to")
    assert "debit card take?" in understood.standalone


async def test_what_points_back_keeps_the_question_before_in_view() -> None:
    understood = await manager().understand(
        asked("Do you deliver to Norway?", "How much does it cost?"), None
    )
    assert "Norway" in understood.standalone
    assert "cost" in understood.standalone


async def test_a_chain_of_follow_ups_leads_back_to_its_beginning() -> None:
    understood = await manager().understand(asked("保修期多长？", "那沙发呢？", "配件呢？"), None)
    assert "保修期" in understood.standalone
    assert "配件" in understood.standalone


async def test_as_it_is_asked_if_follow_ups_are_not_to_be_rewritten() -> None:
    understood = await manager(followUps="asIs").understand(asked("A long one?", "And it?"), None)
    assert understood.standalone == "And it?"


async def test_the_session_stands_in_for_turns_that_the_client_leaves_out() -> None:
    session = Session("c", turns=tuple(HISTORY))
    understood = await manager().understand(Request((Turn("user", "And it?"),), "c"), session)
    assert understood.history == tuple(HISTORY)
    full = asked("Where are you?", "And it?")
    assert (await manager().understand(full, session)).history[0].content == "Where are you?"


def test_the_last_turns_count_and_tools_do_not() -> None:
    turns = [
        turn
        for n in range(9)
        for turn in (
            Turn("user", f"q{n}"),
            Turn("tool", "x", tool_call_id="1"),
            Turn("assistant", f"a{n}"),
        )
    ]
    assert [turn.content for turn in recent(turns, 2)] == ["q7", "a7", "q8", "a8"]
    assert recent(turns, 0) == ()
    assert len(recent(turns, 50)) == 18


@pytest.mark.parametrize(
    ("message", "intent"),
    [("Hello!", "greeting"), ("你好", "greeting"), ("谢谢您！", "thanks"), ("Bye", "farewell")],
)
async def test_small_talk_is_answered_in_its_language(message: str, intent: str) -> None:
    recognized = (await manager().understand(asked(message), None)).intent
    assert recognized is not None
    assert (recognized.name, recognized.retrieval) == (intent, False)
    assert recognized.reply


async def test_a_greeting_with_a_question_is_a_question() -> None:
    understood = await manager().understand(asked("Hello, where is my order?"), None)
    assert understood.intent is None


async def test_an_intent_of_ones_own_is_recognized_by_its_examples() -> None:
    intents = [
        IntentConfig(name="handover", examples=("talk to a human please",), reply="One moment.")
    ]
    understood = await manager(intents=intents).understand(asked("talk to a human"), None)
    assert understood.intent is not None
    assert (understood.intent.name, understood.intent.reply) == ("handover", "One moment.")
    other = await manager(intents=intents).understand(asked("price of a sofa"), None)
    assert other.intent is None


async def test_thanks_to_a_question_of_the_agent_is_an_answer() -> None:
    waits = Session("c", turns=tuple(HISTORY), pending=Pending("p", ToolCall("1", "t", {})))
    assert (await manager().understand(asked("Thanks!"), waits)).intent is None


async def test_an_approval_needs_no_words() -> None:
    session = Session("c", turns=tuple(HISTORY))
    request = Request((Turn("user", ""),), "c", approval=Approval("p", True))
    assert (await manager().understand(request, session)).asked == HISTORY[0].content


@pytest.mark.parametrize("turns", [(), (Turn("assistant", "Hi"),), (Turn("user", "  \n"),)])
async def test_nothing_asked_is_refused(turns: tuple[Turn, ...]) -> None:
    with pytest.raises(InvalidRequestError, match="last user message"):
        await manager().understand(Request(turns, "c"), None)
