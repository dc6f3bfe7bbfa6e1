"""Tools that are Python functions of the image. Synchronous ones run in threads of their own.

The schema of their arguments comes from type hints, descriptions from the docstring. An argument
`caller: Principal` is filled in with who asks.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import re
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python

from agent_runtime.config import ToolConfig
from agent_runtime.domain import Json, Principal, ToolSpec
from agent_runtime.errors import InvalidConfigError, ToolFailedError
from agent_runtime.tools.late import reason
from agent_runtime.tools.schema import inlined

GROUP = "agent_runtime.tools"
"""Entry points under which packages offer tools."""
THREADS = 8
"""Calls of one tool that run at once. A tool that hangs keeps only itself busy."""
PATIENCE = 0.9
"""Share of its time limit that a call waits for a place, so that it can say what it waited for."""
_ARGUMENTS = re.compile(r"^\s*(?:Args|Arguments|Parameters):\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^\s+\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.+)$")


class PythonTool:
    """A function as a tool. What it raises is told to the generator."""

    def __init__(self, config: ToolConfig, function: Callable[..., Any]) -> None:
        """Raises InvalidConfigError for a function whose arguments have no JSON Schema."""
        self._function = function
        self._arguments, self._caller = _model(function, config.name)
        self._free = asyncio.Semaphore(THREADS)
        self._patience = PATIENCE * config.timeout_seconds
        self.spec = ToolSpec(
            config.name,
            config.description or _summary(function) or config.name,
            config.parameters or _schema(self._arguments),
            config.effect,
            config.examples,
        )

    @property
    def problem(self) -> str | None:
        """Why it cannot be offered: a function of the image always can."""
        return None

    async def call(self, arguments: Mapping[str, Json], caller: Principal) -> Json:
        try:
            given = self._arguments.model_validate(arguments)
        except ValidationError as error:
            raise ToolFailedError(_first(error)) from error
        named = {
            field.alias or name: getattr(given, name)
            for name, field in self._arguments.model_fields.items()
            if name in given.model_fields_set
        }
        if self._caller is not None:
            named[self._caller] = caller
        try:
            return to_jsonable_python(await self._run(named))
        except PydanticSerializationError as error:
            raise ToolFailedError(f"its result is no JSON: {reason(error)}") from error

    async def _run(self, named: Mapping[str, Any]) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(**named)
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise ToolFailedError(
                f"all {THREADS} calls of it that may run at once have hung for "
                f"{self._patience:.3g} seconds"
            ) from None
        result = await _in_thread(self._function, named, self._free.release)
        return await result if inspect.isawaitable(result) else result


async def _in_thread(
    function: Callable[..., Any], named: Mapping[str, Any], ended: Callable[[], None]
) -> Any:
    """Call it in a daemon thread: one that never returns must not keep the process from ending.

    `ended` is told when the function returns, however long nobody has waited for it by then.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        ended()
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)

    def work() -> None:
        result, failed = None, None
        try:
            result = context.run(function, **named)
        except BaseException as error:
            # A StopIteration cannot be put into a future.
            odd = isinstance(error, (StopIteration, SystemExit, KeyboardInterrupt))
            failed = ToolFailedError(reason(error)) if odd else error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failed)

    try:
        threading.Thread(target=work, name=f"tool {function.__name__}", daemon=True).start()
    except BaseException:
        ended()
        raise
    return await done


def function_of(config: ToolConfig) -> Callable[..., Any]:
    """Return the function that a tool names, or that is registered under its name.

    Raises InvalidConfigError.
    """
    try:
        found = _imported(config.python) if config.python else _registered(config.name)
    except InvalidConfigError:
        raise
    except Exception as error:  # what happens on import is up to the module
        raise InvalidConfigError(f"python: {config.python}: {reason(error)}") from error
    if not callable(found):
        raise InvalidConfigError(f"python: {config.python or config.name} is no function")
    return cast(Callable[..., Any], found)


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _registered(name: str) -> Any:
    for point in entry_points(group=GROUP, name=name):
        return point.load()
    known = ", ".join(sorted(point.name for point in entry_points(group=GROUP))) or "none"
    raise InvalidConfigError(
        f"{name}: http, mcp or python is needed, since no package of the image registers a tool of "
        f"this name under {GROUP} (registered: {known})"
    )


def _model(function: Callable[..., Any], name: str) -> tuple[type[BaseModel], str | None]:
    """Return a model of a function's arguments, and the name of the one that is the caller."""
    try:
        hints = get_type_hints(function, include_extras=True)
        described = _descriptions(function)
        fields: dict[str, Any] = {}
        caller = None
        for each in inspect.signature(function).parameters.values():
            if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
                raise InvalidConfigError(f"argument {each.name!r} cannot be given by its name")
            kind = hints.get(each.name, Any)
            if each.name == "caller" and kind is Principal:
                caller = each.name
                continue
            if text := described.get(each.name):
                kind = Annotated[kind, Field(description=text)]
            default = ... if each.default is each.empty else each.default
            # Under a name of its own, since a model does not take every name for a field.
            fields[f"argument_{each.name}"] = (kind, Field(default, alias=each.name))
        strict = ConfigDict(extra="forbid")
        return create_model(name, __config__=strict, **fields), caller
    except (NameError, TypeError, ValueError, PydanticUserError) as error:
        raise InvalidConfigError(f"python: {reason(error)}") from error


def _schema(model: type[BaseModel]) -> Mapping[str, Json]:
    schema = cast(dict[str, Any], inlined(model.model_json_schema(by_alias=True)))
    for name, each in schema.get("properties", {}).items():
        if each.get("title") == name.replace("_", " ").title():  # which says nothing
            del each["title"]
    return {name: value for name, value in schema.items() if name != "title"}


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _summary(function: Callable[..., Any]) -> str:
    """Return the docstring up to its sections."""
    text = _ARGUMENTS.split(inspect.getdoc(function) or "")[0]
    return " ".join(re.split(r"\n\s*(?:Returns|Raises|Yields|Examples?):", text)[0].split())


def _descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """Return what a docstring's `Args:` say, by argument."""
    _, *after = _ARGUMENTS.split(inspect.getdoc(function) or "")
    found: dict[str, str] = {}
    name = ""
    for line in after[0].splitlines()[1:] if after else ():
        if line.strip() and not line.startswith(" "):
            break
        if match := _ARGUMENT.match(line):
            name, found[match[1]] = match[1], match[2].strip()
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
