"""MCP tools against servers made with the official SDK."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from agent_runtime.domain import NOBODY
from agent_runtime.errors import ToolFailedError
from agent_runtime.tools import late, mcp
from agent_runtime.tools.origins import Origins
from tests.contract.runtime.orders.conftest import ORDERS, TODAY, TOKEN, Orders
from tests.contract.runtime.tools.conftest import Served, problem, until

Originating = Callable[..., Awaitable[Origins]]
Serving = Callable[[Callable[[], Any]], Served]
TOGETHER = 8
"""Calls that a tool waits for before it answers any."""


@pytest.fixture(params=["sessions", "stateless", "json"])
async def desk(request: pytest.FixtureRequest, serving: Serving) -> Served:
    """A server with a session for each client, without sessions, or with plain JSON."""

    def app() -> Any:
        server: MCPServer = MCPServer("desk", log_level="CRITICAL")
        together = asyncio.Barrier(TOGETHER)

        @server.tool()
        def add(left: int, right: int) -> int:
            """Add two numbers."""
            return left + right

        @server.tool()
        async def wait(seconds: float) -> str:
            await asyncio.sleep(seconds)
            return "done"

        @server.tool()
        async def meet() -> str:
            await together.wait()
            return "met"

        @server.tool(structured_output=False)
        def say() -> str:
            return "hello"

        @server.tool()
        def refuse() -> str:
            raise ToolError("the desk is closed")

        return server.streamable_http_app(
            stateless_http=request.param != "sessions", json_response=request.param == "json"
        )

    served = serving(app)
    await served.start()
    return served


def tools_of(base: str, *names: str, **mcp: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "effect": "read", "mcp": {"url": f"{base}/mcp", **mcp}} for name in names
    ]


async def test_tools_of_a_server(desk: Served, originating: Originating) -> None:
    origins = await originating(
        *tools_of(desk.base, "add", "say", "refuse", "absent"),
        {"name": "plus", "mcp": {"url": f"{desk.base}/mcp", "tool": "add"}},
    )
    add, say, refuse, absent, plus = origins.tools
    assert add.spec.description == "Add two numbers."
    assert add.spec.parameters["properties"]["left"]["type"] == "integer"
    assert await add.call({"left": 2, "right": 3}, NOBODY) == 5
    assert await plus.call({"left": 2, "right": 4}, NOBODY) == 6
    assert await say.call({}, NOBODY) == "hello"
    with pytest.raises(ToolFailedError, match="the desk is closed"):
        await refuse.call({}, NOBODY)
    assert problem(absent) == "the MCP server has no tool 'absent'"
    assert problem(add) is None


async def test_calls_run_side_by_side_and_end_when_nobody_waits(
    desk: Served, originating: Originating
) -> None:
    wait, meet, add = (await originating(*tools_of(desk.base, "wait", "meet", "add"))).tools
    slow = asyncio.create_task(wait.call({"seconds": 600}, NOBODY))
    async with asyncio.timeout(60):
        some = [meet.call({}, NOBODY) for _ in range(TOGETHER)]
        assert await asyncio.gather(*some) == ["met"] * TOGETHER
    assert not slow.done()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slow, 0.1)
    assert await add.call({"left": 1, "right": 1}, NOBODY) == 2


async def test_a_server_that_was_away_is_found_again(
    desk: Served, originating: Originating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "CONNECT_SECONDS", 600.0)  # nobody waits for them
    (add,) = (await originating(*tools_of(desk.base, "add"))).tools
    numbers = {"left": 1, "right": 2}
    assert await add.call(numbers, NOBODY) == 3
    await desk.stop()
    async with asyncio.timeout(60):
        with pytest.raises(ToolFailedError, match="does not answer"):
            await add.call(numbers, NOBODY)
    assert problem(add) is None
    await desk.start()
    assert await add.call(numbers, NOBODY) == 3


async def test_a_server_that_restarted_between_two_calls(
    desk: Served, originating: Originating
) -> None:
    (add,) = (await originating(*tools_of(desk.base, "add"))).tools
    numbers = {"left": 1, "right": 2}
    for _ in range(2):
        assert await add.call(numbers, NOBODY) == 3
        await desk.stop()
        await desk.start()
    assert await add.call(numbers, NOBODY) == 3


async def test_a_server_that_comes_late_heals_the_tool(
    desk: Served, originating: Originating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(late, "LONGEST_PAUSE", 0.05)
    await desk.stop()
    (add,) = (await originating(*tools_of(desk.base, "add"))).tools
    assert problem(add) is not None
    with pytest.raises(ToolFailedError):
        await add.call({"left": 1, "right": 2}, NOBODY)
    await desk.start()
    await until(lambda: problem(add) is None)
    assert await add.call({"left": 1, "right": 2}, NOBODY) == 3


async def test_the_order_system_over_http_wants_its_token(
    starting: Callable[..., Orders], originating: Originating
) -> None:
    server = starting("orders.mcp_server", token=TOKEN)
    secret = {"bearerEnv": "T"}
    known = tools_of(server.base, "get_order_status", **secret)
    (status,) = (await originating(*known, environment={"T": TOKEN})).tools
    assert (await status.call({"order_id": "hg1000000004"}, NOBODY))["carrier"]
    with pytest.raises(ToolFailedError, match="no order 'HG9'"):
        await status.call({"order_id": "HG9"}, NOBODY)
    (refused,) = (await originating(*known, environment={"T": "wrong"})).tools
    assert problem(refused) is not None


async def test_a_command_is_started_and_started_again(
    tmp_path: Any, originating: Originating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "CONNECT_SECONDS", 600.0)  # its imports take long where much runs
    monkeypatch.setenv("PYTHONPATH", str(ORDERS))
    flags = ["--stdio", "--database", str(tmp_path / "orders.db"), "--today", TODAY]
    command = [sys.executable, "-m", "orders.mcp_server", *flags]
    config = {"name": "get_order_status", "effect": "read",
              "mcp": {"command": command, "env": ["PYTHONPATH"]}}  # fmt: skip
    (status,) = (await originating(config)).tools
    order = {"order_id": "HG1000000001"}
    assert (await status.call(order, NOBODY))["status"] == "dispatched"
    (child,) = [int(pid) for pid in _children() if str(tmp_path) in _command(pid)]
    os.kill(child, signal.SIGKILL)
    async with asyncio.timeout(120):
        assert (await status.call(order, NOBODY))["status"] == "dispatched"


async def test_a_command_that_fails_is_a_problem_of_its_tool(originating: Originating) -> None:
    ends = {"name": "a", "mcp": {"command": [sys.executable, "-c", "pass"]}}
    absent = {"name": "b", "mcp": {"command": ["/absent/program"]}}
    origins = await originating(ends, absent)
    assert all(problem(tool) for tool in origins.tools)


def _children() -> list[str]:
    own = Path(f"/proc/self/task/{Path('/proc/self').resolve().name}/children")
    return own.read_text().split()


def _command(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
