"""Models and embeddings."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from tests.unit.runtime.fakes import HashingEmbedder
from tests.unit.runtime.http.harness import Runtime

PATH = "/v1/embeddings"


async def test_the_agent_lists_its_models(runtime: Runtime) -> None:
    listed = (await runtime.client.get("/v1/models")).json()
    assert [each["id"] for each in listed["data"]] == ["agent", "extractive", "org/hashing"]
    for path in ("agent", "org/hashing", "org%2Fhashing"):
        assert (await runtime.client.get(f"/v1/models/{path}")).status_code == 200
    unknown = await runtime.client.get("/v1/models/gpt-4o")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_texts_become_vectors_in_order(runtime: Runtime) -> None:
    body = {"input": ["one two", "three"], "model": "org/hashing"}
    listed = (await runtime.client.post(PATH, json=body)).json()
    rows = HashingEmbedder().embed(["one two", "three"], "query")
    got = np.array([each["embedding"] for each in listed["data"]], np.float32)
    assert np.allclose(got, rows)
    assert [each["index"] for each in listed["data"]] == [0, 1]
    assert listed["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    one = await runtime.client.post(PATH, json={"input": "three", "encoding_format": "base64"})
    raw = base64.b64decode(one.json()["data"][0]["embedding"])
    assert np.array_equal(np.frombuffer(raw, "<f4"), rows[1])


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": [""]}, 400, "input.0"),
        ({"input": ["a", 1]}, 400, "input.1"),
        ({"input": [1, 2]}, 400, "input"),
        ({"input": [[1, 2], [3]]}, 400, "input"),
        ({"input": "a", "dimensions": 32}, 400, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        ({"input": ["a", "b " * 300]}, 400, "input.1"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"input": "a", "model": "ada"}, 404, "model"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_by_field(
    runtime: Runtime, body: dict[str, Any], status: int, param: str
) -> None:
    reply = await runtime.client.post(PATH, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param), reply.text
    if param == "input" and body.get("input") and not isinstance(body["input"][0], str):
        assert "tokens are not understood" in reply.json()["error"]["message"]
