"""The order system, and servers that behave badly, as real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from typing import Any

import pytest
import uvicorn

from agent_runtime.config import ToolConfig
from agent_runtime.ports import Tool
from agent_runtime.tools.origins import Origins
from tests.contract.runtime.orders.conftest import starting as starting  # a fixture
from tests.ports import free_port

SECONDS = 60.0


class Quiet(uvicorn.Server):
    """A server that leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Served:
    """An ASGI application on a port of its own, to be stopped and started again."""

    def __init__(self, app: Callable[[], Any]) -> None:
        self._app = app
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=self.port, log_level="error", ws="none"
        )
        self._server = Quiet(config)
        self._task = asyncio.create_task(self._server.serve())
        await until(lambda: self._server is not None and self._server.started)

    async def stop(self) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = self._server.force_exit = True
            await self._task
            self._server = None


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - what is awaited is somebody else's
            await asyncio.sleep(0.01)


def problem(tool: Tool) -> str | None:
    """Why a tool is not offered."""
    return getattr(tool, "problem")  # noqa: B009 - tools of one's own need not have it


@pytest.fixture
async def serving() -> AsyncIterator[Callable[[Callable[[], Any]], Served]]:
    """Serve applications; they end with the test."""
    servers: list[Served] = []

    def serve(app: Callable[[], Any]) -> Served:
        servers.append(Served(app))
        return servers[-1]

    yield serve
    for server in servers:
        await server.stop()


@pytest.fixture
async def originating() -> AsyncIterator[Callable[..., Awaitable[Origins]]]:
    """Make tools from their configuration, and start what describes them."""
    made: list[Origins] = []

    async def make(
        *configs: dict[str, Any], environment: dict[str, str] | None = None, patience: float = 30.0
    ) -> Origins:
        parsed: Sequence[ToolConfig] = [ToolConfig.model_validate(each) for each in configs]
        made.append(Origins(parsed, environment or {}))
        await made[-1].start(patience)
        return made[-1]

    yield make
    for each in made:
        await each.close()
