"""Conversations with tools: chosen, filled, asked for, approved, denied, dropped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent_runtime.config import AccessConfig, ToolConfig
from agent_runtime.domain import (
    Answer,
    Approval,
    Event,
    Pending,
    Piece,
    Session,
    State,
    ToolCall,
    ToolSpec,
    Turn,
    whole,
)
from agent_runtime.errors import ConflictError, InvalidRequestError, ToolFailedError
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots
from agent_runtime.tools.step import UseTools
from agent_runtime.tools.toolbox import Toolbox
from tests.unit.runtime.tools.conftest import Recorded, state_of
from tests.unit.runtime.tools.shop import STATUS, TICKET, TODAY

Boxed = Callable[..., Toolbox]
SENT = {"order_id": "HG1000000001", "status": "dispatched"}


@dataclass
class Talk:
    """A conversation: what is pending is kept between its turns, as the pipeline does."""

    box: Toolbox
    native: bool = False
    session: Session = field(default_factory=lambda: Session("c"))

    async def step(self, text: str, **state: Any) -> State:
        slots = Slots()
        router = Router(None, slots, 0.45)
        use = UseTools(self.box, router, slots, self.native, lambda: TODAY)
        history = self.session.turns
        before = state_of(text, session=self.session, history=history, **state)
        after = await use(before)
        pending = (await self.reply(after)).pending if after.reply else None
        turns = (*history, Turn("user", text))
        self.session = replace(self.session, turns=turns, pending=pending)
        return after

    async def reply(self, state: State) -> Answer:
        assert state.reply is not None
        self.answer = await whole(state.reply)
        return self.answer

    async def says(self, text: str, **state: Any) -> str:
        """Return the reply, which has to come from the step."""
        assert (await self.step(text, **state)).reply is not None
        return self.answer.text


@pytest.fixture
def status() -> Recorded:
    return Recorded(STATUS, lambda given: {**SENT, **given})


@pytest.fixture
def ticket() -> Recorded:
    return Recorded(TICKET, lambda given: {"ticket_id": "T-000001"})


@pytest.fixture
def talk(status: Recorded, ticket: Recorded, boxed: Boxed) -> Talk:
    return Talk(boxed(status, ticket))


# ------------------------------------------------------------------ choosing and filling


async def test_a_request_is_served_and_its_result_handed_on(talk: Talk, status: Recorded) -> None:
    state = await talk.step("Where is my order HG1000000001?", passages=True)
    assert state.reply is None
    assert [result.content for result in state.results] == [SENT]
    assert status.calls == [{"order_id": "HG1000000001"}]


async def test_a_question_for_documents_calls_nothing(talk: Talk) -> None:
    state = await talk.step("How do I track an order?")
    assert (state.reply, state.results, state.tools) == (None, (), ())


async def test_what_is_missing_is_asked_for_and_the_next_turn_fills_it(
    talk: Talk, status: Recorded
) -> None:
    assert await talk.says("Where is my order?") == (
        "To do that I need: Order number: HG and ten digits (for example HG1000000001)."
    )
    assert talk.session.pending is not None
    assert talk.session.pending.missing == ("order_id",)
    state = await talk.step("hg1000000004")
    assert state.results[0].status == "ok"
    assert status.calls == [{"order_id": "hg1000000004"}]
    assert talk.session.pending is None


async def test_chinese_is_answered_in_chinese(talk: Talk, status: Recorded) -> None:
    assert (
        await talk.says("我的订单到哪了？", language="zh")
        == "请告诉我订单号（例如 HG1000000001）。"
    )
    assert (await talk.step("HG1000000004")).results
    assert await talk.says("帮我提交工单", language="zh") == (
        "请告诉我以下信息：\n- 主题\n- 具体情况\n- 您的电子邮箱（例如 mia.chen@example.com）"
    )
    # An address has no language: the conversation goes on in the one it had.
    assert (await talk.says("mia@example.com")).startswith("请告诉我以下信息")


async def test_it_gives_up_politely(talk: Talk, status: Recorded) -> None:
    await talk.says("Where is my order?")
    assert (await talk.says("I don't know")).startswith("To do that I need")
    assert "leave it for now" in await talk.says("no idea, sorry")
    assert talk.session.pending is None
    assert status.calls == []


@pytest.mark.parametrize(
    "text", ["What is your return policy?", "退货要几天？", "How long is the warranty?"]
)
async def test_another_question_drops_it(talk: Talk, text: str) -> None:
    await talk.says("Where is my order?")
    state = await talk.step(text)
    assert (state.reply, state.results) == (None, ())
    assert talk.session.pending is None


async def test_another_request_drops_it(talk: Talk) -> None:
    await talk.says("Where is my order?")
    assert "E-mail address" in await talk.says("Please open a ticket, my lamp arrived broken.")
    assert talk.session.pending is not None
    assert talk.session.pending.call.name == "create_ticket"


async def test_never_mind_drops_it(talk: Talk) -> None:
    await talk.says("Where is my order?")
    assert await talk.says("never mind") == "All right, I will leave it."
    assert talk.session.pending is None


async def test_a_failure_is_handed_on(boxed: Boxed) -> None:
    def fail(_: Any) -> None:
        raise ToolFailedError("no such order")

    state = await Talk(boxed(Recorded(STATUS, fail))).step("Where is order HG1000000001?")
    assert [(each.status, each.content) for each in state.results] == [("error", "no such order")]


# ------------------------------------------------------------------ approval

REQUEST = "Please open a ticket: the shade is cracked. I am mia@example.com"


async def test_a_write_is_approved_in_words(talk: Talk, ticket: Recorded) -> None:
    asked = await talk.says(REQUEST, passages=True)
    assert "the shade is cracked" in asked
    assert "Customer e-mail: mia@example.com" in asked
    assert talk.session.pending is not None
    assert talk.session.pending.missing == ()
    assert ticket.calls == []
    state = await talk.step("Yes, go ahead", passages=True)
    assert state.results[0].content == {"ticket_id": "T-000001"}
    assert ticket.calls[0]["customer_email"] == "mia@example.com"
    assert talk.session.pending is None


async def test_a_write_is_approved_by_its_id_once(talk: Talk, ticket: Recorded) -> None:
    await talk.says(REQUEST, passages=True)
    assert talk.session.pending is not None
    approval = Approval(talk.session.pending.id, approve=True)
    with pytest.raises(ConflictError):
        await talk.step("", approval=Approval("another", approve=True))
    assert (await talk.step("", passages=True, approval=approval)).results[0].status == "ok"
    with pytest.raises(ConflictError):
        await talk.step("", passages=True, approval=approval)
    assert len(ticket.calls) == 1


@pytest.mark.parametrize("word", ["不用了", "no thanks", None])
async def test_a_denied_write_is_not_made(talk: Talk, ticket: Recorded, word: str | None) -> None:
    await talk.says(REQUEST, passages=True)
    assert talk.session.pending is not None
    denial = None if word else Approval(talk.session.pending.id, approve=False)
    text = await talk.says(word or "", passages=True, approval=denial)
    assert text in ("All right, I will not do that.", "好的，我不会这样做。")
    assert [each.status for each in talk.answer.tool_calls] == ["denied"]
    assert talk.session.pending is None
    assert ticket.calls == []


async def test_something_else_is_no_approval(talk: Talk, ticket: Recorded) -> None:
    await talk.says(REQUEST, passages=True)
    state = await talk.step("yes but first tell me how long it takes", passages=True)
    assert state.results == ()
    assert talk.session.pending is None
    assert (await talk.step("yes", passages=True)).results == ()
    assert ticket.calls == []


async def test_rights_are_asked_again_at_approval(boxed: Boxed, ticket: Recorded) -> None:
    pending = Pending("p", ToolCall("1", "create_ticket", {
        "subject": "a", "description": "b", "customer_email": "mia@example.com"
    }))  # fmt: skip
    box = boxed(ticket, configs=[ToolConfig(name="create_ticket", access=AccessConfig())])
    state = await Talk(box, session=Session("c", pending=pending)).step("yes", passages=True)
    assert [each.content for each in state.results] == ["there is no tool 'create_ticket'"]
    assert ticket.calls == []


async def test_slots_then_approval_then_done(talk: Talk, ticket: Recorded) -> None:
    assert "E-mail" in await talk.says("Open a ticket: the shade is cracked", passages=True)
    assert "Shall I go ahead?" in await talk.says("mia@example.com", passages=True)
    assert (await talk.step("好的", passages=True)).results[0].status == "ok"
    assert len(ticket.calls) == 1


# ------------------------------------------------------------------ who calls

MINE = ToolSpec(
    "get_weather", "The weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    examples=("What is the weather in my city?",), client=True,
)  # fmt: skip


async def test_a_generator_that_calls_functions_gets_the_tools(talk: Talk) -> None:
    talk.native = True
    state = await talk.step("Where is my order HG1000000001?", tools=(MINE,))
    assert [spec.name for spec in state.tools] == [
        "get_order_status", "create_ticket", "get_weather"
    ]  # fmt: skip
    assert (state.reply, state.results) == (None, ())
    chosen = await talk.step("x", tools=(MINE,), tool_choice="get_weather")
    assert chosen.tools == (MINE,)
    assert (await talk.step("x", tool_choice="none")).tools == ()


async def test_an_approved_call_goes_on_with_the_generator(talk: Talk, ticket: Recorded) -> None:
    await talk.says(REQUEST, passages=True)
    talk.native = True
    state = await talk.step("yes", passages=True)
    assert len(state.tools) == 2
    assert state.results[0].status == "ok"


async def test_a_callers_own_tool_is_left_to_the_caller(talk: Talk) -> None:
    await talk.step('city: "Berlin"', tools=(MINE,), tool_choice="get_weather")
    answer = talk.answer
    (call,) = answer.client_calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Berlin"})
    assert answer.finish_reason == "tool_calls"


def called(id: str, city: str, sky: str) -> tuple[ToolCall, Turn, Turn]:
    call = ToolCall(id, "get_weather", {"city": city})
    said = Turn("tool", f'{{"sky": "{sky}"}}', tool_call_id=id)
    return call, Turn("assistant", "", tool_calls=(call,)), said


@pytest.mark.parametrize("native", [False, True])
async def test_what_the_caller_hands_in_is_told_from_what_the_agent_did(
    talk: Talk, native: bool
) -> None:
    _, *before = called("0", "Rome", "grey")
    one, *first = called("1", "Berlin", "clear")
    other, *second = called("2", "Paris", "dark")
    asked = Turn("user", "And the weather?")
    turns = (Turn("user", "Rome?"), *before, Turn("assistant", "Grey."), asked, *first, *second)
    state = state_of("And the weather?", tools=(MINE,))
    state = replace(state, request=replace(state.request, turns=turns))
    slots = Slots()
    after = await UseTools(talk.box, Router(None, slots, 0.45), slots, native)(state)
    # Those of all rounds since the user spoke: a model that misses one asks for it again.
    assert [(each.call, each.content) for each in after.handed_in] == [
        (one, {"sky": "clear"}), (other, {"sky": "dark"})
    ]  # fmt: skip
    assert (after.results, after.reply) == ((), None)
    assert (MINE in after.tools) == native


async def test_a_result_that_was_answered_already_is_not_handed_in(talk: Talk) -> None:
    _, *before = called("0", "Rome", "grey")
    talk.session = replace(talk.session, turns=(Turn("user", "Rome?"), *before))
    assert (await talk.step("How do I track an order?")).handed_in == ()


async def test_tool_choice(talk: Talk, status: Recorded) -> None:
    quiet = await talk.step("Where is my order HG1000000001?", tool_choice="none")
    assert (quiet.results, status.calls) == ((), [])
    forced = await talk.step("order HG1000000001 anyway", tool_choice="required")
    assert forced.results or forced.reply
    named = await talk.step("HG1000000001", tool_choice="get_order_status")
    assert named.results[0].status == "ok"
    with pytest.raises(InvalidRequestError, match="no tool 'absent'"):
        await talk.step("x", tool_choice="absent")


async def test_a_reply_that_is_there_stays(talk: Talk) -> None:
    state = state_of("Where is my order HG1000000001?")

    async def greeting() -> AsyncGenerator[Event]:
        yield Piece("Hello!")

    state = state.replying(greeting())
    slots = Slots()
    assert await UseTools(talk.box, Router(None, slots, 0.45), slots, native=False)(state) is state
