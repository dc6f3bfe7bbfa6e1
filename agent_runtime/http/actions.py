"""What the agent did with its tools in a turn, and what it waits for."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from agent_runtime.domain import Json, Pending, ToolResult

Status = Literal["completed", "requires_action"]


class Approvable(TypedDict):
    """A call that waits for the user's approval."""

    id: str
    tool: str
    arguments: dict[str, Json]


class RequiredAction(TypedDict):
    """What the user has to do before the agent goes on."""

    type: Literal["approve_tool_call", "provide_arguments"]
    approval: NotRequired[Approvable]
    """For `approve_tool_call`."""
    tool: NotRequired[str]
    """For `provide_arguments`: which tool needs them."""
    missing: NotRequired[list[str]]
    """For `provide_arguments`: what the next message has to tell."""


class AgentToolResult(TypedDict):
    """What came of a call that the agent made itself."""

    id: str
    tool: str
    arguments: dict[str, Json]
    status: Literal["ok", "error", "denied"]
    content: Json
    seconds: float


def required(pending: Pending | None) -> RequiredAction | None:
    """Return what a turn waits for."""
    if pending is None:
        return None
    call = pending.call
    if pending.missing:
        return {
            "type": "provide_arguments",
            "tool": call.name,
            "missing": list(pending.missing),
        }
    approval: Approvable = {
        "id": pending.id,
        "tool": call.name,
        "arguments": dict(call.arguments),
    }
    return {"type": "approve_tool_call", "approval": approval}


def status_of(pending: Pending | None) -> Status:
    """Return whether the turn is over."""
    return "completed" if pending is None else "requires_action"


def result(done: ToolResult) -> AgentToolResult:
    """Return a tool's result."""
    return {
        "id": done.call.id,
        "tool": done.call.name,
        "arguments": dict(done.call.arguments),
        "status": done.status,
        "content": done.content,
        "seconds": round(done.seconds, 4),
    }
