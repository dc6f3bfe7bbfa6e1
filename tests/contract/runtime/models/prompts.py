"""Prompts and configurations for tests of generators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from agent_runtime.config.llm import LLMConfig
from agent_runtime.domain import (
    Answer,
    Event,
    Finish,
    Piece,
    Prompt,
    Question,
    Sampling,
    ToolCall,
    ToolSpec,
    Turn,
    whole,
)
from agent_runtime.models.generators.messages import messages, tools

ORDER_STATUS = ToolSpec(
    "get_order_status",
    "Say where an order is.",
    {
        "type": "object",
        "properties": {"order_id": {"type": "string"}},
        "required": ["order_id"],
    },
)


def prompt(
    text: str,
    *,
    instructions: str = "",
    before: Sequence[Turn] = (),
    functions: tuple[ToolSpec, ...] = (),
    tool_choice: str = "auto",
    **sampling: Any,
) -> Prompt:
    return Prompt(
        instructions=instructions,
        turns=(*before, Turn("user", text)),
        text=text,
        question=Question(text, text, "en"),
        evidence=None,
        tools=functions,
        tool_choice=tool_choice,
        sampling=Sampling(**sampling),
    )


def llm(model: str, **fields: Any) -> LLMConfig:
    return LLMConfig.model_validate({"model": model, **fields})


async def answer(events: AsyncIterator[Piece | ToolCall | Finish]) -> Answer:
    """Read a reply to its end, which has to be a Finish."""
    seen: list[Event] = []

    async def noted() -> AsyncIterator[Event]:
        async for event in events:
            seen.append(event)
            yield event

    reply = await whole(noted())
    assert isinstance(seen[-1], Finish)
    assert sum(isinstance(event, Finish) for event in seen) == 1
    assert all(event.text for event in seen if isinstance(event, Piece))
    return reply


_QUESTION = "Where is order A-1007?"
_CALL = ToolCall("call_1", "get_order_status", {"order_id": "A-1007"})
AFTER_THE_CALL = Prompt(
    instructions="",
    turns=(
        Turn("user", _QUESTION),
        Turn("assistant", "", (_CALL,)),
        Turn("tool", '{"status": "shipped"}', (), _CALL.id),
    ),
    text="",
    question=Question(_QUESTION, _QUESTION, "en"),
    evidence=None,
    tools=(ORDER_STATUS,),
)
FUNCTIONS = tools(AFTER_THE_CALL)
TOOL_TURNS = messages(AFTER_THE_CALL, decoded=True)
