"""Functions that a client brings and executes: the same in chat completions and in responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import orjson
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from pydantic import Discriminator, Tag

from agent_runtime.domain import ToolCall, ToolSpec
from agent_runtime.errors import InvalidConfigError, InvalidRequestError
from agent_runtime.http.fields import Body, FunctionName, Text
from agent_runtime.http.wire import encode
from agent_runtime.tools.schema import inlined

MAX_TOOLS = 128
MAX_DEPTH = 64
"""Objects and lists inside each other, in schemas and in arguments: what reads them recurses."""
UNREAD = FormatChecker(formats=())
"""Regular expressions of schemas are not even compiled."""
ANYTHING: dict[str, Any] = {"type": "object", "properties": {}}


class FunctionSpec(Body):
    """A function: what it is for, and the JSON Schema of its arguments."""

    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None

    def spec(self, place: str) -> ToolSpec:
        """Return it as a tool. Raises InvalidRequestError where its schema is none."""
        try:
            schema = _written_out(self.parameters or ANYTHING)
            Draft202012Validator.check_schema(schema, format_checker=UNREAD)
        except (InvalidConfigError, RecursionError) as error:
            at = f"{place}.parameters"
            raise InvalidRequestError(f"{at}: {error}", at) from None
        except SchemaError as error:
            at = ".".join(map(str, ("parameters", *error.absolute_path)))
            raise InvalidRequestError(f"{place}.{at}: {error.message}", f"{place}.{at}") from None
        if schema.get("type", "object") != "object":
            raise InvalidRequestError(
                f"{place}.parameters.type: it has to be object", f"{place}.parameters.type"
            )
        return ToolSpec(self.name, self.description or "", schema, client=True)


def _written_out(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that refers to nothing. Raises InvalidConfigError, RecursionError."""
    written = cast(dict[str, Any], inlined(schema, often=1))
    if _too_deep(written):
        raise InvalidConfigError(f"it is more than {MAX_DEPTH} levels deep")
    try:
        orjson.dumps(written)
    except TypeError as error:
        raise InvalidConfigError(str(error)) from None
    return written


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in cast(list[Any], list(each.values()) if isinstance(each, dict) else each)
        ]
    return bool(level)


class FunctionChoice(Body):
    """A choice in chat completions' shape."""

    class Named(Body):
        """Which function."""

        name: FunctionName

    type: Literal["function"]
    function: Named

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name


class NamedChoice(Body):
    """A choice in responses' shape."""

    type: Literal["function"]
    name: FunctionName


Mode = Literal["auto", "none", "required"]


def _kind(choice: Any) -> str:
    return "<object>" if isinstance(choice, (dict, Body)) else "<text>"


ChatToolChoice = Annotated[
    Annotated[Mode, Tag("<text>")] | Annotated[FunctionChoice, Tag("<object>")],
    Discriminator(_kind),
]
ResponseToolChoice = Annotated[
    Annotated[Mode, Tag("<text>")] | Annotated[NamedChoice, Tag("<object>")],
    Discriminator(_kind),
]


def specs(functions: Sequence[tuple[str, FunctionSpec]]) -> tuple[ToolSpec, ...]:
    """Return functions, each with its place in the body, as tools. Raises InvalidRequestError."""
    found: dict[str, ToolSpec] = {}
    for place, function in functions:
        if function.name in found:
            raise InvalidRequestError(
                f"{place}.name: two functions are named {function.name!r}", f"{place}.name"
            )
        found[function.name] = function.spec(place)
    return tuple(found.values())


def chosen(choice: FunctionChoice | NamedChoice | Mode | None, tools: Sequence[ToolSpec]) -> str:
    """Return which tool is to be called. Raises InvalidRequestError for one that is not there."""
    if choice is None or isinstance(choice, str):
        if choice == "required" and not tools:
            raise InvalidRequestError("tool_choice: required needs tools", "tool_choice")
        return choice or "auto"
    if choice.name not in {tool.name for tool in tools}:
        raise InvalidRequestError(
            f"tool_choice: there is no function {choice.name!r} among tools", "tool_choice"
        )
    return choice.name


def call(id: str, name: str, arguments: str, place: str) -> ToolCall:
    """Return a call of an earlier turn. Raises InvalidRequestError where its JSON is none."""
    try:
        parsed = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"{place}: not JSON: {error}", place) from None
    if not isinstance(parsed, dict):
        raise InvalidRequestError(f"{place}: a JSON object is needed", place)
    if _too_deep(parsed):
        raise InvalidRequestError(f"{place}: more than {MAX_DEPTH} levels deep", place)
    return ToolCall(id, name, parsed)


def arguments_of(arguments: Mapping[str, Any]) -> str:
    """Return arguments as the JSON text that OpenAI's API wants."""
    return encode(dict(arguments)).decode()
