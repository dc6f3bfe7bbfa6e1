"""Long results are cut and say so; results of hidden tools leave no trace."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.domain import ToolCall, Turn
from agent_runtime.tools.results import cut, size, without


@pytest.mark.parametrize(
    "content",
    [
        "x" * 5000,
        "引号\"\n" * 2000,
        [{"n": n} for n in range(500)],
        {"total": 500, "orders": [{"n": n, "name": "灯" * 5} for n in range(500)]},
        {"one": "x" * 5000, "two": 2},
        {"one": [["x" * 5000]]},
        [],
        None,
        {"small": True},
    ],
)  # fmt: skip
def test_what_is_long_is_cut_and_says_so(content: Any) -> None:
    short = cut(content, 1000)
    assert size(short) <= 1000
    if size(content) <= 1000:
        assert short == content
    else:
        assert short["truncated"] is True
        assert short["bytes"] == size(content)


def test_lists_keep_their_beginning() -> None:
    kept = cut({"total": 500, "orders": [{"n": n} for n in range(500)]}, 500)
    assert kept["total"] == 500
    assert kept["orders"][:2] == [{"n": 0}, {"n": 1}]
    assert len(kept["orders"]) > 20


def test_turns_forget_hidden_tools() -> None:
    hidden = ToolCall("1", "salary", {"of": "Ann"})
    seen = ToolCall("2", "weather", {})
    turns = (
        Turn("user", "What does Ann earn, and the weather?"),
        Turn("assistant", "", tool_calls=(hidden, seen)),
        Turn("tool", "7000", tool_call_id="1"),
        Turn("tool", "sunny", tool_call_id="2"),
        Turn("assistant", "7000, and sunny."),
        Turn("user", "Thanks"),
        Turn("assistant", "You are welcome."),
    )
    assert without(turns, ()) == turns
    assert without(turns, ["salary"]) == (
        turns[0],
        Turn("assistant", "", tool_calls=(seen,)),
        turns[3],
        *turns[5:],
    )
