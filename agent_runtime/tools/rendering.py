"""A tool's result in plain words, for generators that cannot phrase one: a sentence of the
configuration with the result's fields, else its fields line by line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from agent_runtime.domain import Json, ToolResult
from agent_runtime.tools.wording import chinese, english, value_in_chinese

MOST_ITEMS = 10
DEEPEST = 4
LONGEST_VALUE = 1000
_PLACE = re.compile(r"\{([\w.]+)\}")
_FAILED = {"zh": "没有成功：{}", "en": "That did not work: {}"}
_DENIED = {"zh": "好的，我不会这样做。", "en": "All right, I will not do that."}
_DONE = {"zh": "已完成。", "en": "Done."}
_NOTHING = {"zh": "没有找到任何内容。", "en": "Nothing was found."}
_MORE = {"zh": "……还有 {} 项", "en": "… and {} more"}
_CUT = {"zh": "（结果过长，已截断）", "en": "(The result was too long and was cut.)"}


def describe(result: ToolResult, language: str, template: str | None = None) -> str:
    """Say what came of a call.

    Args:
        result: what came of it.
        language: ISO 639-1; Chinese or else English.
        template: a sentence with the result's fields in braces, such as `{order_id} is {status}`.
            It is left out where one of them is missing.
    """
    tongue = "zh" if language == "zh" else "en"
    if result.status == "denied":
        return _DENIED[tongue]
    if result.status == "error":
        return _FAILED[tongue].format(_line(result.content, tongue))
    if template is not None and (said := _filled(template, result.content, tongue)) is not None:
        return said
    return _content(result.content, tongue)


def describe_arguments(arguments: Mapping[str, Json], language: str) -> str:
    """List what a call is made with, a line for each argument."""
    return "\n".join(f"- {line}" for line in _fields(arguments, language, 0))


def _filled(template: str, content: Json, language: str) -> str | None:
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = _at(content, match[1])
        missing = missing or found is None
        return _line(found, language)

    said = _PLACE.sub(value, template)
    return None if missing else said


def _at(content: Json, path: str) -> Json:
    for step in path.split("."):
        if isinstance(content, dict):
            content = cast(dict[str, Json], content).get(step)
        elif isinstance(content, list) and step.isdecimal() and int(step) < len(content):
            content = cast(list[Json], content)[int(step)]
        else:
            return None
    return content


def _content(content: Json, language: str) -> str:
    if content in (None, "", [], {}):
        return _NOTHING[language] if content in ([], {}) else _DONE[language]
    if content == {"status": "done"}:
        return _DONE[language]
    if isinstance(content, dict) and cast(Mapping[str, Json], content).get("truncated") is True:
        rest = {k: v for k, v in content.items() if k not in ("truncated", "bytes")}
        whole = rest["text"] if set(rest) == {"text"} else rest
        return "\n".join([*_lines(whole, language, 0), _CUT[language]])
    return "\n".join(_lines(content, language, 0))


def _lines(content: Json, language: str, depth: int) -> list[str]:
    """Return a line for each field and each item, indented below what it belongs to."""
    indent = "  " * depth
    if isinstance(content, dict) and depth < DEEPEST:
        return _fields(cast(dict[str, Json], content), language, depth)
    if isinstance(content, list) and depth < DEEPEST:
        return _items(cast(list[Json], content), language, depth)
    return [f"{indent}{_line(content, language)}"]


def _fields(fields: Mapping[str, Json], language: str, depth: int) -> list[str]:
    indent, colon = "  " * depth, "：" if language == "zh" else ": "
    lines: list[str] = []
    for name, value in fields.items():
        if value in (None, "", [], {}):
            continue
        called = _called(name, language)
        if isinstance(value, (dict, list)):
            lines += [f"{indent}{called}{colon.rstrip()}", *_lines(value, language, depth + 1)]
        else:
            lines.append(f"{indent}{called}{colon}{_line(value, language)}")
    return lines


def _items(items: list[Json], language: str, depth: int) -> list[str]:
    indent = "  " * depth
    lines: list[str] = []
    for item in items[:MOST_ITEMS]:
        if isinstance(item, dict):
            fields = cast(dict[str, Json], item)
            flat = all(not isinstance(value, (dict, list)) for value in fields.values())
            shown = _flat(fields, language) if flat else ""
            lines += [f"{indent}- {shown}"] if flat else _bulleted(fields, language, depth)
        else:
            lines.append(f"{indent}- {_line(item, language)}")
    if len(items) > MOST_ITEMS:
        lines.append(indent + _MORE[language].format(len(items) - MOST_ITEMS))
    return lines


def _bulleted(fields: Mapping[str, Json], language: str, depth: int) -> list[str]:
    first, *rest = _fields(fields, language, depth + 1) or [""]
    return ["  " * depth + "- " + first.strip(), *rest]


def _flat(fields: Mapping[str, Json], language: str) -> str:
    colon, comma = ("：", "，") if language == "zh" else (": ", ", ")
    return comma.join(
        f"{_called(name, language)}{colon}{_line(value, language)}"
        for name, value in fields.items()
        if value not in (None, "")
    )


def _called(name: str, language: str) -> str:
    if language == "zh":
        return chinese(name) or english(name)
    called = english(name)
    return called[:1].upper() + called[1:]


def _line(value: Json, language: str) -> str:
    """Return a value on one line; a name such as `out_for_delivery` as words."""
    if isinstance(value, bool):
        words = {True: "yes", False: "no"}[value]
        return value_in_chinese(str(value)) if language == "zh" else words
    if isinstance(value, str):
        word = re.fullmatch(r"[a-z]+(?:_[a-z]+)*", value)
        if word and language == "zh":
            return value_in_chinese(value)
        text = value.replace("_", " ") if word else value
        return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
    if isinstance(value, list):
        return ", ".join(_line(each, language) for each in cast(list[Json], value)[:MOST_ITEMS])
    if isinstance(value, dict):
        return _flat(cast(dict[str, Json], value), language)
    return "" if value is None else str(value)
