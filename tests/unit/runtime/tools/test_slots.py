"""Arguments are taken from the user's words, in both languages, or asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent_runtime.domain import ToolSpec
from agent_runtime.tools.schema import is_simple
from agent_runtime.tools.slots import Slots, question
from tests.unit.runtime.tools.shop import ORDER, STATUS, TICKET, TODAY, spec

SLOTS = Slots()
STRING: dict[str, Any] = {"type": "string"}
EMAIL = {"type": "string", "format": "email"}
MOMENT = {"type": "string", "format": "date-time"}
REFUND = spec(("order_id", "ticket_id"), order_id=STRING, ticket_id=STRING)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Has order HG1000000002 been shipped yet?", "HG1000000002"),
        ("give me an update on hg1000000015", "hg1000000015"),
        ("帮我查一下订单HG1000000002的物流", "HG1000000002"),
        ("订单号：ＨＧ１０００００００１２", "HG1000000012"),
        ("订单号 HZ-20391 到了吗", "HZ-20391"),
        ("Where is order #1234?", "1234"),
        ("order no. 4711 please", "4711"),
        ("Where is A1001?", "A1001"),
        ("My R2 and the E27 bulb: where are they?", None),
        ("I ordered 20 lamps on 2026-06-01", None),
        ("I ordered it 20 months ago", None),
        ("mail me at x1000000001@example.com", None),
        ("Where is my order?", None),
    ],
)
def test_order_numbers(text: str, order: str | None) -> None:
    filled = SLOTS.fill(STATUS, text, [], TODAY)
    assert filled.arguments.get("order_id") == order
    assert filled.missing == (() if order else ("order_id",))


def test_an_earlier_message_of_the_user_may_have_named_it() -> None:
    before = ["Is HG1000000001 there?", "I mean HG1000000002", "Thanks, and points?"]
    assert SLOTS.fill(STATUS, "When will it arrive?", before, TODAY).arguments == {
        "order_id": "HG1000000002"
    }
    free = spec(("subject",), subject=STRING)
    assert SLOTS.fill(free, "do it", ["My lamp is broken"], TODAY).missing == ("subject",)


def test_a_code_belongs_to_what_stands_before_it() -> None:
    filled = SLOTS.fill(REFUND, "ticket 20391 of order 4711", [], TODAY)
    assert filled.arguments == {"order_id": "4711", "ticket_id": "20391"}
    filled = SLOTS.fill(REFUND, "工单号 20391，订单号 4711", [], TODAY)
    assert filled.arguments == {"order_id": "4711", "ticket_id": "20391"}
    assert SLOTS.fill(REFUND, "about ticket 20391", [], TODAY).missing == ("order_id",)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (EMAIL, "write to Mia.Chen@example.com.", "Mia.Chen@example.com"),
        (EMAIL, "我的邮箱是mia@example.com，谢谢", "mia@example.com"),
        ({"type": "string", "format": "date"}, "on 2026-07-01 please", "2026-07-01"),
        ({"type": "string", "format": "date"}, "on the 3rd of March", "2027-03-03"),
        ({"type": "string", "format": "date"}, "July 4th, 2027", "2027-07-04"),
        ({"type": "string", "format": "date"}, "明天送", "2026-06-16"),
        ({"type": "string", "format": "date"}, "6月20日", "2026-06-20"),
        ({"type": "string", "format": "date"}, "on 2026-02-31", None),
        ({"type": "string", "format": "date-time"}, "tomorrow at 3 pm", "2026-06-16T15:00:00"),
        ({"type": "string", "format": "date-time"}, "明天下午3点", "2026-06-16T15:00:00"),
        (MOMENT, "2026-07-01T08:30:00Z", "2026-07-01T08:30:00+00:00"),
        (
            {"type": "string", "format": "uuid"},
            "id 123e4567-e89b-12d3-a456-426614174000!",
            "123e4567-e89b-12d3-a456-426614174000",
        ),
        ({"type": "string", "format": "uri"}, "see https://x.org/a?b=c.", "https://x.org/a?b=c"),
        ({"type": "string", "pattern": r"^[A-Z]{3}\d$"}, "my code is abc1, ok", "ABC1"),
        ({"type": "string", "pattern": r"^(?<a>x)$"}, "x", None),
        ({"type": "integer"}, "two of them", 2),
        ({"type": "integer"}, "我要三个", 3),
        ({"type": "integer"}, "一共十二个", 12),
        ({"type": "integer"}, "买25个", 25),
        ({"type": "integer"}, "1,200 pieces", 1200),
        ({"type": "integer"}, "2.5 pieces", None),
        ({"type": "integer", "maximum": 9}, "make it 12", None),
        ({"type": "integer"}, "5 or 6", None),
        ({"type": "number"}, "12.5 kg", 12.5),
        ({"type": "number"}, "version R2 on 2026-06-01", None),
        ({"enum": ["in_production", "packed"]}, "packed value", "packed"),
        ({"type": "string"}, 'call it "Blue Moon"', "Blue Moon"),
        ({"type": "string"}, "value is Berlin, right", "Berlin"),
        ({"type": "array"}, "a, b", None),
    ],
)  # fmt: skip
def test_values_of_every_kind(schema: dict[str, Any], text: str, value: Any) -> None:
    filled = SLOTS.fill(spec(("value",), value=schema), text, [], TODAY)
    assert filled.arguments == ({} if value is None else {"value": value})


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("3 lamps for 2 people", {"people": 2}),
        ("3 lamps", {}),
        ("gift wrap it", {"gift_wrap": True}),
        ("no gift wrap please", {"gift_wrap": False}),
        ("the chair is too low", {}),
        ("set the priority to low", {"priority": "low"}),
        ("优先级：高", {"priority": "high"}),
        ("This is urgent", {"priority": "urgent"}),
        ("请尽快处理", {"priority": "urgent"}),
    ],
)
def test_what_need_not_be_given_has_to_be_sure(text: str, arguments: dict[str, Any]) -> None:
    tool = spec(
        people={"type": "integer"},
        gift_wrap={"type": "boolean"},
        priority={"enum": ["low", "normal", "high", "urgent"]},
        order_id=ORDER,
    )
    assert SLOTS.fill(tool, text, [], TODAY).arguments == arguments


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Open a ticket for me", None),
        ("Please create a support ticket", None),
        ("I want to complain to customer service.", None),
        ("开个工单", None),
        ("帮我提交一个工单", None),
        ("我要投诉", None),
        ("Please create a ticket: the glass is cracked.", "the glass is cracked."),
        ("帮我建一个工单，桌面有划痕", "桌面有划痕"),
        ("I want to complain about the driver.", "I want to complain about the driver."),
        ("我想投诉快递员", "我想投诉快递员"),
    ],
)
def test_free_text_is_the_message_unless_it_says_nothing(text: str, said: str | None) -> None:
    filled = SLOTS.fill(TICKET, text, [], TODAY)
    assert filled.arguments.get("description") == said
    assert filled.arguments.get("subject") == said


def test_a_ticket_is_filled_in_three_turns() -> None:
    first = SLOTS.fill(TICKET, "Open a ticket for order HG1000000003", [], TODAY)
    assert first.arguments == {"order_id": "HG1000000003"}
    assert first.missing == ("subject", "description", "customer_email")
    second = SLOTS.complete(TICKET, first.arguments, "mia@example.com", TODAY)
    assert second.missing == ("subject", "description")
    third = SLOTS.complete(TICKET, second.arguments, "The shade is cracked. Please help.", TODAY)
    assert third.missing == ()
    assert third.arguments == {
        "order_id": "HG1000000003",
        "customer_email": "mia@example.com",
        "subject": "The shade is cracked.",
        "description": "The shade is cracked. Please help.",
    }


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (ORDER, "4711", "4711"),
        (ORDER, "I don't know", None),
        ({"type": "integer"}, "one", 1),
        ({"type": "boolean"}, "不用", False),
        ({"type": "boolean"}, "yes", True),
        ({"enum": ["low", "high"]}, "low", "low"),
        ({"type": "string"}, "Hangzhou", "Hangzhou"),
        ({"type": "string", "maxLength": 3}, "Hangzhou", None),
    ],
)
def test_a_reply_to_a_question_may_be_short(schema: dict[str, Any], reply: str, value: Any) -> None:
    name = "order_id" if schema is ORDER else "value"
    filled = SLOTS.complete(spec((name,), **{name: schema}), {}, reply, TODAY)
    assert filled.arguments == ({} if value is None else {name: value})


def test_questions_are_in_the_users_language() -> None:
    assert question(STATUS, ("order_id",), "en") == (
        "To do that I need: Order number: HG and ten digits (for example HG1000000001)."
    )
    assert question(STATUS, ("order_id",), "zh") == "请告诉我订单号（例如 HG1000000001）。"
    asked = question(TICKET, ("subject", "customer_email"), "zh").splitlines()
    assert asked == ["请告诉我以下信息：", "- 主题", "- 您的电子邮箱（例如 mia.chen@example.com）"]
    bare = ToolSpec("x", "", {"properties": {"orderNo": {}, "frobnication": {}}})
    assert question(bare, ("orderNo", "frobnication"), "en").splitlines()[1:] == [
        "- order number", "- frobnication"
    ]  # fmt: skip


def test_a_long_message_is_cut_to_what_is_allowed() -> None:
    message = "The lamp is broken. " * 1000
    filled = SLOTS.fill(TICKET, message, [], TODAY)
    assert len(filled.arguments["description"]) == 5000
    assert len(filled.arguments["subject"]) <= 80


def test_an_expression_of_a_clients_function_is_not_run() -> None:
    endless: dict[str, Any] = {"type": "string", "pattern": "^(a+)+$"}
    text = "the code is " + "a" * 40 + "$"
    for schema in (endless, {**STRING, "allOf": [endless]}, {"anyOf": [endless, {"type": "null"}]}):
        brought = replace(spec(("code",), code=schema), client=True)
        assert SLOTS.fill(brought, text, [], TODAY).missing == ("code",)
        assert SLOTS.fill(brought, "code X-20391", [], TODAY).arguments == {"code": "X-20391"}


def test_an_expression_of_a_clients_function_that_ends_is_run() -> None:
    order = {"type": "string", "pattern": "^A-[0-9]{4}$"}
    brought = replace(spec(("order",), order=order), client=True)
    filled = SLOTS.fill(brought, "Where is the parcel of order A-1042?", [], TODAY)
    assert filled.arguments == {"order": "A-1042"}


@pytest.mark.parametrize(
    ("pattern", "simple"),
    [
        (r"^A-[0-9]{4}$", True),
        (r"^[A-Z]{2,3}-\d+$", True),
        (r"^[(|)*+]\(\*$", True),
        (r"^(a+)+$", False),
        (r"^a|b$", False),
        (r"a*b*$", False),
        (r"a?b?c?$", False),
        (r"(?=a)", False),
        (r"^[a-z]{5000}$", False),
        (r"x\1", False),
        ("a" * 201, False),
    ],
)
def test_which_expressions_of_strangers_are_run(pattern: str, simple: bool) -> None:
    assert is_simple(pattern) is simple


def test_a_number_that_no_number_can_hold_is_none() -> None:
    for kind in ("integer", "number"):
        counted = spec(("count",), count={"type": kind})
        assert SLOTS.fill(counted, "count " + "9" * 400, [], TODAY).missing == ("count",)
