"""A prompt as OpenAI's API and chat templates write it: messages and function declarations."""

from __future__ import annotations

import json
from typing import Any

from agent_runtime.domain import Prompt, ToolCall, ToolSpec, Turn

Message = dict[str, Any]


def messages(prompt: Prompt, decoded: bool = False) -> list[Message]:
    """Return the instructions and the turns, oldest first.

    Args:
        prompt: what the generator gets.
        decoded: arguments of calls as objects, as chat templates want them, and not as JSON text.
    """
    system = [{"role": "system", "content": prompt.instructions}] if prompt.instructions else []
    return system + [_message(turn, decoded) for turn in prompt.turns]


def tools(prompt: Prompt) -> list[Message]:
    """Return the functions that may be called. With a tool named in `tool_choice`, it alone."""
    if prompt.tool_choice == "none":
        return []
    named = [tool for tool in prompt.tools if tool.name == prompt.tool_choice]
    return [_function(tool) for tool in named or prompt.tools]


def _message(turn: Turn, decoded: bool) -> Message:
    message: Message = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        message["tool_calls"] = [_call(call, decoded) for call in turn.tool_calls]
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    return message


def _call(call: ToolCall, decoded: bool) -> Message:
    arguments = dict(call.arguments)
    text = arguments if decoded else json.dumps(arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _function(tool: ToolSpec) -> Message:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
    }
