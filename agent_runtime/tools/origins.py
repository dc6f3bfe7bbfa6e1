"""Makes tools from their configuration and keeps what they share: one HTTP client, one session for
each MCP server, one copy of each OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from agent_runtime.config import HttpTool, McpTool, ToolConfig
from agent_runtime.errors import InvalidConfigError
from agent_runtime.ports import Tool
from agent_runtime.tools.http import HttpOperation, OpenApiDocument, read_document
from agent_runtime.tools.late import Origin
from agent_runtime.tools.mcp import McpServer, McpServerTool
from agent_runtime.tools.python import PythonTool, function_of
from agent_runtime.tools.schema import validator

PATIENCE = 5.0
"""Seconds that a start waits for what describes its tools."""


class Origins:
    """Where the tools of an agent come from. Close it with the agent."""

    def __init__(self, configs: Sequence[ToolConfig], environment: Mapping[str, str]) -> None:
        """Make the tools.

        Raises:
            InvalidConfigError: one of them cannot be; the message names it.
        """
        self._environment = environment
        # One client calls for all users: what an API sets for one must not be sent for another.
        none_kept = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        timeout = httpx.Timeout(None, connect=10.0)
        self._client = httpx.AsyncClient(timeout=timeout, cookies=none_kept)
        self._shared: dict[object, Origin] = {}
        self.tools: tuple[Tool, ...] = tuple(
            self._named(index, config) for index, config in enumerate(configs)
        )

    async def start(self, patience: float = PATIENCE) -> None:
        """Ask those that describe the tools, all at once. What does not answer is asked again."""
        await asyncio.gather(*(each.start(patience) for each in self._shared.values()))

    async def close(self) -> None:
        """End all sessions and connections."""
        await asyncio.gather(*(each.close() for each in self._shared.values()))
        await self._client.aclose()

    def _named(self, index: int, config: ToolConfig) -> Tool:
        try:
            if config.parameters is not None:
                validator(config.parameters)
            return self._made(config)
        except InvalidConfigError as error:
            raise InvalidConfigError(f"pipeline.tools[{index}] ({config.name}): {error}") from error

    def _made(self, config: ToolConfig) -> Tool:
        if config.http is not None:
            return self._http(config, config.http)
        if config.mcp is not None:
            return self._mcp(config, config.mcp)
        return PythonTool(config, function_of(config))

    def _http(self, config: ToolConfig, http: HttpTool) -> Tool:
        secret = self._secret(http.bearer_env, "http.bearerEnv")
        tool = HttpOperation(config, http, self._client, secret)
        if http.openapi is None:
            return tool
        if not http.openapi.startswith(("http://", "https://")):
            tool.learn(read_document(http.openapi), http.openapi)
            if tool.problem is not None:
                raise InvalidConfigError(f"http.openapi: {http.openapi}: {tool.problem}")
            return tool
        document = self._shared.setdefault(
            http.openapi, OpenApiDocument(http.openapi, self._client)
        )
        assert isinstance(document, OpenApiDocument)  # noqa: S101 - by its key
        document.serve(tool)
        return tool

    def _mcp(self, config: ToolConfig, mcp: McpTool) -> Tool:
        secret = self._secret(mcp.bearer_env, "mcp.bearerEnv")
        key = (mcp.url, mcp.command, mcp.env, secret)
        server = self._shared.setdefault(key, McpServer(mcp, secret))
        assert isinstance(server, McpServer)  # noqa: S101 - by its key
        return McpServerTool(config, mcp, server)

    def _secret(self, name: str | None, field: str) -> str | None:
        if name is None:
            return None
        if not (secret := self._environment.get(name, "").strip()):
            raise InvalidConfigError(f"{field}: environment variable {name} is not set")
        return secret
