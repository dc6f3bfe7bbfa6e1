"""What the agent can do besides answering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent_runtime.config.base import ConfigModel, EnvName, HttpUrl, JsonObject, PythonName

Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=100)
]
ReplyTemplate = Annotated[str, Field(min_length=1, max_length=1000)]


class HttpTool(ConfigModel):
    """An operation of an HTTP API."""

    openapi: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """URL or file of an OpenAPI document. `operationId` names the operation in it; description and
    parameters come from there unless they are given."""

    operation_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The operation. Absent: the one that is named like the tool."""

    url: HttpUrl | None = None
    """Without an OpenAPI document: the URL, with `{parameter}` in its path. With one: the server,
    where the document's own is not the right one."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """Without an OpenAPI document: the method. Parameters that are not in the path go into the
    query, or into a JSON body for POST, PUT and PATCH."""

    bearer_env: EnvName | None = None
    """Environment variable with a bearer token for the API."""

    forward_user: bool = False
    """Send the caller's own bearer token on to the API."""


class McpTool(ConfigModel):
    """A tool of an MCP server."""

    url: HttpUrl | None = None
    """A server that speaks streamable HTTP."""

    command: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    """A server that is started and spoken to over standard input and output."""

    env: Annotated[tuple[EnvName, ...], Field(max_length=100)] = ()
    """Environment variables that the command gets, besides PATH, HOME and the like."""

    tool: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Its name there. Absent: as here."""

    bearer_env: EnvName | None = None
    """Environment variable with a bearer token for the server."""


class AccessConfig(ConfigModel):
    """Who may use a tool. Nobody who is not named here may."""

    authenticated: bool = False
    """Everybody who has shown who they are."""

    users: Names = ()
    """These users."""

    groups: Names = ()
    """Members of any of these groups."""


class ToolConfig(ConfigModel):
    """Something that the agent can do. It comes from exactly one of `http`, `mcp` and `python`; a
    tool with only a name is the Python entry point of that name in the group
    `agent_runtime.tools`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
    """Name of the tool, as a model sees it."""

    description: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    """What it does, for whoever chooses among tools. Absent: its origin says it."""

    parameters: JsonObject | None = None
    """JSON Schema of its arguments, an object. Absent: its origin says it."""

    examples: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...], Field(max_length=100)
    ] = ()
    """Requests that it serves, for choosing it by meaning where a model cannot call functions."""

    effect: Literal["read", "write"] = "write"
    """`write` changes something in the world and needs the user's approval once text of documents
    is in the context."""

    access: AccessConfig | None = None
    """Who may use it. Absent: everybody who may use the agent."""

    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """How long a call may take, in seconds."""

    reply: Annotated[dict[str, ReplyTemplate], Field(max_length=20)] = {}
    """How a result is said by a generator that cannot phrase one: for each language (ISO 639-1) a
    sentence with the result's fields in braces, such as `Order {order_id} is {status}.` Absent:
    its fields, line by line."""

    http: HttpTool | None = None
    """An operation of an HTTP API."""

    mcp: McpTool | None = None
    """A tool of an MCP server."""

    python: PythonName | None = None
    """A Python function of the image, `package.module:name`."""

    @model_validator(mode="after")
    def _one_origin(self) -> ToolConfig:
        origins = [name for name in ("http", "mcp", "python") if getattr(self, name) is not None]
        if len(origins) > 1:
            raise ValueError(f"{' and '.join(origins)} exclude each other")
        if self.http and not (self.http.openapi or self.http.url):
            raise ValueError("http: openapi or url is needed")
        if self.mcp and bool(self.mcp.url) == bool(self.mcp.command):
            raise ValueError("mcp: either url or command is needed")
        return self


class ToolCallsConfig(ConfigModel):
    """Limits on what one turn may do with tools."""

    max_calls: Annotated[int, Field(ge=1, le=50)] = 6
    """Most calls in one turn."""

    max_rounds: Annotated[int, Field(ge=1, le=20)] = 4
    """How often a model may look at results and ask for more calls in one turn."""

    max_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """How long all calls of a turn may take together, in seconds."""

    max_result_bytes: Annotated[int, Field(ge=256, le=1_048_576)] = 16_384
    """Longest result that is kept, in bytes of JSON. What is longer is cut and says so."""

    min_score: Annotated[float, Field(ge=0, le=1)] = 0.45
    """Lowest likeness of a question to a tool for choosing it by meaning."""
