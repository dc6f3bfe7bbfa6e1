"""Formats values, tables and documents for a terminal. Pure."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import yaml

Output = Literal["text", "json", "yaml"]


class _Dumper(yaml.SafeDumper):
    """Dumps multi-line texts as blocks, so that a diff of prompts compares their lines."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def format_yaml(value: Any) -> str:
    """Format a value as YAML."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=100)


def format_document(value: Any, output: Output) -> str:
    """Format a value as one JSON or YAML document."""
    if output == "yaml":
        return format_yaml(value).rstrip("\n")
    return json.dumps(value, ensure_ascii=False, indent=2)


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """Format rows as lines with aligned columns."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(text_width(line[i]) for line in lines) for i in range(len(head))]
    return [
        (indent + "  ".join(pad(cell, w) for cell, w in zip(line, widths, strict=True))).rstrip()
        for line in lines
    ]


def text_width(text: str) -> int:
    """Return the columns that a text takes: two for each wide (East Asian) character."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def pad(text: str, columns: int) -> str:
    """Pad a text with blanks to a width."""
    return text + " " * (columns - text_width(text))


def truncate(text: str, columns: int) -> str:
    """Truncate a text to a number of columns."""
    if text_width(text) <= columns:
        return text
    kept, taken = "", 1
    for character in text:
        taken += text_width(character)
        if taken > columns:
            break
        kept += character
    return kept + "…"


def format_age(since: str | None, now: datetime) -> str:
    """Format the time since a timestamp with at most two units, as kubectl does."""
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


def format_number(value: float | None) -> str:
    """Format a value of a metric."""
    return "-" if value is None else f"{value:.4g}"
