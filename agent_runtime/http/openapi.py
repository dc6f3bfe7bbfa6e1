"""The OpenAPI document. Bodies are read by `wire.read`, so FastAPI is told of them here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from agent_runtime.http.errors import ErrorBody
from agent_runtime.http.wire import JSON

_PLACE = "#/components/schemas/"
_REF = _PLACE + "{model}"
_ERRORS = {
    400: "The request is wrong; `param` names the field",
    401: "The bearer token is missing or nobody's",
    403: "The caller may not do this",
    404: "There is no such thing, or it is somebody else's",
    405: "The path is right and the method is not",
    409: "Not in the present state",
    413: "The body is too large",
    415: "The body is of another type",
    422: "The document cannot be read",
    429: "There is more work than can be done in time; see Retry-After",
    500: "A fault of the agent's own",
    503: "Something that the agent needs does not answer; see Retry-After",
    504: "The model did not finish in time",
}
_ERROR = TypeAdapter(ErrorBody)
RESPONSES: dict[int | str, dict[str, Any]] = {
    # Not as a `model`, of which FastAPI would make one for each route and code.
    code: {"description": text, "content": {JSON: {"schema": {"$ref": f"{_PLACE}ErrorBody"}}}}
    for code, text in _ERRORS.items()
}


def takes(shape: TypeAdapter[Any], required: bool = True) -> dict[str, Any]:
    """Return what `openapi_extra` of a route says of its body."""
    schema = shape.json_schema(ref_template=_REF)
    return {"requestBody": {"required": required, "content": {JSON: {"schema": schema}}}}


def gives(shape: Any, text: str = "Done", stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return what `responses` of a route says of success, and of every error."""
    success: dict[str, Any] = {"model": shape, "description": text}
    if stream:
        events = {"text/event-stream": {"schema": {"type": "string"}}}
        success = {**success, "content": events}
    return {**RESPONSES, 200: success}


def document(app: FastAPI) -> dict[str, Any]:
    """Build the document, with the schemas of bodies among its components."""
    built = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas: dict[str, Any] = built.setdefault("components", {}).setdefault("schemas", {})
    _hoisted(_ERROR.json_schema(ref_template=_REF), schemas)
    for operations in built["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).get(JSON)
            if content and "$ref" not in content["schema"]:
                content["schema"] = {"$ref": _hoisted(content["schema"], schemas)}
    built["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    built["security"] = [{}, {"bearer": []}]
    return built


def _hoisted(schema: dict[str, Any], into: dict[str, Any]) -> str:
    """Move a schema and what it refers to among the components; return the reference."""
    own = {name: value for name, value in schema.items() if name != "$defs"}
    for name, found in {**schema.get("$defs", {}), str(own["title"]): own}.items():
        if into.setdefault(name, found) != found:
            raise ValueError(f"two schemas are named {name}")
    return _REF.format(model=own["title"])
