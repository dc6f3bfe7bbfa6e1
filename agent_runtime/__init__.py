"""The runtime of a chat agent. `BaseChatAgent` and its steps are the Python API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_runtime.agent import (
        BaseChatAgent,
        DialogueStep,
        LLMStep,
        RetrievalStep,
        ToolCallStep,
    )
    from agent_runtime.config import AgentConfig, ToolConfig
    from agent_runtime.domain import Answer, Citation, Principal, State, Step, Turn

_HOME = {
    **dict.fromkeys(
        ("BaseChatAgent", "DialogueStep", "LLMStep", "RetrievalStep", "ToolCallStep"), "agent"
    ),
    **dict.fromkeys(("AgentConfig", "ToolConfig"), "config"),
    **dict.fromkeys(("Answer", "Citation", "Principal", "State", "Step", "Turn"), "domain"),
}
__all__ = [
    "AgentConfig",
    "Answer",
    "BaseChatAgent",
    "Citation",
    "DialogueStep",
    "LLMStep",
    "Principal",
    "RetrievalStep",
    "State",
    "Step",
    "ToolCallStep",
    "ToolConfig",
    "Turn",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the operator needs nothing but the config."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
