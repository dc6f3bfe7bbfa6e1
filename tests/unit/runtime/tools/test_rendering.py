"""Results in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.domain import ToolCall, ToolResult
from agent_runtime.tools.rendering import describe

CALL = ToolCall("1", "get_order_status", {})
ORDER = {
    "order_id": "HG1000000001",
    "status": "out_for_delivery",
    "carrier": None,
    "eta": "2026-06-16",
    "items": [{"name": "Oak floor lamp", "quantity": 1}, {"name": "LED bulb", "quantity": 2}],
}


def said(
    content: Any, language: str = "en", template: str | None = None, status: Any = "ok"
) -> str:
    return describe(ToolResult(CALL, status, content), language, template)


def test_fields_line_by_line() -> None:
    assert said(ORDER).splitlines() == [
        "Order number: HG1000000001",
        "Status: out for delivery",
        "Eta: 2026-06-16",
        "Items:",
        "  - Name: Oak floor lamp, Quantity: 1",
        "  - Name: LED bulb, Quantity: 2",
    ]
    assert said(ORDER, "zh").splitlines()[:4] == [
        "订单号：HG1000000001",
        "状态：派送中",
        "预计送达：2026-06-16",
        "商品：",
    ]


def test_the_configurations_own_sentence() -> None:
    template = "Order {order_id} is {status}; first: {items.0.name}."
    assert said(ORDER, template=template) == (
        "Order HG1000000001 is out for delivery; first: Oak floor lamp."
    )
    assert said(ORDER, template="By {carrier}.").startswith("Order number")
    assert said(ORDER, "zh", "订单{order_id}{status}") == "订单HG1000000001派送中"
    assert said("{nothing}", template="{a.b}") == "{nothing}"


@pytest.mark.parametrize(
    ("content", "status", "english", "chinese"),
    [
        ("no such order", "error", "That did not work: no such order", "没有成功：no such order"),
        ("x", "denied", "All right, I will not do that.", "好的，我不会这样做。"),
        ({"status": "done"}, "ok", "Done.", "已完成。"),
        (None, "ok", "Done.", "已完成。"),
        ([], "ok", "Nothing was found.", "没有找到任何内容。"),
        (5, "ok", "5", "5"),
        (True, "ok", "yes", "是"),
        ("It rains.", "ok", "It rains.", "It rains."),
        (["a", {"n": [1]}], "ok", "- a\n- N:\n    - 1", "- a\n- n：\n    - 1"),
    ],
)
def test_everything_has_words(content: Any, status: str, english: str, chinese: str) -> None:
    assert said(content, status=status) == english
    assert said(content, "zh", status=status) == chinese


def test_what_is_long_is_short() -> None:
    assert said(list(range(25))).splitlines()[-1] == "… and 15 more"
    cut = {"text": "[1, 2", "truncated": True, "bytes": 99999}
    assert said(cut) == "[1, 2\n(The result was too long and was cut.)"
    deep: Any = "end"
    for _ in range(50):
        deep = {"in": deep}
    assert len(said(deep)) < 400
