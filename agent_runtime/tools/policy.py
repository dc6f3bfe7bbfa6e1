"""Who may use a tool, by `access` in the configuration, and by several who all have to agree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agent_runtime.config import AccessConfig, ToolConfig
from agent_runtime.domain import Principal
from agent_runtime.ports import Authorizer

log = logging.getLogger(__name__)

DECISION_SECONDS = 5.0
"""Whoever takes longer to decide has said no."""


class AccessPolicy:
    """Decides by each tool's `access`. A tool that is not configured is nobody's."""

    def __init__(self, tools: Sequence[ToolConfig]) -> None:
        self._access = {tool.name: tool.access for tool in tools}

    async def allowed(self, caller: Principal, tool: str) -> bool:
        return tool in self._access and granted(self._access[tool], caller)


def granted(access: AccessConfig | None, caller: Principal) -> bool:
    """Tell whether a rule lets somebody in. Without a rule everybody may."""
    if access is None:
        return True
    if caller.anonymous:
        return False
    return (
        access.authenticated
        or caller.user in access.users
        or not set(access.groups).isdisjoint(caller.groups)
    )


class AllOf:
    """Allows what every one of them allows. An error or no answer is a no."""

    def __init__(
        self, authorizers: Sequence[Authorizer], seconds: float = DECISION_SECONDS
    ) -> None:
        self._authorizers = tuple(authorizers)
        self._seconds = seconds

    async def allowed(self, caller: Principal, tool: str) -> bool:
        for authorizer in self._authorizers:
            if not await self._agrees(authorizer, caller, tool):
                return False
        return bool(self._authorizers)

    async def _agrees(self, authorizer: Authorizer, caller: Principal, tool: str) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                return await authorizer.allowed(caller, tool) is True
        except Exception as error:  # no answer means no, whatever the reason
            log.warning("nobody decided on tool %s: %s", tool, type(error).__name__)
            return False
