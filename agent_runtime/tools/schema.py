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

from agent_runtime.domain import Json
from agent_runtime.errors import InvalidConfigError

Schema = Mapping[str, Json]
DEEPEST = 24
"""A schema that refers to itself is written out this deep, then says nothing."""
KEPT = 1000
"""Schemas whose validators are kept."""


def inlined(schema: Json, document: Json = None) -> Json:
    """Return a schema with its local references (`#/…`) written out.

    Args:
        schema: a JSON Schema, or a part of a document.
        document: what the references point into; absent: the schema itself.

    Raises:
        InvalidConfigError: a reference leads nowhere, or out of the document.
    """
    root = schema if document is None else document
    written = _inlined(schema, root, 0)
    if isinstance(written, dict):
        written.pop("$defs", None)
    return written


def _inlined(part: Json, root: Json, depth: int) -> Json:
    if isinstance(part, list):
        return [_inlined(each, root, depth) for each in cast(list[Json], part)]
    if not isinstance(part, dict):
        return part
    fields = cast(dict[str, Json], part)
    reference = fields.get("$ref")
    if isinstance(reference, str):
        if depth >= DEEPEST:
            return {}
        target = _inlined(target_of(reference, root), root, depth + 1)
        beside = {name: value for name, value in fields.items() if name != "$ref"}
        return {**target, **_inlined(beside, root, depth)} if isinstance(target, dict) else target
    return {
        name: value if name == "$defs" else _inlined(value, root, depth)
        for name, value in fields.items()
    }


def target_of(reference: str, root: Json) -> Json:
    """Return what a JSON pointer such as `#/components/schemas/Order` points to."""
    if not reference.startswith("#"):
        raise InvalidConfigError(f"$ref {reference!r} leads out of the document")
    found: Any = root
    for step in reference.lstrip("#").split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            raise InvalidConfigError(f"$ref {reference!r} leads nowhere")
        found = cast(dict[str, Any], found)[name]
    return found


def validator(schema: Schema) -> Validator:
    """Return what checks arguments. Raises InvalidConfigError for what is no JSON Schema."""
    return _validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))


@lru_cache(maxsize=KEPT)
def _validator(written: bytes) -> Validator:
    """Making one takes longer than all that it is used for in a turn."""
    schema = orjson.loads(written)
    kind: Any = _tolerant(validator_for(schema, default=Draft202012Validator))
    try:
        kind.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        raise InvalidConfigError(f"parameters: {error.message}") from error
    return kind(schema)


@lru_cache
def _tolerant(kind: type[Validator]) -> type[Validator]:
    return extend(kind, {"pattern": _pattern})


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
    error = best_match(check.iter_errors(arguments))
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
