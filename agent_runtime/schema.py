"""JSON Schemas of the configuration and of the messages between the parts of the pipeline."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from agent_runtime import domain
from agent_runtime.config import AgentConfig

MESSAGES: dict[str, Any] = {
    "Request": domain.Request,
    "Session": domain.Session,
    "Question": domain.Question,
    "Evidence": domain.Evidence,
    "ToolSpec": domain.ToolSpec,
    "ToolCall": domain.ToolCall,
    "ToolResult": domain.ToolResult,
    "Prompt": domain.Prompt,
    "Event": domain.Event,
    "Answer": domain.Answer,
}
"""In the order in which they come up in a turn."""


def schemas(only: str | None = None) -> dict[str, Any]:
    """Return one schema, or all by name. Raises KeyError for a name that there is none of."""
    if only is not None:
        return _all()[only]
    return _all()


def _all() -> dict[str, Any]:
    messages = {name: TypeAdapter(kind).json_schema() for name, kind in MESSAGES.items()}
    return {"AgentConfig": AgentConfig.model_json_schema(by_alias=True), **messages}
