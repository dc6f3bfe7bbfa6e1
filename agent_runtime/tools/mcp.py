"""Tools of MCP servers, by the official SDK: streamable HTTP, or a command on stdin and stdout.

One session for each server stays open; calls run in it side by side. It is opened anew after the
server was away.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

import httpx2
from mcp import MCPError, StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CONNECTION_CLOSED, CallToolResult, TextContent
from mcp.types import Tool as Described
from pydantic import ValidationError

from agent_runtime.config import McpTool, ToolConfig
from agent_runtime.domain import Json, Principal, ToolSpec
from agent_runtime.errors import ToolFailedError
from agent_runtime.tools.late import Origin, reason
from agent_runtime.tools.schema import inlined

CONNECT_SECONDS = 15.0
RELIST_SECONDS = 60.0
MOST_PAGES = 100
SESSION_GONE = "Session terminated"
"""What the SDK says where the server does not know the session, and so has not taken the call."""


class McpServer(Origin):
    """A session with a server."""

    def __init__(self, mcp: McpTool, bearer: str | None) -> None:
        super().__init__(mcp.url or " ".join(mcp.command))
        self._mcp = mcp
        self._bearer = bearer
        self._client: Client | None = None
        self._ended = asyncio.Event()
        self.tools: Mapping[str, Described] = {}
        """What the server offers, as it last said."""

    async def attend(self) -> None:
        """Hold the session open until it is lost. The SDK wants one task to open and close it."""
        headers = {"Authorization": f"Bearer {self._bearer}"} if self._bearer else {}
        # Calls have time limits of their own, and one that is slow must not end the session.
        timeout = httpx2.Timeout(CONNECT_SECONDS, read=None)
        self._ended.clear()
        try:
            async with (
                httpx2.AsyncClient(headers=headers, timeout=timeout) as http,
                asyncio.timeout(CONNECT_SECONDS) as limit,
                self._opened(http) as client,
            ):
                self.tools = await _listed(client)
                limit.reschedule(None)
                self._client = client
                self.settle(None)
                await self._watch(client)
        except TimeoutError as error:
            raise ToolFailedError("the MCP server does not answer in time") from error
        finally:
            self._client = None
        raise ToolFailedError("the session with the MCP server ended")

    async def _watch(self, client: Client) -> None:
        """Look now and then what the server offers, which also tells whether it is there."""
        while not self._ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(RELIST_SECONDS):
                    await self._ended.wait()
                    return
            async with asyncio.timeout(CONNECT_SECONDS):
                self.tools = await _listed(client)

    def _opened(self, http: httpx2.AsyncClient) -> Client:
        if self._mcp.url:
            return Client(streamable_http_client(self._mcp.url, http_client=http), cache=None)
        command, *arguments = self._mcp.command
        handed_on = {name: os.environ[name] for name in self._mcp.env if name in os.environ}
        server = StdioServerParameters(command=command, args=arguments, env=handed_on)
        return Client(stdio_client(server), cache=None)

    async def call(self, tool: str, arguments: Mapping[str, Json], repeat: bool) -> CallToolResult:
        """Call a tool. `repeat`: it may be called once more where the connection broke.

        Raises ToolFailedError.
        """
        for attempt in (1, 2):
            if not await self.up(CONNECT_SECONDS) or (client := self._client) is None:
                break
            try:
                return await client.call_tool(tool, dict(arguments))
            except MCPError as error:
                never_taken = error.message == SESSION_GONE
                if error.code != CONNECTION_CLOSED and not never_taken:
                    raise ToolFailedError(error.message) from error
                self._lose(client)
                if attempt == 2 or not (repeat or never_taken):
                    break
            except (RuntimeError, ValidationError) as error:
                raise ToolFailedError(f"the MCP server failed: {reason(error)}") from error
        raise ToolFailedError("the MCP server does not answer")

    def _lose(self, client: Client) -> None:
        if self._client is client:
            self.settle("the connection to the MCP server broke")
            self._client = None
            self._ended.set()


class McpServerTool:
    """One of a server's tools."""

    def __init__(self, config: ToolConfig, mcp: McpTool, server: McpServer) -> None:
        self._config = config
        self._name = mcp.tool or config.name
        self._server = server

    @property
    def problem(self) -> str | None:
        """Why it cannot be offered. What was offered once stays so while the server is away."""
        if self._name in self._server.tools:
            return None
        return self._server.problem or f"the MCP server has no tool {self._name!r}"

    @property
    def spec(self) -> ToolSpec:
        described = self._server.tools.get(self._name)
        config = self._config
        schema = described.input_schema if described else {"type": "object"}
        return ToolSpec(
            config.name,
            config.description or (described and described.description) or config.name,
            config.parameters or cast(Mapping[str, Json], inlined(schema)),
            config.effect,
            config.examples,
        )

    async def call(self, arguments: Mapping[str, Json], caller: Principal) -> Json:
        repeat = self._config.effect == "read"
        result = await self._server.call(self._name, arguments, repeat)
        if result.is_error:
            raise ToolFailedError(_text(result) or "the tool says that it failed, but not why")
        return _content(result)


async def _listed(client: Client) -> dict[str, Described]:
    found: dict[str, Described] = {}
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found |= {tool.name: tool for tool in page.tools}
        if (cursor := page.next_cursor) is None:
            break
    return found


def _content(result: CallToolResult) -> Json:
    """Return what is structured, else the text, else what kinds of content there were."""
    structured = result.structured_content
    if structured is not None:
        # How the SDK's servers wrap what is no object.
        return structured["result"] if set(structured) == {"result"} else structured
    return _text(result) or {"content": [each.type for each in result.content]}


def _text(result: CallToolResult) -> str:
    return "\n".join(each.text for each in result.content if isinstance(each, TextContent))
