"""An operation of an OpenAPI document (3.0, 3.1) as one set of arguments, and back to a request.

Parameters and the fields of a JSON body become properties of one object. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import quote, urljoin

from agent_runtime.domain import Json
from agent_runtime.errors import InvalidConfigError, ToolFailedError
from agent_runtime.tools.schema import Schema, inlined, properties, required

Place = Literal["path", "query", "header", "body"]
METHODS = ("get", "post", "put", "patch", "delete")
IDEMPOTENCY = "idempotency-key"
WHOLE_BODY = "body"
"""The argument that holds a body which is no object, or whose fields are named like parameters."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent."""

    method: str
    url: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Json = None
    has_body: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and URL, with where each argument goes. Arguments without a place are fields of
    the body."""

    method: str
    url: str
    places: Mapping[str, Place]
    parameters: Schema
    description: str
    whole_body: bool = False
    """The body is the argument `body`, not made of fields."""
    has_body: bool = False
    idempotent: bool = False
    """It takes an Idempotency-Key, under which a second attempt does nothing."""

    def request(self, arguments: Mapping[str, Json]) -> HttpRequest:
        """Return the request for arguments. Raises ToolFailedError for a value no path takes."""
        given = {name: value for name, value in arguments.items() if value is not None}
        url, query, headers, fields = self.url, list[tuple[str, str]](), dict[str, str](), {}
        for name, value in given.items():
            match self.places.get(name, "body"):
                case "path":
                    url = url.replace(f"{{{name}}}", _path(name, value))
                case "query":
                    query += _query(name, value)
                case "header":
                    headers[name] = _text(value)
                case "body":
                    fields[name] = value
        if left := re.search(r"\{([^{}]*)\}", url):
            raise ToolFailedError(f"{left[1]}: a value is needed")
        body = fields.get(WHOLE_BODY) if self.whole_body else fields
        return HttpRequest(self.method, url, tuple(query), headers, body, self.has_body)


def of_template(method: str, url: str, parameters: Schema | None, description: str) -> Operation:
    """Return an operation without a document: a method and a URL with `{parameter}` in it."""
    named = tuple(dict.fromkeys(re.findall(r"\{(\w+)\}", url)))
    schema: Schema = parameters or {
        "type": "object",
        "properties": {name: {"type": "string"} for name in named},
        "required": list(named),
        "additionalProperties": False,
    }
    if missing := [name for name in named if name not in properties(schema)]:
        raise InvalidConfigError(f"parameters: {missing[0]!r} stands in the URL, but not there")
    with_body = method in ("POST", "PUT", "PATCH")
    rest: Place = "body" if with_body else "query"
    places: dict[str, Place] = {
        name: "path" if name in named else rest for name in properties(schema)
    }
    return Operation(method, url, places, schema, description, has_body=with_body)


def of_document(
    document: Json, operation_id: str, base: str, server: str | None = None
) -> Operation:
    """Return an operation of a document.

    Args:
        document: the document, parsed.
        operation_id: which operation.
        base: where the document is, to which its servers are relative.
        server: what to ask instead of the document's own server.

    Raises:
        InvalidConfigError: there is none, or it takes what is not supported.
    """
    path, method, item, operation = _find(document, operation_id)
    merged = {
        (str(each["name"]), str(each["in"])): each
        for each in (*_parameters(item, document), *_parameters(operation, document))
    }
    schemas: dict[str, Json] = {}
    places: dict[str, Place] = {}
    needed: list[str] = []
    idempotent = False
    for (name, where), each in merged.items():
        if where == "header" and name.lower() == IDEMPOTENCY:
            idempotent = True
        elif where in ("path", "query", "header"):
            places[name] = cast(Place, where)
            schemas[name] = _described(each)
            needed += [name] if each.get("required") else []
        elif each.get("required"):
            raise InvalidConfigError(f"{operation_id}: a parameter in {where} is not supported")
    body = _body(operation, document, operation_id)
    whole = _add_body(body, schemas, needed)
    parameters: dict[str, Json] = {"type": "object", "properties": schemas, "required": needed}
    if not whole:
        open_ended = body is not None and body[0].get("additionalProperties", False)
        parameters["additionalProperties"] = open_ended
    description = str(operation.get("description") or operation.get("summary") or "")
    url = (server or _server(document, item, operation, base)).rstrip("/") + path
    return Operation(
        method, url, places, parameters, description, whole, body is not None, idempotent
    )


def _find(document: Json, operation_id: str) -> tuple[str, str, dict[str, Json], dict[str, Json]]:
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise InvalidConfigError("this is no OpenAPI document: it has no paths")
    for path, item in cast(dict[str, Any], document["paths"]).items():
        entry = cast(dict[str, Json], inlined(item, document)) if "$ref" in item else item
        for method in METHODS:
            if entry.get(method, {}).get("operationId") == operation_id:
                return path, method.upper(), entry, entry[method]
    raise InvalidConfigError(f"the document has no operation {operation_id!r}")


def _parameters(holder: Mapping[str, Json], document: Json) -> list[dict[str, Json]]:
    return cast(list[dict[str, Json]], inlined(holder.get("parameters", []), document))


def _described(parameter: Mapping[str, Json]) -> Json:
    """A parameter's schema, with the text that stands beside it."""
    content = cast(dict[str, Any], parameter.get("content") or {})
    schema = parameter.get("schema") or next(iter(content.values()), {}).get("schema", {})
    text = parameter.get("description")
    return {"description": text, **schema} if text else schema


def _body(
    operation: Mapping[str, Json], document: Json, operation_id: str
) -> tuple[dict[str, Json], bool] | None:
    """The body's schema, and whether it has to be there."""
    if "requestBody" not in operation:
        return None
    body = cast(dict[str, Any], inlined(operation["requestBody"], document))
    for kind, media in body.get("content", {}).items():
        if re.fullmatch(r"application/([\w.-]+\+)?json|\*/\*", kind.split(";")[0].strip().lower()):
            return _object(media.get("schema", {})), bool(body.get("required"))
    raise InvalidConfigError(f"{operation_id}: its body is not JSON")


def _object(schema: dict[str, Json]) -> dict[str, Json]:
    """Merge the parts of an `allOf` of objects."""
    if not schema.get("allOf"):
        return schema
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in (schema, *map(_object, schema["allOf"])):
        merged["properties"] |= properties(part)
        merged["required"] += required(part)
    return merged


def _add_body(
    body: tuple[dict[str, Json], bool] | None, schemas: dict[str, Json], needed: list[str]
) -> bool:
    """Add the body to the arguments and tell whether it is one argument as a whole."""
    if body is None:
        return False
    schema, compulsory = body
    fields = properties(schema)
    if not fields or schemas.keys() & fields.keys():
        schemas[WHOLE_BODY] = schema
        needed += [WHOLE_BODY] if compulsory else []
        return True
    schemas |= {name: each for name, each in fields.items() if not each.get("readOnly")}
    needed += [name for name in required(schema) if compulsory and name in schemas]
    return False


def _server(document: Any, item: Any, operation: Any, base: str) -> str:
    """The first server that is named nearest to the operation, its variables at their defaults."""
    named = operation.get("servers") or item.get("servers") or document.get("servers") or [{}]
    server: dict[str, Any] = named[0]
    url = str(server.get("url", "/"))
    for name, variable in server.get("variables", {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    return urljoin(base, url)


def _path(name: str, value: Json) -> str:
    text = _text(value)
    if text in ("", ".", ".."):
        raise ToolFailedError(f"{name}: {text!r} is not possible there")
    return quote(text, safe="")


def _query(name: str, value: Json) -> list[tuple[str, str]]:
    if isinstance(value, list):
        return [(name, _text(each)) for each in cast(list[Json], value)]
    if isinstance(value, dict):
        fields = cast(dict[str, Json], value)
        return [(f"{name}[{key}]", _text(each)) for key, each in fields.items()]
    return [(name, _text(value))]


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
