"""The order system as an MCP server, asked by the official SDK's client."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.types import CallToolResult, TextContent

from tests.contract.runtime.orders.conftest import ORDERS, TODAY, TOKEN, Orders

ASKED = {
    "subject": "Late sofa",
    "description": "It should have come yesterday.",
    "customer_email": "liam.wilson@example.com",
    "order_id": "HG1000000009",
}


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def use_both_tools(client: Client) -> str:
    """Ask for an order, be refused for another, file a ticket and return its number."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools["get_order_status"].annotations is not None
    assert tools["get_order_status"].annotations.read_only_hint
    assert tools["create_ticket"].annotations is not None
    assert not tools["create_ticket"].annotations.read_only_hint
    required = {"subject", "description", "customer_email"}
    assert set(tools["create_ticket"].input_schema["required"]) == required

    found = await client.call_tool("get_order_status", {"order_id": "HG1000000009"})
    assert found.structured_content["carrier"] == "Hazelgrid delivery crew"
    missing = await client.call_tool("get_order_status", {"order_id": "HG9999999999"})
    assert missing.is_error
    assert "there is no order 'HG9999999999'" in text(missing)
    wrong = await client.call_tool("create_ticket", {**ASKED, "priority": "soon"})
    assert wrong.is_error
    assert "priority" in text(wrong)
    filed = await client.call_tool("create_ticket", ASKED)
    assert not filed.is_error
    return filed.structured_content["ticket_id"]


async def test_over_http_on_the_same_database(starting: Callable[..., Orders]) -> None:
    server, orders = starting("orders.mcp_server"), starting()
    async with Client(f"{server.base}/mcp") as client:
        number = await use_both_tools(client)
    async with httpx.AsyncClient() as client:
        filed = await client.get(f"{orders.base}/tickets/{number}")
    assert filed.json()["subject"] == "Late sofa"


async def test_on_stdio(tmp_path: Path) -> None:
    database = str(tmp_path / "orders.db")
    flags = ["-m", "orders.mcp_server", "--stdio", "--database", database, "--today", TODAY]
    environment = {"PYTHONPATH": str(ORDERS)}
    started = StdioServerParameters(command=sys.executable, args=flags, env=environment)
    async with Client(started) as client:
        assert await use_both_tools(client) == "T-000001"


def test_with_a_token_nobody_else_is_answered(starting: Callable[..., Orders]) -> None:
    server = starting("orders.mcp_server", token=TOKEN)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert httpx.post(f"{server.base}/mcp", json=body).status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json, text/event-stream"}
    assert httpx.post(f"{server.base}/mcp", json=body, headers=headers).status_code != 401
