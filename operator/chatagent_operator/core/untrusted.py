"""Reads what pods say: JSON and messages from programs that may be broken or hostile. Pure.

A message goes into a status and into Events, an object into comparisons and sums. Neither may grow
without a limit or stop the operator.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, cast

import orjson

MESSAGE_BYTES = 1024
"""Maximum size of a message, as that of an Event."""
MAX_DEPTH = 16
"""Maximum nesting of an object. Python compares and writes by recursion."""

_CUT = " …"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Unicode categories of characters that a terminal obeys or cannot show."""


def clean_message(text: object) -> str:
    """Return a message in one line, without control characters, of at most 1 KiB; empty if it is no
    text."""
    if not isinstance(text, str):
        return ""
    # No character of the result has more than 4 bytes, and few of the text are left out.
    seen = text[: 4 * MESSAGE_BYTES]
    if not seen.isprintable():
        spaced = (" " if each.isspace() else each for each in seen)
        seen = "".join(each for each in spaced if unicodedata.category(each) not in _HIDDEN)
    raw = seen.strip().encode()
    if len(raw) <= MESSAGE_BYTES and len(text) <= 4 * MESSAGE_BYTES:
        return raw.decode()
    return raw[: MESSAGE_BYTES - len(_CUT.encode())].decode(errors="ignore") + _CUT


def parse_object(text: str | bytes) -> Mapping[str, Any] | None:
    """Parse a JSON object; None if it is anything else, or is nested too deeply."""
    try:
        value: Any = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or _is_deeper(cast(object, value), MAX_DEPTH):
        return None
    return cast(Mapping[str, Any], value)


def read_count(value: object) -> int | None:
    """Return a count as JSON has it; None if it is none, or has more than 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 2**63 else None


def is_counter(value: float) -> bool:
    """Return whether a number can be the value of a counter: exact as a float, so that sums of them
    are finite."""
    return math.isfinite(value) and 0 <= value <= 2**53


def _is_deeper(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        inside = list(cast(Mapping[str, object], value).values())
    elif isinstance(value, list):
        inside = cast(list[object], value)
    else:
        return False
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in inside)
