"""The OpenAPI document says what there is, and replies are what it says."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from agent_runtime.domain import Finish, Pending, ToolCall, ToolResult
from tests.unit.runtime.http.harness import SAID, Runtime

EVENTS = (
    *SAID[:-1],
    ToolResult(ToolCall("own-1", "get_order", {"id": "A1"}), "ok", {"state": "sent"}),
    ToolCall("call-1", "f", {}),
    Pending("approval-1", ToolCall("c", "cancel_order", {"id": "A1"})),
    Finish("tool_calls"),
)


@pytest.fixture
async def document(runtime: Runtime) -> Any:
    return (await runtime.client.get("/openapi.json")).json()


async def test_every_body_and_every_reply_is_described(document: Any) -> None:
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert "POST /v1/chat/completions" in operations
    assert len(operations) > 30
    for name, operation in operations.items():
        assert operation["summary"], name
        assert set(operation["responses"]) >= {"200", "400", "401", "404", "429", "503"}, name
        success = operation["responses"]["200"]["content"]
        assert all(each["schema"] for each in success.values()), name
        bodiless = name.endswith("/cancel") or not name.startswith(("POST", "PUT"))
        assert ("requestBody" in operation) != bodiless, name
    chat = operations["POST /v1/chat/completions"]
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    reference = chat["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]["properties"]
    assert {"messages", "tools", "stream", "conversation_id", "approval"} <= set(fields)


async def test_references_lead_somewhere(document: Any) -> None:
    schemas = document["components"]["schemas"]

    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set[str]()
            return own.union(*(references(each) for each in part.values()))
        if isinstance(part, list):
            return set[str]().union(*(references(each) for each in part))
        return set()

    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


async def test_replies_are_what_the_document_says(runtime: Runtime, document: Any) -> None:
    runtime.agent.events = EVENTS

    def matches(reply: Any, schema: str) -> None:
        assert reply.status_code in (200, 400), reply.text
        whole = {**document["components"]["schemas"][schema], "components": document["components"]}
        jsonschema.validate(reply.json(), whole)

    client = runtime.client
    matches(await runtime.ask(), "ChatCompletion")
    matches(await runtime.ask(n=2), "ErrorBody")
    matches(await runtime.respond(), "ResponseObject")
    made = await client.post("/v1/conversations", json={"metadata": {"a": "b"}})
    matches(made, "ConversationObject")
    matches(await client.get(f"/v1/conversations/{made.json()['id']}/items"), "Page")
    matches(await client.get("/v1/models"), "ModelList")
    matches(await client.get("/v1/tools"), "ToolList")
    matches(await client.post("/v1/embeddings", json={"input": "a"}), "EmbeddingList")
    upload = await client.post("/v1/files", files={"file": ("a.md", b"# A")})
    matches(upload, "FileObject")
    store = "/v1/vector_stores/shop"
    matches(await client.get(store), "VectorStore")
    body = {"file_id": upload.json()["id"], "attributes": {"a": 1.5, "b": True}}
    matches(await client.post(f"{store}/files", json=body), "VectorStoreFile")
    batch = await client.post(f"{store}/file_batches", json={"files": [body]})
    matches(batch, "FileBatch")
    one = f"{store}/file_batches/{batch.json()['id']}"
    matches(await client.post(f"{one}/cancel"), "FileBatch")
    matches(await client.get(f"{one}/files"), "Page")
    matches(await client.post(f"{store}/search", json={"query": "a"}), "FoundPage")
