"""Turns and tools to test with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent_runtime.config import ToolCallsConfig, ToolConfig
from agent_runtime.domain import (
    NOBODY,
    Evidence,
    Json,
    Passage,
    Principal,
    Question,
    Request,
    Session,
    State,
    ToolSpec,
    Turn,
)
from agent_runtime.ports import Authorizer, Tool
from agent_runtime.telemetry import Telemetry
from agent_runtime.tools.policy import AccessPolicy
from agent_runtime.tools.toolbox import Toolbox
from tests.unit.runtime.fakes import indexed


class Recorded:
    """A tool that does what it is told and remembers its calls."""

    def __init__(self, spec: ToolSpec, act: Callable[[Mapping[str, Json]], Any]) -> None:
        self.spec = spec
        self.problem: str | None = None
        self.calls: list[dict[str, Json]] = []
        self._act = act

    async def call(self, arguments: Mapping[str, Json], caller: Principal) -> Json:
        self.calls.append(dict(arguments))
        result = self._act(arguments)
        return await result if asyncio.iscoroutine(result) else result


def recorded(
    name: str, act: Callable[[Mapping[str, Json]], Any] = lambda _: {"done": True}, **spec: Any
) -> Recorded:
    parameters: dict[str, Any] = {
        "type": "object", "properties": {"order_id": {"type": "string"}},
    }  # fmt: skip
    return Recorded(ToolSpec(name, name, spec.pop("parameters", parameters), **spec), act)


def state_of(
    text: str = "Where is A1001?",
    *,
    passages: bool = False,
    caller: Principal = NOBODY,
    session: Session | None = None,
    history: tuple[Turn, ...] = (),
    language: str = "en",
    **request: Any,
) -> State:
    """A turn after retrieval."""
    turns = (*history, Turn("user", text))
    found = [Passage(indexed("Lamps are returned within 30 days."), 1.0)] if passages else []
    return State(
        Request(turns, "c", caller, **request),
        Question(text, text, language, history),
        session,
        Evidence(text, np.zeros(4, np.float32), True, {}, found),
    )


def with_results(state: State, *results: Any) -> State:
    return replace(state, results=tuple(results))


@pytest.fixture
def boxed() -> Callable[..., Toolbox]:
    """Make a toolbox of tools that are everybody's unless a config says otherwise."""

    def make(
        *tools: Tool,
        configs: Sequence[ToolConfig] = (),
        authorizer: Authorizer | None = None,
        telemetry: Telemetry | None = None,
        **limits: Any,
    ) -> Toolbox:
        named = {config.name: config for config in configs}
        all_configs = [named.get(tool.spec.name, ToolConfig(name=tool.spec.name)) for tool in tools]
        policy = authorizer or AccessPolicy(all_configs)
        return Toolbox(tools, policy, ToolCallsConfig(**limits), all_configs, telemetry)

    return make
