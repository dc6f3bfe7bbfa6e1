"""Whole conversations with the example shop's order system, by a generator that calls nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import numpy as np

from agent_runtime.config import ToolCallsConfig, ToolConfig
from agent_runtime.domain import (
    Answer,
    Evidence,
    Passage,
    Question,
    Request,
    Session,
    State,
    Turn,
    whole,
)
from agent_runtime.text.language import language_of
from agent_runtime.tools.origins import Origins
from agent_runtime.tools.policy import AccessPolicy
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots
from agent_runtime.tools.step import UseTools
from agent_runtime.tools.toolbox import Toolbox
from tests.contract.runtime.orders.conftest import Orders
from tests.unit.runtime.fakes import indexed

EXAMPLES = {
    "get_order_status": ["Where is my order?", "我的订单到哪里了？"],
    "create_ticket": [
        "Please open a ticket, my lamp arrived broken.",
        "请帮我提交工单，灯罩碎了。",
    ],
}


class Conversation:
    """Turns of one user; what waits is kept between them, as the pipeline keeps it."""

    def __init__(self, origins: Origins, configs: list[ToolConfig]) -> None:
        policy, limits = AccessPolicy(configs), ToolCallsConfig()
        self.box = Toolbox(origins.tools, policy, limits, configs)
        slots = Slots()
        router = Router(None, slots, limits.min_score)
        self._use = UseTools(self.box, router, slots, False, lambda: date(2026, 6, 15))
        self._session = Session("c")

    async def says(self, text: str) -> str:
        """Return the reply: the step's own, or its result in plain words."""
        language = language_of(text)
        turns = (*self._session.turns, Turn("user", text))
        passage = Passage(indexed("Lamps are returned within 30 days."), 1.0)
        evidence = Evidence(text, np.zeros(4, np.float32), True, {}, [passage])
        question = Question(text, text, language, self._session.turns)
        state = await self._use(State(Request(turns, "c"), question, self._session, evidence))
        answer = await whole(state.reply) if state.reply else Answer("")
        self._session = replace(self._session, turns=turns, pending=answer.pending)
        said = [self.box.describe(each, language) for each in state.results]
        return answer.text or "\n".join(said)


async def ticket(orders: Orders, number: int) -> httpx.Response:
    async with httpx.AsyncClient(base_url=orders.base, timeout=30) as client:
        return await client.get(f"/tickets/T-{number:06d}")


async def test_orders_and_tickets_in_both_languages(
    starting: Callable[..., Orders], originating: Callable[..., Awaitable[Origins]]
) -> None:
    orders = starting()
    raw: list[dict[str, Any]] = [
        {
            "name": name,
            "effect": "read" if name == "get_order_status" else "write",
            "examples": examples,
            "http": {"openapi": f"{orders.base}/openapi.json"},
            "reply": {"zh": "订单{order_id}：{status}，预计{eta}送达。"} if "order" in name else {},
        }
        for name, examples in EXAMPLES.items()
    ]
    configs = [ToolConfig.model_validate(each) for each in raw]
    talk = Conversation(await originating(*raw), configs)

    assert "Order number" in await talk.says("Where is my order?")
    found = (await talk.says("hg1000000001")).splitlines()
    assert found[:2] == ["Order number: HG1000000001", "Status: dispatched"]
    assert await talk.says("帮我查一下订单HG1000000001") == (
        "订单HG1000000001：已发货，预计2026-06-16送达。"
    )
    assert await talk.says("Where is order HG9999999999?") == (
        "That did not work: there is no order 'HG9999999999'; order numbers are HG and ten digits"
    )

    assert "电子邮箱" in await talk.says("帮我提交一个工单，订单 HG1000000001 的灯罩碎了")
    assert "确认执行吗？" in await talk.says("mia.chen@example.com")
    assert (await ticket(orders, 1)).status_code == 404
    assert "T-000001" in await talk.says("好的，确认")
    filed = (await ticket(orders, 1)).json()
    assert filed["customer_email"] == "mia.chen@example.com"
    assert filed["order_id"] == "HG1000000001"
    assert "灯罩碎了" in filed["description"]
    assert (await ticket(orders, 2)).status_code == 404
