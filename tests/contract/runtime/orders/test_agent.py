"""The example's agent.yaml and entry points name what the order system really offers."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from mcp.client.client import Client

from agent_runtime.config import load
from tests.contract.runtime.orders.conftest import ORDERS, Orders


@pytest.fixture
def operations(http: httpx.Client) -> set[str]:
    """Names of the operations in the OpenAPI document."""
    paths = http.get("/openapi.json").json()["paths"]
    return {operation["operationId"] for path in paths.values() for operation in path.values()}


async def test_each_tool_is_found_where_the_agent_looks_for_it(
    starting: Callable[..., Orders], operations: set[str], tools: Any
) -> None:
    named = {tool.name: tool for tool in load(ORDERS / "agent.yaml").tools}
    assert named.keys() == {"get_order_status", "list_orders", "create_ticket"}
    assert named["get_order_status"].http is not None
    assert "get_order_status" in operations
    assert named["list_orders"].mcp is not None
    async with Client(f"{starting('orders.mcp_server').base}/mcp") as client:
        assert "list_orders" in {tool.name for tool in (await client.list_tools()).tools}
    assert named["create_ticket"].python == f"{tools.__name__}:{tools.create_ticket.__name__}"


def test_entry_points_name_functions(tools: Any) -> None:
    project = tomllib.loads((ORDERS / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["agent_runtime.tools"]
    assert set(points) == {"get_order_status", "create_ticket"}
    for name, place in points.items():
        module, _, function = place.partition(":")
        assert getattr(importlib.import_module(module), function) is getattr(tools, name)
