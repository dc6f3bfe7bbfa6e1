"""JSON Schemas of arguments: references written out, arguments checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import orjson
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from agent_runtime.domain import Json
from agent_runtime.errors import InvalidConfigError

Schema = Mapping[str, Json]
DEEPEST = 24
"""References in references are written out this deep, then say nothing."""
OFTEN = 3
"""A schema that refers to itself is written out this often in itself, then says nothing."""
LARGEST = 10_000
"""Objects and lists that references may be written out to: few of them can say a lot."""
EXPRESSIONS = ("pattern", "patternProperties", "additionalProperties", "unevaluatedProperties")
"""Keywords that run regular expressions."""
MOST_REPEATED = 40
_LONGEST = 200
_ONE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
"""An escape or a class: one character of the text."""
_VARIABLE = re.compile(r"[*+?]|\{\d*,\d*\}")
KEPT = 1000
"""Schemas whose validators are kept."""


def inlined(schema: Json, document: Json = None, often: int = OFTEN) -> Json:
    """Return a schema with its local references (`#/…`) written out.

    Args:
        schema: a JSON Schema, or a part of a document.
        document: what the references point into; absent: the schema itself.
        often: how often one that refers to itself is written out in itself.

    Raises:
        InvalidConfigError: a reference leads nowhere, or out of the document, or all of them
            together to far too much.
    """
    written = _Writing(schema if document is None else document, often).of(schema, ())
    if isinstance(written, dict):
        written.pop("$defs", None)
    return written


class _Writing:
    """Writes out the references into one document."""

    def __init__(self, root: Json, often: int) -> None:
        self._root = root
        self._often = often
        self._parts = 0

    def of(self, part: Json, within: tuple[str, ...]) -> Json:
        """Return a part that these references led to, the outermost first."""
        if not isinstance(part, (dict, list)):
            return part
        self._count(within)
        if isinstance(part, list):
            return [self.of(each, within) for each in cast(list[Json], part)]
        fields = cast(dict[str, Json], part)
        reference = fields.get("$ref")
        if isinstance(reference, str):
            return self._referred(reference, fields, within)
        return {
            name: value if name == "$defs" else self.of(value, within)
            for name, value in fields.items()
        }

    def _referred(
        self, reference: str, fields: Mapping[str, Json], within: tuple[str, ...]
    ) -> Json:
        if len(within) >= DEEPEST or within.count(reference) >= self._often:
            return {}
        target = self.of(target_of(reference, self._root), (*within, reference))
        beside = {name: value for name, value in fields.items() if name != "$ref"}
        return {**target, **self.of(beside, within)} if isinstance(target, dict) else target

    def _count(self, within: tuple[str, ...]) -> None:
        self._parts += bool(within)
        if self._parts > LARGEST:
            raise InvalidConfigError(f"its references lead to more than {LARGEST} parts")


def target_of(reference: str, root: Json) -> Json:
    """Return what a JSON pointer such as `#/components/schemas/Order` points to (RFC 6901).

    Raises InvalidConfigError.
    """
    if not reference.startswith("#"):
        raise InvalidConfigError(f"$ref {reference!r} leads out of the document")
    if reference != "#" and not reference.startswith("#/"):
        raise InvalidConfigError(f"$ref {reference!r} leads nowhere: it is no JSON pointer")
    found: Any = root
    for step in reference.lstrip("#").split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = cast(dict[str, Any], found)[name]
        elif isinstance(found, list) and name in map(str, range(len(cast(list[Any], found)))):
            found = found[int(name)]
        else:
            raise InvalidConfigError(f"$ref {reference!r} leads nowhere")
    return found


def validator(schema: Schema, trusted: bool = True) -> Validator:
    """Return what checks arguments. Raises InvalidConfigError for what is no JSON Schema.

    Args:
        schema: the JSON Schema. Its references lead nowhere outside of it.
        trusted: whether its regular expressions may run, and its `$schema` counts.
    """
    written = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return _validator(written, trusted)


@lru_cache(maxsize=KEPT)
def _validator(written: bytes, trusted: bool) -> Validator:
    """Making one takes longer than all that it is used for in a turn."""
    schema = orjson.loads(written)
    default: Any = Draft202012Validator
    kind: Any = _tolerant(validator_for(schema, default=default)) if trusted else _careful(default)
    try:
        kind.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        raise InvalidConfigError(f"parameters: {error.message}") from error
    return kind(schema, registry=Registry())  # jsonschema's own one fetches what is not there


@lru_cache
def _tolerant(kind: type[Validator]) -> type[Validator]:
    return extend(kind, {"pattern": _pattern})


def is_simple(pattern: str) -> bool:
    """Tell whether an expression of a stranger may run over a word: it is a row of characters and
    classes with at most two that vary in number, one of them without a limit, so that it ends."""
    if len(pattern) > _LONGEST or re.search(r"\\[1-9]", pattern):
        return False
    bare = _ONE.sub("x", pattern)
    varying = _VARIABLE.findall(bare)
    endless = [each for each in varying if each in ("*", "+") or each.endswith(",}")]
    limits = [int(number) for number in re.findall(r"\d+(?=\})", bare)]
    return (
        not set("(|") & set(bare)
        and len(varying) <= 2
        and len(endless) <= 1
        and max(limits, default=0) <= MOST_REPEATED
    )


@lru_cache
def _careful(kind: type[Validator]) -> type[Validator]:
    """Regular expressions of strangers may take forever, so nothing that runs them is checked."""
    return extend(kind, dict.fromkeys(EXPRESSIONS, _unchecked))


def _unchecked(check: Validator, said: Json, value: Json, schema: Schema) -> None:
    del check, said, value, schema


def _pattern(
    check: Validator, pattern: str, value: Json, schema: Schema
) -> Iterator[ValidationError]:
    """Check a pattern, unless it is one of JavaScript's that Python does not know."""
    del check, schema
    try:
        fits = not isinstance(value, str) or re.search(pattern, value)
    except re.error:
        return
    if not fits:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def complaint(check: Validator, arguments: Json) -> str | None:
    """Return what is wrong with arguments, the argument named first, or None."""
    try:
        error = best_match(check.iter_errors(arguments))
    except (Unresolvable, ValueError) as wrong:  # its `$dynamicRef`, its `$id`
        return f"they cannot be checked: {wrong}"
    if error is None:
        return None
    path = ".".join(str(each) for each in error.absolute_path)
    said = error.message if len(error.message) <= 300 else f"{error.message[:300]}…"
    return f"{path}: {said}" if path else said


def properties(schema: Schema) -> dict[str, Schema]:
    """Return the arguments of a tool, each with its own schema."""
    found = schema.get("properties")
    if not isinstance(found, dict):
        return {}
    return {
        name: cast(Schema, each) if isinstance(each, dict) else {}
        for name, each in cast(dict[str, Json], found).items()
    }


def required(schema: Schema) -> tuple[str, ...]:
    """Return the names of the arguments without which a tool cannot be called."""
    found = schema.get("required")
    return tuple(map(str, cast(list[Json], found))) if isinstance(found, list) else ()


def plain(schema: Schema) -> Schema:
    """Return an optional argument's schema as if it were given: of `string or null` the string."""
    for union in ("anyOf", "oneOf"):
        options = schema.get(union)
        if isinstance(options, list):
            given = [o for o in cast(list[Schema], options) if o.get("type") != "null"]
            if given:
                return {**{k: v for k, v in schema.items() if k != union}, **given[0]}
    kind = schema.get("type")
    if isinstance(kind, list):
        named = [each for each in cast(list[str], kind) if each != "null"]
        return {**schema, "type": named[0] if named else "string"}
    return schema
