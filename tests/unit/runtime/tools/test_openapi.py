"""An operation of a document becomes arguments, and arguments become a request."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.errors import InvalidConfigError, ToolFailedError
from agent_runtime.tools.openapi import of_document, of_template

PLACE = "http://shop:8090/api/openapi.json"
NEW = {
    "type": "object",
    "properties": {"subject": {"type": "string"}, "id": {"type": "string", "readOnly": True}},
    "required": ["subject", "id"],
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "/{version}", "variables": {"version": {"default": "v2"}}}],
    "paths": {
        "/orders/{order_id}/lines": {
            "parameters": [{"$ref": "#/components/parameters/order"}],
            "get": {
                "operationId": "lines",
                "summary": "Lines of an order.",
                "parameters": [
                    {"name": "tag", "in": "query", "schema": {"type": "array"}},
                    {"name": "filter", "in": "query", "schema": {"type": "object"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "boolean"}},
                ],
            },
        },
        "/tickets": {
            "post": {
                "operationId": "file",
                "parameters": [
                    {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/New"}}
                    },
                },
            },
            "put": {
                "operationId": "replace",
                "requestBody": {"content": {"application/json": {"schema": {"type": "array"}}}},
            },
            "patch": {"operationId": "form", "requestBody": {"content": {"text/plain": {}}}},
            "delete": {
                "operationId": "cookie",
                "parameters": [{"name": "c", "in": "cookie", "required": True}],
            },
        },
    },
    "components": {
        "schemas": {"New": {"allOf": [{"$ref": "#/components/schemas/Base"}]}, "Base": NEW},
        "parameters": {
            "order": {
                "name": "order_id", "in": "path", "required": True,
                "description": "Which order.", "schema": {"type": "string"},
            }
        },
    },
}  # fmt: skip


def test_parameters_of_all_places_are_one_set() -> None:
    operation = of_document(DOCUMENT, "lines", PLACE)
    schema: Any = operation.parameters
    assert operation.description == "Lines of an order."
    assert schema["required"] == ["order_id"]
    assert schema["properties"]["order_id"] == {"type": "string", "description": "Which order."}
    assert schema["additionalProperties"] is False
    arguments = {
        "order_id": "A 1/ü", "tag": ["x", "y"], "filter": {"big": True}, "X-Trace": False
    }  # fmt: skip
    request = operation.request(arguments)
    assert (request.method, request.url) == (
        "GET",
        "http://shop:8090/v2/orders/A%201%2F%C3%BC/lines",
    )
    assert request.query == (("tag", "x"), ("tag", "y"), ("filter[big]", "true"))
    assert request.headers == {"X-Trace": "false"}
    assert not request.has_body


def test_fields_of_a_body_are_arguments() -> None:
    operation = of_document(DOCUMENT, "file", PLACE, "https://other/base/")
    assert operation.parameters["properties"] == {"subject": {"type": "string"}}
    assert operation.parameters["required"] == ["subject"]
    assert operation.idempotent
    request = operation.request({"subject": "Hello", "gone": None})
    assert request.url == "https://other/base/tickets"
    assert request.body == {"subject": "Hello"}
    whole = of_document(DOCUMENT, "replace", PLACE)
    assert whole.request({"body": [1, 2]}).body == [1, 2]


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_no_value_leads_to_another_path(value: str) -> None:
    with pytest.raises(ToolFailedError, match="order_id"):
        of_document(DOCUMENT, "lines", PLACE).request({"order_id": value})
    inner = of_document(DOCUMENT, "lines", PLACE).request({"order_id": "../x?y#z"})
    assert inner.url.endswith("/orders/..%2Fx%3Fy%23z/lines")


@pytest.mark.parametrize(
    ("document", "operation", "said"),
    [
        (DOCUMENT, "absent", "no operation 'absent'"),
        (DOCUMENT, "form", "not JSON"),
        (DOCUMENT, "cookie", "cookie"),
        ([], "x", "no OpenAPI document"),
        ({"paths": {"/": {"$ref": "#/away"}}}, "x", "leads nowhere"),
    ],
)
def test_what_is_not_there_is_said(document: Any, operation: str, said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        of_document(document, operation, PLACE)


def test_without_a_document_the_url_names_the_arguments() -> None:
    operation = of_template("POST", "http://shop/{a}/x?k={b}", None, "")
    assert operation.parameters["required"] == ["a", "b"]
    assert operation.request({"a": "1", "b": "2&3"}).url == "http://shop/1/x?k=2%263"
    with pytest.raises(ToolFailedError, match="b: a value is needed"):
        operation.request({"a": "1"})
    own = {"type": "object", "properties": {"a": {}, "b": {}, "n": {}}}
    assert of_template("POST", "http://s/{a}{b}", own, "").request(
        {"a": 1, "b": 2, "n": 3}
    ).body == {"n": 3}  # fmt: skip
    assert of_template("GET", "http://s/{a}{b}", own, "").request(
        {"a": 1, "b": 2, "n": 3}
    ).query == (("n", "3"),)
    with pytest.raises(InvalidConfigError, match="'z' stands in the URL"):
        of_template("GET", "http://s/{z}", own, "")
