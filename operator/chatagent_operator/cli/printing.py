"""Text and documents for a terminal. Pure, but for the printing."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import yaml

Output = Literal["text", "json", "yaml"]


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as such, so that a diff of prompts goes line by line."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def as_yaml(value: Any) -> str:
    """A value as YAML."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=100)


def as_document(value: Any, output: Output) -> str:
    """A value as one JSON or YAML document."""
    if output == "yaml":
        return as_yaml(value).rstrip("\n")
    return json.dumps(value, ensure_ascii=False, indent=2)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """Lines with columns as wide as what is in them."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(width(line[i]) for line in lines) for i in range(len(head))]
    return [
        (indent + "  ".join(padded(cell, w) for cell, w in zip(line, widths, strict=True))).rstrip()
        for line in lines
    ]


def width(text: str) -> int:
    """Columns that a text takes: two for each Chinese character."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def padded(text: str, columns: int) -> str:
    """A text with blanks up to a width."""
    return text + " " * (columns - width(text))


def cut(text: str, columns: int) -> str:
    """A text that takes no more than so many columns."""
    if width(text) <= columns:
        return text
    kept, taken = "", 1
    for character in text:
        taken += width(character)
        if taken > columns:
            break
        kept += character
    return kept + "…"


def age(since: str | None, now: datetime) -> str:
    """How long ago a time is, in the two words or fewer of kubectl."""
    if not since:
        return "-"
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            return f"{whole}{unit}{rest // smaller}{small}" if rest // smaller else f"{whole}{unit}"
    return f"{seconds // 60}m"


def number(value: float | None) -> str:
    """A value of a metric."""
    return "-" if value is None else f"{value:.4g}"
