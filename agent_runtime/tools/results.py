"""Results within their limit, and turns without the results of tools that somebody may not see.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import cast

import orjson

from agent_runtime.domain import Json, Turn

ROOM = 120
"""Bytes that the mark of a cut takes, at most."""


def size(content: Json) -> int:
    """Return the length of JSON in bytes."""
    return len(orjson.dumps(content))


def cut(content: Json, limit: int) -> Json:
    """Return content of at most `limit` bytes of JSON. What was longer says so in `truncated`.

    A list keeps its first items, and so does the longest list of an object; all else is cut as
    text.
    """
    total = size(content)
    if total <= limit:
        return content
    mark = {"truncated": True, "bytes": total}
    room = limit - ROOM
    if isinstance(content, dict):
        fields = cast(dict[str, Json], content)
        name = max(fields, key=lambda each: size(fields[each]))
        rest = {key: value for key, value in fields.items() if key != name}
        if isinstance(fields[name], list) and (left := room - size({**rest, name: []})) > 0:
            return {**rest, name: _first(fields[name], left), **mark}
    if isinstance(content, list):
        return {"items": _first(cast(list[Json], content), room), **mark}
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    return {"text": _short(text, room), **mark}


def _first(items: Sequence[Json], room: int) -> list[Json]:
    kept: list[Json] = []
    for item in items:
        room -= size(item) + 1
        if room < 0:
            break
        kept.append(item)
    return kept


def _short(text: str, room: int) -> str:
    """Cut a text so that it fits as JSON, in which some characters take more than themselves."""
    low, high = 0, min(len(text), max(room, 0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= room else (low, middle - 1)
    return text[:low]


def without(turns: Sequence[Turn], hidden: Collection[str]) -> tuple[Turn, ...]:
    """Return turns without the calls of hidden tools, their results, and what was said on the
    strength of these until the user spoke again."""
    kept: list[Turn] = []
    dropped: set[str] = set()
    tainted = False
    for turn in turns:
        if turn.role == "user":
            tainted = False
        gone = [call for call in turn.tool_calls if call.name in hidden]
        if gone:
            dropped |= {call.id for call in gone}
            tainted = True
            calls = tuple(call for call in turn.tool_calls if call.name not in hidden)
            if calls:
                kept.append(replace(turn, content="", tool_calls=calls))
        elif turn.role == "tool" and turn.tool_call_id in dropped:
            continue
        elif not (tainted and turn.role == "assistant" and not turn.tool_calls):
            kept.append(turn)
    return tuple(kept)
