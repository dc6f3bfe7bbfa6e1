"""Values for one argument in what somebody wrote, by the argument's JSON Schema. Pure.

Each finder returns the value and where it stands, so that no place serves two arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from typing import Any, Literal

from agent_runtime.domain import Json, Span
from agent_runtime.text.language import HAN
from agent_runtime.tools.dates import find_date, find_moment
from agent_runtime.tools.numbers import numbers
from agent_runtime.tools.schema import Schema, complaint, validator
from agent_runtime.tools.wording import IDENTIFIERS, keywords, words_of

Kind = Literal[
    "enum", "boolean", "number", "email", "date", "date-time", "uuid", "uri", "code", "pattern",
    "headline", "message", "other",
]  # fmt: skip
MESSAGE = frozenset({
    "description", "details", "detail", "message", "body", "text", "content", "comment", "comments",
    "reason", "problem", "issue", "question", "query", "q", "search", "note", "notes",
})  # fmt: skip
HEADLINE = frozenset({"subject", "title", "summary", "topic", "headline"})
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
URI = re.compile(r"https?://[^\s<>\"'，。）)]+")
CODE = re.compile(
    r"(?<![A-Za-z0-9.@])#?(?P<code>[A-Za-z0-9]+(?:[-_/][A-Za-z0-9]+)*)(?![A-Za-z0-9@])"
)
TOKEN = re.compile(rf"[^\s,;!?，。；！？、“”\"'（）(){HAN}]+")
QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|「([^」]+)」|『([^』]+)』|《([^》]+)》")
LONGEST_CODE = 100
"""Characters of a word that a schema's expression is tried on."""
NEAR = 24
"""How far before a code the word for it may stand, in characters."""
NEGATIONS = re.compile(
    r"\b(?:no|not|don't|do not|without|never)\b[\w\s]{0,15}$|(?:不|没|无|别)[^，。]{0,4}$"
)
YES = re.compile(
    r"^\W*(?:yes|yeah|yep|sure|true|ok(?:ay)?|是的?|对|要|需要|好的?)\W*$", re.IGNORECASE
)
NO = re.compile(r"^\W*(?:no|nope|false|不是?|不要|不用|不需要|否)\W*$", re.IGNORECASE)
_SYNONYMS = {
    "urgent": ("urgently", "asap", "immediately", "at once", "紧急", "加急", "尽快", "马上"),
    "high": ("高", "重要", "important"),
    "normal": ("普通", "一般", "正常"),
    "medium": ("中等", "中"),
    "low": ("低", "不急", "not urgent"),
}
_DISTINCT = frozenset({"urgent"})
"""Words that say what they mean without the name of the argument."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it stands. `sure`: nothing else in the text could be meant."""

    value: Json
    span: Span
    sure: bool = True


def kind_of(name: str, schema: Schema) -> Kind:
    """Tell what sort of value an argument takes."""
    words = words_of(name)
    if "enum" in schema or "const" in schema:
        return "enum"
    match schema.get("type"):
        case "boolean":
            return "boolean"
        case "integer" | "number":
            return "number"
        case "string" | None:
            pass
        case _:
            return "other"
    form = str(schema.get("format", ""))
    if form in ("date", "date-time", "uuid", "uri"):
        return form  # pyright: ignore[reportReturnType]
    if form == "email" or "email" in words or "mail" in words:
        return "email"
    if schema.get("pattern"):
        return "pattern"
    if HEADLINE.intersection(words):
        return "headline"
    if words and words[-1] in MESSAGE:
        return "message"
    if shapes(schema) or (words and words[-1] in IDENTIFIERS):
        return "code"
    return "other"


def shapes(schema: Schema) -> list[re.Pattern[str]]:
    """Return what the examples of a code look like: HG1000000001 is two letters and ten digits."""
    examples = schema.get("examples") or [schema.get("example")]
    found: list[re.Pattern[str]] = []
    for example in examples:
        if isinstance(example, str) and re.fullmatch(r"(?=.*\d)[A-Za-z0-9_/-]+", example):
            shape = "".join(
                f"[A-Za-z]{{{len(part)}}}" if part[0].isalpha() else
                rf"\d{{{len(part)}}}" if part[0].isdigit() else re.escape(part)
                for part in re.findall(r"[A-Za-z]+|\d+|[^A-Za-z\d]+", example)
            )  # fmt: skip
            found.append(re.compile(shape))
    return found


def find(
    name: str,
    schema: Schema,
    text: str,
    others: Sequence[str],
    today: date,
    alone: bool,
    trusted: bool = True,
) -> Iterator[Found]:
    """Yield values for an argument, the likeliest first.

    Args:
        name: the argument.
        schema: its JSON Schema.
        text: what somebody wrote.
        others: the tool's other arguments, whose words take a code away from this one.
        today: what "tomorrow" is counted from.
        alone: the text answers a question for this argument.
        trusted: the schema's regular expressions may run.
    """
    kind = kind_of(name, schema)
    if kind in ("code", "pattern"):
        found = (
            _codes(name, schema, text, others, alone) if kind == "code" else _patterns(schema, text)
        )
    elif kind in ("email", "uuid", "uri"):
        form = {"email": EMAIL, "uuid": UUID, "uri": URI}[kind]
        found = (Found(match[0].rstrip("."), match.span()) for match in form.finditer(text))
    elif kind == "date":
        day = find_date(text, today)
        found = iter([Found(day[0].isoformat(), day[1])] if day else [])
    elif kind == "date-time":
        moment = find_moment(text, today)
        found = iter([Found(moment.isoformat(), (0, 0))] if moment else [])
    else:
        finders: Mapping[str, Callable[..., Iterator[Found]]] = {
            "enum": _choices, "boolean": _yes_or_no, "number": _numbers, "other": _named,
        }  # fmt: skip
        found = finders[kind](name, schema, text, alone) if kind in finders else iter(())
    for each in found:
        if complaint(validator(schema, trusted), each.value) is None:
            yield each


def _codes(
    name: str, schema: Schema, text: str, others: Sequence[str], alone: bool
) -> Iterator[Found]:
    wanted = shapes(schema)
    unsure: list[Found] = []
    for match in CODE.finditer(text):
        code = match["code"]
        if not any(each.isdigit() for each in code) or EMAIL.search(text, *_around(match)):
            continue
        span = match.span("code")
        owner = _owner(text[max(0, match.start() - NEAR) : match.start()], name, others)
        if owner not in (None, name):
            continue
        if any(shape.fullmatch(code) for shape in wanted):
            yield Found(code, span)
        elif _is_code(code, owner == name or match[0].startswith("#"), alone):
            unsure.append(Found(code, span, owner == name or match[0].startswith("#")))
    yield from sorted(unsure, key=lambda each: not each.sure)


def _around(match: re.Match[str]) -> tuple[int, int]:
    return match.start(), match.end() + 1


def _is_code(code: str, named: bool, alone: bool) -> bool:
    """R2 and E27 are products, 20 is a number, and 2026-06-15 a day, unless they are called so."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", code):
        return False
    if named or alone:
        return len(code) > 1 or alone
    digits = sum(each.isdigit() for each in code)
    return len(code) >= 5 and digits >= 3 and digits < len(code)


def _owner(before: str, name: str, others: Sequence[str]) -> str | None:
    """Return the argument whose word stands nearest before a code."""
    lower = before.lower()
    places = {
        each: max((_last(lower, word) for word in keywords(each)), default=-1)
        for each in (name, *others)
        if kind_is_code(each)
    }
    best = max(places, key=lambda each: places[each], default=None)
    return best if best is not None and places[best] >= 0 else None


def kind_is_code(name: str) -> bool:
    """Tell whether a name ends like that of an identifier."""
    words = words_of(name)
    return bool(words) and words[-1] in IDENTIFIERS


def _last(text: str, word: str) -> int:
    if not word.isascii():
        return text.rfind(word)
    found = [match.start() for match in re.finditer(rf"\b{re.escape(word)}s?\b", text)]
    return found[-1] if found else -1


def _patterns(schema: Schema, text: str) -> Iterator[Found]:
    try:
        form = re.compile(str(schema["pattern"]))
    except re.error:  # JSON Schema's expressions are not quite Python's
        return
    for match in TOKEN.finditer(text):
        token = match[0].strip(".:#")
        for value in (token, token.upper(), token.lower()):
            if 0 < len(token) <= LONGEST_CODE and form.search(value):
                yield Found(value, match.span())
                break


def _choices(name: str, schema: Schema, text: str, alone: bool) -> Iterator[Found]:
    """Find one of the choices by its words. What an everyday word could say by chance, such as
    "low", counts only near the argument's own name, or alone."""
    lower = text.lower()
    named = alone or any(_last(lower, word) >= 0 for word in keywords(name))
    for choice in schema.get("enum") or [schema.get("const")]:
        said = str(choice).replace("_", " ").replace("-", " ").lower()
        for word in (said, *_SYNONYMS.get(said, ())):
            at = _last(lower, word)
            if at >= 0 and (named or said in _DISTINCT or " " in word):
                yield Found(choice, (at, at + len(word)))
                break


def _yes_or_no(name: str, schema: Schema, text: str, alone: bool) -> Iterator[Found]:
    if alone and (YES.search(text) or NO.search(text)):
        yield Found(bool(YES.search(text)), (0, len(text)))
        return
    lower = text.lower()
    telling = [word for word in keywords(name) if word not in ("is", "has", "with", "needs")]
    places = [(_last(lower, word), word) for word in telling]
    if telling and (found := [each for each in places if each[0] >= 0]):
        at, word = found[0]
        yield Found(not NEGATIONS.search(lower[:at]), (at, at + len(word)))


def _numbers(name: str, schema: Schema, text: str, alone: bool) -> Iterator[Found]:
    """Find the number beside the argument's own name, or the only one that there is."""
    whole = schema.get("type") == "integer"
    lower = text.lower()
    candidates: list[Found] = []
    for number, (start, end) in numbers(lower):
        if not isfinite(number):
            continue
        near = lower[max(0, start - 20) : end + 12]
        named = any(_last(near, word) >= 0 for word in keywords(name))
        article = lower[start:end] in ("a", "an", "one") and not named and not alone
        if not article and not (whole and number != int(number)):
            value = int(number) if number == int(number) else number
            candidates.append(Found(value, (start, end), named))
    if len(candidates) == 1 or any(each.sure for each in candidates):
        yield from sorted(candidates, key=lambda each: not each.sure)


def _named(name: str, schema: Schema, text: str, alone: bool) -> Iterator[Found]:
    """Find a string in quotes or after its name; alone, the whole text is it."""
    if schema.get("type") not in ("string", None):
        return
    for match in QUOTED.finditer(text):
        yield Found(next(filter(None, match.groups())), match.span())
    for word in keywords(name) or (name,):
        mark = r"\s*(?:is|=|:|：|是|为|叫)\s*"
        if match := re.search(rf"{re.escape(word)}{mark}([^,，。;；\n]+)", text, re.IGNORECASE):
            yield Found(match[1].strip().rstrip(".!?"), match.span(1))
    if alone and (said := text.strip()):
        yield Found(said, (0, len(text)))


def example_of(schema: Mapping[str, Any]) -> str | None:
    """Return an example of an argument, if its schema gives one."""
    examples = schema.get("examples") or [schema.get("example")]
    return str(examples[0]) if examples and examples[0] is not None else None
