"""The example shop's tools as specifications."""

from __future__ import annotations

from datetime import date
from typing import Any

from agent_runtime.domain import ToolSpec

TODAY = date(2026, 6, 15)
ORDER: dict[str, Any] = {
    "type": "string",
    "maxLength": 64,
    "description": "Order number: HG and ten digits.",
    "examples": ["HG1000000001"],
}
STATUS = ToolSpec(
    "get_order_status",
    "Where an order is: its status, carrier, expected day of delivery and items.",
    {"type": "object", "properties": {"order_id": ORDER}, "required": ["order_id"]},
    "read",
    ("Where is my order?", "When will HG1000000001 arrive?", "我的订单到哪里了？"),
)
TICKET = ToolSpec(
    "create_ticket",
    "File a request to customer service and return it with its number.",
    {
        "type": "object",
        "properties": {
            "subject": {"type": "string", "description": "What it is about.", "maxLength": 200},
            "description": {"type": "string", "description": "What happened.", "maxLength": 5000},
            "customer_email": {
                "type": "string",
                "pattern": r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
                "description": "E-mail address of the customer.",
                "examples": ["mia.chen@example.com"],
            },
            "order_id": {"anyOf": [ORDER, {"type": "null"}]},
            "priority": {"enum": ["low", "normal", "high", "urgent"], "type": "string"},
        },
        "required": ["subject", "description", "customer_email"],
    },
    "write",
    (
        "Please open a ticket, my lamp arrived broken.",
        "I want to complain to customer service.",
        "请帮我提交工单，灯罩碎了。",
        "我要投诉。",
    ),
)


def spec(required: tuple[str, ...] = (), **properties: Any) -> ToolSpec:
    """A tool with these arguments."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec("do_it", "Does it.", schema)
