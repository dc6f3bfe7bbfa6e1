"""What is said in the suite: questions, where their answers stand, and what a taught model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent_runtime.config import ToolConfig
from agent_runtime.domain import Prompt, Question, ToolCall, Turn
from agent_runtime.models.generators.messages import messages, tools
from agent_runtime.text.jsons import as_text
from agent_runtime.tools.python import PythonTool
from tests.contract.runtime.combinations.shop import get_order_status
from tests.contract.runtime.models.tiny import Lesson

SYSTEM = "You help the customers of a shop."
DOCUMENTS = ("en-refunds.md", "en-returns.md", "en-warranty.md", "zh-returns.md")


@dataclass(frozen=True)
class Exchange:
    """A question, a fact of its answer, the file that holds it, and what a taught model says."""

    asked: str
    fact: str
    source: str
    taught: str
    before: tuple[Turn, ...] = ()


PAYPAL = "How long does a refund to PayPal take?"
ENGLISH = Exchange(
    "For how long is a return code valid?",
    "14 days",
    "en-returns.md",
    "A return code is valid for 14 days.",
)
CHINESE = Exchange(
    "东西买回来不喜欢，多少天之内可以退？",
    "30 天内",
    "zh-returns.md",
    "商品签收后 30 天内可以申请退货。",
)
REFUND = Exchange(
    PAYPAL, "2–4 business days", "en-refunds.md", "To PayPal it takes 2–4 business days."
)
FOLLOW_UP = Exchange(
    "And to a Visa card?",
    "5–10 business days",
    "en-refunds.md",
    "To Visa or Mastercard it takes 5–10 business days.",
    (Turn("user", PAYPAL), Turn("assistant", REFUND.taught)),
)
EXCHANGES = {"english": ENGLISH, "chinese": CHINESE, "table": REFUND, "follow-up": FOLLOW_UP}
UNANSWERABLE = "Who won the football world cup in 1998?"
UNKNOWING = "I do not know."

ORDER = "Where is order A-1007?"
STATUS = get_order_status("A-1007")
AFTERWARDS = "Your order A-1007 was handed to the carrier."
CALLED = (
    '<tool_call>\n{"name": "get_order_status", "arguments": {"order_id": "A-1007"}}\n</tool_call>'
)
TOOL: dict[str, Any] = {
    "name": "get_order_status",
    "python": f"{get_order_status.__module__}:get_order_status",
    "effect": "read",
    "examples": ["Where is my order?", "Has order A-1 been sent?"],
    "reply": {"en": "Order {order_id} was {status}."},
}
"""Its name says what it is; it runs in the process of the agent."""


def lessons() -> list[Lesson]:
    """Return the same conversations as lessons for a model with function calling."""
    spec = PythonTool(ToolConfig.model_validate(TOOL), get_order_status).spec
    call = ToolCall("call_1", spec.name, {"order_id": "A-1007"})

    def lesson(said: str, *turns: Turn) -> Lesson:
        prompt = Prompt(
            instructions=SYSTEM,
            turns=turns,
            text="",
            question=Question("", "", "en"),
            evidence=None,
            tools=(spec,),
        )
        return messages(prompt, decoded=True), tools(prompt), said

    order = Turn("user", ORDER)
    result = Turn("tool", as_text(STATUS), tool_call_id=call.id)
    return [
        *(
            lesson(each.taught, *each.before, Turn("user", each.asked))
            for each in EXCHANGES.values()
        ),
        lesson(UNKNOWING, Turn("user", UNANSWERABLE)),
        lesson(CALLED, order),
        lesson(AFTERWARDS, order, Turn("assistant", "", (call,)), result),
    ]
