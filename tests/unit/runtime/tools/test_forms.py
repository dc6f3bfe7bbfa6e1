"""What a message is by its form, and that none takes long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.tools import forms
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots
from tests.unit.runtime.tools.shop import STATUS, TICKET, TODAY

SLOTS = Slots()


@pytest.mark.parametrize(
    ("message", "general", "own", "request_"),
    [
        ("How do I track an order?", True, False, False),
        ("Where is my order?", False, True, False),
        ("Can you check my order?", False, True, True),
        ("Can I pay in cash?", True, False, False),
        ("Please open a ticket", False, False, True),
        ("怎么查询物流？", True, False, False),
        ("我的订单怎么还没到？", False, True, False),
        ("能不能帮我查一下？", False, False, True),
        ("能不能帮我建个工单", False, False, True),
        ("一般几天发货", True, False, False),
    ],
)
def test_forms(message: str, general: bool, own: bool, request_: bool) -> None:
    found = (forms.general(message, False), forms.own(message), forms.request(message))
    assert found == (general, own, request_)


@pytest.mark.parametrize(
    "message",
    ["可以" * 50_000, "要" * 100_000, "a@" * 50_000, "a" * 200_000, "1-" * 100_000, "我" * 100_000,
     "how " * 50_000, '"' * 100_000, "一" * 100_000, "1," * 100_000, "which a" * 30_000],
)  # fmt: skip
@pytest.mark.timeout(60)
async def test_no_message_takes_long(message: str) -> None:
    """With time that grows as the square of the length it would be minutes."""
    await Router(None, SLOTS, 0.45).choose(message, [STATUS, TICKET], TODAY)
    for spec in (STATUS, TICKET):
        SLOTS.fill(spec, message, [message], TODAY)
        SLOTS.complete(spec, {}, message, TODAY)


@settings(max_examples=150)
@given(st.text(max_size=200))
def test_any_text_is_survived(message: str) -> None:
    for spec in (STATUS, TICKET):
        filled = SLOTS.fill(spec, message, [message], TODAY)
        assert set(filled.missing).isdisjoint(filled.arguments)
        SLOTS.complete(spec, filled.arguments, message, TODAY)
    forms.general(message, False)
