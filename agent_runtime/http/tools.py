"""GET /v1/tools: what the agent can do for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from fastapi import APIRouter, Request
from fastapi.responses import Response
from typing_extensions import TypedDict

from agent_runtime.domain import Json, Principal, ToolSpec, Turn
from agent_runtime.http.access import principal_of
from agent_runtime.http.openapi import gives
from agent_runtime.http.wire import reply


class Tool(TypedDict):
    """A tool of the agent."""

    object: Literal["tool"]
    name: str
    description: str
    parameters: dict[str, Json]
    """JSON Schema of its arguments."""
    effect: Literal["read", "write"]
    requires_approval: bool
    """The user is asked first, once text of documents is in the context."""


class ToolList(TypedDict):
    """The tools that the caller may use."""

    object: Literal["list"]
    data: list[Tool]


class Toolbox(Protocol):
    """The agent's tools."""

    async def visible(self, caller: Principal) -> tuple[ToolSpec, ...]: ...

    async def readable(self, turns: Sequence[Turn], caller: Principal) -> tuple[Turn, ...]: ...


class Tools:
    """The endpoint of tools."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    def install(self, router: APIRouter) -> None:
        """Add the route."""
        router.add_api_route(
            "/v1/tools", self.list, tags=["Tools"], summary="List the tools",
            response_model=None, responses=gives(ToolList),
        )  # fmt: skip

    async def list(self, request: Request) -> Response:
        """A tool that the caller may not use is not there."""
        specs = await self._toolbox.visible(principal_of(request))
        found: ToolList = {"object": "list", "data": [shown(spec) for spec in specs]}
        return reply(found)


def shown(spec: ToolSpec) -> Tool:
    """Return a tool as a client sees it."""
    return {
        "object": "tool",
        "name": spec.name,
        "description": spec.description,
        "parameters": dict(spec.parameters),
        "effect": spec.effect,
        "requires_approval": spec.effect == "write",
    }
