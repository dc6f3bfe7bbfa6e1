"""Python functions as tools."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from agent_runtime.config import ToolConfig
from agent_runtime.domain import NOBODY, Principal
from agent_runtime.errors import InvalidConfigError, ToolFailedError
from agent_runtime.tools.python import THREADS, PythonTool, function_of


class Box(BaseModel):
    """What is sent."""

    weight: float


def parcel(
    order_id: Annotated[str, Field(pattern="^A")],
    box: Box,
    caller: Principal,
    speed: Literal["slow", "fast"] = "slow",
    model_day: date | None = None,
) -> dict[str, Any]:
    """Send a parcel.

    It goes out today.

    Args:
        order_id: Which order,
            in capitals.
        speed (str): How fast.

    Returns:
        The parcel.
    """
    thread = threading.current_thread().name
    return {
        "order": order_id, "weight": box.weight, "for": caller.user, "speed": speed,
        "day": model_day, "thread": thread,
    }  # fmt: skip


def tool(function: Any, **config: Any) -> PythonTool:
    return PythonTool(ToolConfig(name="parcel", **config), function)


def test_the_schema_comes_from_hints_and_docstring() -> None:
    spec = tool(parcel).spec
    assert spec.description == "Send a parcel. It goes out today."
    assert spec.effect == "write"
    schema: Any = spec.parameters
    assert set(schema["properties"]) == {"order_id", "box", "speed", "model_day"}
    assert schema["required"] == ["order_id", "box"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["order_id"] == {
        "type": "string", "pattern": "^A", "description": "Which order, in capitals."
    }  # fmt: skip
    assert schema["properties"]["box"]["properties"]["weight"]["type"] == "number"
    assert "$" not in str(schema)


async def test_a_function_gets_values_of_its_types_and_the_caller() -> None:
    arguments = {"order_id": "A1", "box": {"weight": 2}, "model_day": "2026-06-15"}
    result = await tool(parcel).call(arguments, Principal("mia"))
    assert result == {
        "order": "A1", "weight": 2.0, "for": "mia", "speed": "slow", "day": "2026-06-15",
        "thread": "tool parcel",
    }  # fmt: skip
    with pytest.raises(ToolFailedError, match=r"^box\.weight: "):
        await tool(parcel).call({"order_id": "A1", "box": {"weight": "heavy"}}, NOBODY)


async def test_coroutines_are_awaited_and_what_is_raised_goes_on() -> None:
    async def ask(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    def fail() -> None:
        raise LookupError("no such order")

    def stop() -> None:
        raise StopIteration("odd")

    assert await tool(ask).call({"number": 1}, NOBODY) == 2
    with pytest.raises(LookupError, match="no such order"):
        await tool(fail).call({}, NOBODY)
    with pytest.raises(ToolFailedError, match="odd"):
        await tool(stop).call({}, NOBODY)
    with pytest.raises(ToolFailedError, match="no JSON"):
        await tool(lambda: object()).call({}, NOBODY)


async def test_a_tool_that_hangs_keeps_only_itself_busy() -> None:
    end = threading.Event()

    def hang() -> None:
        end.wait()

    stuck = tool(hang, timeout_seconds=600)
    calls = [asyncio.create_task(stuck.call({}, NOBODY)) for _ in range(THREADS + 3)]
    assert await asyncio.wait_for(tool(lambda: 1).call({}, NOBODY), 60) == 1
    assert not any(each.done() for each in calls)
    running = [each for each in threading.enumerate() if each.name == "tool hang"]
    assert len(running) == THREADS
    assert all(each.daemon for each in running)  # none keeps the process from ending
    end.set()
    await asyncio.gather(*calls)


async def test_a_call_that_hangs_keeps_its_place_when_nobody_waits_any_more() -> None:
    end = threading.Event()

    def linger() -> str:
        end.wait(30)
        return "done"

    stuck = tool(linger, timeout_seconds=0.2)
    for _ in range(2):
        calls = [stuck.call({}, NOBODY) for _ in range(THREADS)]
        with pytest.raises((TimeoutError, ToolFailedError)):
            await asyncio.wait_for(asyncio.gather(*calls), 0.05)
    lingering = [each for each in threading.enumerate() if each.name == "tool linger"]
    assert len(lingering) == THREADS
    with pytest.raises(ToolFailedError, match=f"all {THREADS} calls of it .* have hung"):
        await stuck.call({}, NOBODY)
    end.set()
    for each in lingering:
        await asyncio.to_thread(each.join)  # it frees its place before it ends
    assert await stuck.call({}, NOBODY) == "done"


def test_functions_are_found_by_place_or_say_why_not() -> None:
    def found(**config: Any) -> Any:
        return function_of(ToolConfig(name="absent", **config))

    assert found(python="json:dumps").__name__ == "dumps"
    assert found(python="pathlib:Path.home").__name__ == "home"
    for place, said in (
        ("no_such_module:x", "No module named"),
        ("json:absent", "no attribute 'absent'"),
        ("json:__name__", "no function"),
        (None, r"no package of the image registers a tool of this name"),
    ):
        with pytest.raises(InvalidConfigError, match=said):
            found(python=place)
    with pytest.raises(InvalidConfigError, match="'args'"):
        tool(lambda *args: args)  # pyright: ignore[reportUnknownLambdaType]
