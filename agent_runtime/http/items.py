"""Items of conversations, as OpenAI's responses and conversations have them, and turns."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag

from agent_runtime.domain import Approval, Turn
from agent_runtime.http.fields import Body, Identifier, Short, Text, issued
from agent_runtime.http.functions import arguments_of, call
from agent_runtime.http.wire import encode

Item = dict[str, Any]
"""An item as a client gets it."""


class TextContent(Body):
    """Text of a message that comes in parts. This agent reads nothing but text."""

    type: Literal["input_text", "output_text", "text"]
    text: Text


def _kind(content: Any) -> str:
    return "<parts>" if isinstance(content, list) else "<text>"


ItemContent = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[Annotated[list[TextContent], Field(max_length=1000)], Tag("<parts>")],
    Discriminator(_kind),
]


def text_of(content: str | list[TextContent]) -> str:
    """Return the text of a message."""
    return content if isinstance(content, str) else "\n".join(part.text for part in content)


class MessageItem(Body):
    """A message."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: ItemContent


class FunctionCallItem(Body):
    """A call of a function that the client executes."""

    type: Literal["function_call"]
    call_id: Identifier
    name: Short
    arguments: Text


class FunctionOutputItem(Body):
    """What came of it."""

    type: Literal["function_call_output"]
    call_id: Identifier
    output: ItemContent


class ApprovalRequestItem(Body):
    """A question of the agent's, sent back; the answer is what counts."""

    type: Literal["mcp_approval_request"]


class ApprovalResponseItem(Body):
    """The user's word on a call that waits for it."""

    type: Literal["mcp_approval_response"]
    approval_request_id: Identifier
    approve: bool


class AgentCallItem(Body):
    """A call that the agent made itself, with its result."""

    type: Literal["mcp_call"]
    id: Identifier
    name: Short
    arguments: Text
    output: Text | None = None
    error: Any = None


def _type(item: Any) -> str:
    if isinstance(item, dict):
        return f"<{cast(dict[str, Any], item).get('type', 'message')}>"
    return f"<{getattr(item, 'type', 'message')}>"


InputItem = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[FunctionCallItem, Tag("<function_call>")]
    | Annotated[FunctionOutputItem, Tag("<function_call_output>")]
    | Annotated[ApprovalRequestItem, Tag("<mcp_approval_request>")]
    | Annotated[ApprovalResponseItem, Tag("<mcp_approval_response>")]
    | Annotated[AgentCallItem, Tag("<mcp_call>")],
    Discriminator(_type),
]


def turns_of(items: Sequence[InputItem], place: str) -> tuple[Turn, ...]:
    """Return what was said. Raises InvalidRequestError where arguments are no JSON."""
    turns: list[Turn] = []
    for number, item in enumerate(items):
        at = f"{place}.{number}.arguments"
        match item:
            case MessageItem():
                role = "system" if item.role == "developer" else item.role
                turns.append(Turn(role, text_of(item.content)))
            case FunctionCallItem():
                called = call(item.call_id, item.name, item.arguments, at)
                turns.append(Turn("assistant", "", (called,)))
            case FunctionOutputItem():
                turns.append(Turn("tool", text_of(item.output), tool_call_id=item.call_id))
            case AgentCallItem():
                called = call(item.id, item.name, item.arguments, at)
                said = item.output or (encode(item.error).decode() if item.error else "")
                turns += [Turn("assistant", "", (called,)), Turn("tool", said, (), item.id)]
            case _:
                pass
    return tuple(turns)


def approval_of(items: Sequence[InputItem]) -> Approval | None:
    """Return the user's last word on a call that waits."""
    said = [item for item in items if isinstance(item, ApprovalResponseItem)]
    return Approval(said[-1].approval_request_id, said[-1].approve) if said else None


def kept(item: InputItem) -> Item:
    """Return an item of a request as it is given back, with an id."""
    match item:
        case MessageItem():
            return message(issued("msg"), item.role, text_of(item.content))
        case FunctionOutputItem():
            return output(issued("fco"), item.call_id, text_of(item.output))
        case FunctionCallItem():
            return {"id": issued("fc"), "status": "completed", **item.model_dump()}
        case _:
            return {"id": issued("item"), **item.model_dump()}


def message(id: str, role: str, text: str) -> Item:
    """Return a message as an item."""
    part: Item = {"type": "input_text", "text": text}
    if role == "assistant":
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": id, "type": "message", "role": role, "status": "completed", "content": [part]
    }  # fmt: skip


def output(id: str, call_id: str, text: str) -> Item:
    """Return a function's result as an item."""
    return {
        "id": id, "type": "function_call_output", "call_id": call_id, "output": text,
        "status": "completed",
    }  # fmt: skip


def items_of(turns: Sequence[Turn]) -> list[tuple[int, Item]]:
    """Return turns as items, each with the number of its turn.

    Ids follow from the content, so that an item keeps its own while others come and go.
    """
    seen: Counter[bytes] = Counter()
    items: list[tuple[int, Item]] = []
    for number, turn in enumerate(turns):
        for item in _items(turn):
            content = encode(item)
            seen[content] += 1
            digest = hashlib.sha256(content + b"#%d" % seen[content]).hexdigest()[:32]
            items.append((number, {**item, "id": f"{item['id']}_{digest}"}))
    return items


def _items(turn: Turn) -> list[Item]:
    calls = [
        {
            "id": "fc", "type": "function_call", "call_id": each.id, "name": each.name,
            "arguments": arguments_of(each.arguments), "status": "completed",
        }
        for each in turn.tool_calls
    ]  # fmt: skip
    if turn.role == "tool":
        return [output("fco", turn.tool_call_id or "", turn.content)]
    said = [message("msg", turn.role, turn.content)] if turn.content or not calls else []
    return [*said, *calls]
