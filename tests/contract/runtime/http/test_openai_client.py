"""OpenAI's own client against a real agent: all that it can ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseOutputMessage

from tests.contract.runtime.processes import Agent

QUESTION = "How long does a refund to PayPal take?"
FACT = "2–4 business days"
NOTE = b"# Umbrella lending\n\nThe shop in Kunshan lends umbrellas for a deposit of 12 yuan.\n"
UMBRELLA = "What deposit does an umbrella need?"


@pytest.fixture
def client(quickstart: Agent) -> Iterator[openai.OpenAI]:
    base = f"{quickstart.base}/v1"
    with openai.OpenAI(base_url=base, api_key="unused", max_retries=0) as client:
        yield client


def asked(client: openai.OpenAI, *said: str, **more: Any) -> Any:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": each} for each in said
    ]
    return client.chat.completions.create(model="agent", messages=messages, **more)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    ids = [each.id for each in client.models.list()]
    assert ids == ["agent", "extractive", "sentence-transformers/all-MiniLM-L6-v2"]
    assert client.models.retrieve(ids[2]).id == ids[2]
    with pytest.raises(openai.NotFoundError, match="gpt-4o"):
        client.models.retrieve("gpt-4o")


def test_a_chat_streams_what_it_says_plainly(client: openai.OpenAI) -> None:
    plain = asked(client, QUESTION)
    message = plain.choices[0].message
    assert FACT in message.content
    assert message.annotations
    with client.chat.completions.stream(
        model="agent", messages=[{"role": "user", "content": QUESTION}]
    ) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert text == final.choices[0].message.content == message.content
    usage = [
        chunk.usage
        for chunk in asked(client, QUESTION, stream=True, stream_options={"include_usage": True})
        if chunk.usage
    ]
    assert usage == [plain.usage]


def test_a_conversation_goes_on_by_its_id(client: openai.OpenAI) -> None:
    first = asked(client, QUESTION)
    id = first.conversation_id
    second = asked(client, "And to a bank account?", extra_body={"conversation_id": id})
    assert second.conversation_id == id
    items = list(client.conversations.items.list(id, order="asc"))
    texts = [item.content[0].text for item in items if item.type == "message"]  # pyright: ignore
    assert texts[0] == QUESTION
    assert texts[2] == "And to a bank account?"
    assert len(texts) == 4


def test_conversations_are_made_and_forgotten(client: openai.OpenAI) -> None:
    made = client.conversations.create(
        metadata={"topic": "orders"},
        items=[{"type": "message", "role": "user", "content": "Hello"}],
    )
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, metadata={"topic": "returns"})
    assert changed.metadata == {"topic": "returns"}
    added = client.conversations.items.create(
        made.id, items=[{"type": "message", "role": "assistant", "content": "Hi"}]
    )
    id = added.data[0].id or ""
    item: Any = client.conversations.items.retrieve(id, conversation_id=made.id)
    assert item.content[0].text == "Hi"
    client.conversations.items.delete(item.id, conversation_id=made.id)
    assert len(list(client.conversations.items.list(made.id))) == 1
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)


def test_a_response_is_streamed_stored_and_gone_on_from(client: openai.OpenAI) -> None:
    plain = client.responses.create(model="agent", input=QUESTION, instructions="Be brief.")
    assert FACT in plain.output_text
    (message,) = plain.output
    assert isinstance(message, ResponseOutputMessage)
    (part,) = message.content
    assert part.type == "output_text"
    citation: Any = part.annotations[0]
    assert (citation.type, citation.filename) == ("file_citation", "en-refunds.md")
    assert part.text[citation.start_index : citation.end_index] == citation.quote
    with client.responses.stream(model="agent", input=QUESTION, instructions="Be brief.") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == plain.output_text
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.output_text.annotation.added" in kinds
    assert client.responses.retrieve(plain.id).output_text == plain.output_text
    (item,) = client.responses.input_items.list(plain.id)
    assert item.type == "message"
    more = client.responses.create(
        model="agent", input="And to a bank account?", previous_response_id=plain.id
    )
    assert more.conversation == plain.conversation
    client.responses.delete(plain.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(plain.id)


def test_texts_become_vectors(client: openai.OpenAI) -> None:
    listed = client.embeddings.create(
        model="sentence-transformers/all-MiniLM-L6-v2", input=["a", "b"]
    )
    assert [len(each.embedding) for each in listed.data] == [384, 384]
    floats = client.embeddings.create(
        model="sentence-transformers/all-MiniLM-L6-v2", input="a", encoding_format="float"
    )
    assert floats.data[0].embedding == pytest.approx(listed.data[0].embedding, abs=1e-5)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(
            model="sentence-transformers/all-MiniLM-L6-v2", input="a", dimensions=8
        )


def test_a_document_is_uploaded_found_cited_and_taken_out(client: openai.OpenAI) -> None:
    (store,) = client.vector_stores.list()
    before = client.vector_stores.retrieve(store.id).file_counts.completed
    file = client.files.create(file=("umbrellas.md", NOTE), purpose="assistants")
    assert client.files.content(file.id).read() == NOTE
    attached = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    assert (attached.status, attached.last_error) == ("completed", None)
    assert client.vector_stores.retrieve(store.id).file_counts.completed == before + 1
    message = asked(client, UMBRELLA).choices[0].message
    assert "12 yuan" in message.content
    assert {(each.file_id, each.filename) for each in message.annotations} == {
        (file.id, "umbrellas.md")
    }
    found = client.vector_stores.search(store.id, query=UMBRELLA, max_num_results=3)
    assert found.data[0].file_id == file.id
    assert [each.id for each in client.vector_stores.files.list(store.id)] == [file.id]
    client.vector_stores.files.delete(file.id, vector_store_id=store.id)
    assert "12 yuan" not in (asked(client, UMBRELLA).choices[0].message.content or "")
    assert client.files.delete(file.id).deleted
    assert [each.id for each in client.files.list()] == []


def test_an_upload_that_waits_is_searchable_at_once(client: openai.OpenAI) -> None:
    file = client.files.create(
        file=("umbrellas.txt", NOTE), purpose="assistants", extra_body={"wait": "true"}
    )
    assert file.status == "processed"
    assert "12 yuan" in asked(client, UMBRELLA).choices[0].message.content
    client.files.delete(file.id)
    with pytest.raises(openai.UnprocessableEntityError, match="binary"):
        client.files.create(
            file=("a.md", b"\x89PNG\r\n\x1a\n" + bytes(99)),
            purpose="assistants",
            extra_query={"wait": "true"},
        )


def test_files_are_attached_together(client: openai.OpenAI) -> None:
    (store,) = client.vector_stores.list()
    batches = client.vector_stores.file_batches
    broken = b"\x89PNG\r\n\x1a\n" + bytes(99)
    kept = client.files.create(file=("old.md", b"# Cellar\n\nCold.\n"), purpose="assistants")
    done = batches.upload_and_poll(
        store.id, files=[("umbrellas.md", NOTE), ("a.md", broken)], file_ids=[kept.id]
    )
    assert (done.status, done.object) == ("completed", "vector_store.files_batch")
    assert (done.file_counts.completed, done.file_counts.failed, done.file_counts.total) == (
        (2, 1, 3)
    )
    assert "12 yuan" in asked(client, UMBRELLA).choices[0].message.content
    files = list(batches.list_files(done.id, vector_store_id=store.id, limit=1, order="asc"))
    assert files[0].id == kept.id
    assert sorted(each.status for each in files) == ["completed", "completed", "failed"]
    (failed,) = batches.list_files(done.id, vector_store_id=store.id, filter="failed")
    assert failed.last_error
    assert failed.last_error.code == "unsupported_file"
    assert batches.cancel(done.id, vector_store_id=store.id) == done  # nothing is left to do
    again = batches.create_and_poll(
        store.id, files=[{"file_id": kept.id, "attributes": {"floor": -1.0, "dry": False}}]
    )
    assert batches.retrieve(again.id, vector_store_id=store.id) == again
    (file,) = batches.list_files(again.id, vector_store_id=store.id)
    assert file.attributes == {"floor": -1.0, "dry": False}
    with pytest.raises(openai.NotFoundError, match="file-lost"):
        batches.create(store.id, file_ids=[kept.id, "file-lost"])
    with pytest.raises(openai.BadRequestError) as wrong:
        batches.create(store.id)
    assert wrong.value.param == "file_ids"
    for each in files:
        client.files.delete(each.id)
    assert batches.poll(done.id, vector_store_id=store.id).file_counts.total == 0


def test_a_batch_is_cancelled_and_attached_again(client: openai.OpenAI) -> None:
    (store,) = client.vector_stores.list()
    batches = client.vector_stores.file_batches
    before = client.vector_stores.retrieve(store.id).file_counts.completed
    ids = [
        client.files.create(file=(f"{place}.md", NOTE * 80), purpose="assistants").id
        for place in range(8)
    ]
    begun = batches.create(store.id, file_ids=ids)
    assert begun.status == "in_progress"
    cancelled = batches.cancel(begun.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.in_progress) == ("cancelled", 0)
    assert cancelled.file_counts.cancelled > 0
    ended = batches.poll(begun.id, vector_store_id=store.id)
    assert ended == cancelled
    gone = batches.list_files(begun.id, vector_store_id=store.id, filter="cancelled")
    assert len(list(gone)) == cancelled.file_counts.cancelled
    done = batches.create_and_poll(store.id, file_ids=ids)
    assert (done.status, done.file_counts.completed) == ("completed", 8)
    assert client.vector_stores.retrieve(store.id).file_counts.completed == before + 8
    for id in ids:
        client.files.delete(id)
    assert client.vector_stores.retrieve(store.id).file_counts.completed == before


def test_errors_are_the_client_s_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert unknown.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        asked(client, "x", temperature=9)
    assert wrong.value.param == "temperature"


async def test_the_asynchronous_client_works_too(quickstart: Agent) -> None:
    base = f"{quickstart.base}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key="unused", max_retries=0) as client:

        async def chat() -> str:
            stream = await client.chat.completions.create(
                model="agent", stream=True, messages=[{"role": "user", "content": QUESTION}]
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        async def respond() -> str:
            async with client.responses.stream(model="agent", input=QUESTION) as stream:
                return (await stream.get_final_response()).output_text

        said = await asyncio.gather(*(chat() for _ in range(4)), *(respond() for _ in range(4)))
        assert len(set(said)) == 1
        assert FACT in said[0]
        assert (await client.models.list()).data[0].id == "agent"


def test_a_function_of_the_client_s_is_called_and_its_output_used(client: openai.OpenAI) -> None:
    number = {"type": "string", "description": "order number", "pattern": "^A-[0-9]{4}$"}
    parameters = {"type": "object", "properties": {"order": number}, "required": ["order"]}
    described = {"name": "track_parcel", "description": "Tell where the parcel of an order is"}
    function: Any = {"type": "function", "function": {**described, "parameters": parameters}}
    messages: list[Any] = [{"role": "user", "content": "Where is the parcel of order A-1042?"}]
    chosen: Any = {"type": "function", "function": {"name": "track_parcel"}}
    asks = client.chat.completions.create(
        model="agent", messages=messages, tools=[function], tool_choice=chosen
    )
    assert asks.choices[0].finish_reason == "tool_calls", asks
    (call,) = asks.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"order": "A-1042"}
    messages += [
        asks.choices[0].message.model_dump(exclude_none=True, include={"role", "tool_calls"}),
        {"role": "tool", "tool_call_id": call.id, "content": '{"city": "Suzhou"}'},
    ]
    answer = client.chat.completions.create(model="agent", messages=messages, tools=[function])
    assert "Suzhou" in (answer.choices[0].message.content or "")
    described_: Any = {"type": "function", **described, "parameters": parameters, "strict": False}
    response = client.responses.create(
        model="agent", input=messages[0]["content"], tools=[described_], tool_choice="required"
    )
    (item,) = response.output
    assert item.type == "function_call"
    assert json.loads(item.arguments) == {"order": "A-1042"}
    output: Any = {"type": "function_call_output", "call_id": item.call_id, "output": "Suzhou"}
    last = client.responses.create(
        model="agent", input=[output], previous_response_id=response.id, tools=[described_]
    )
    assert "Suzhou" in last.output_text
    # By the conversation's name the output alone is enough, in both of OpenAI's APIs.
    conversation = client.conversations.create().id
    for named in ({"conversation": conversation}, {"extra_headers": {"X-Conversation-ID": "p-1"}}):
        more: Any = {"model": "agent", "tools": [described_], **named}
        asks_ = client.responses.create(
            input=messages[0]["content"], tool_choice="required", **more
        )
        (item,) = asks_.output
        assert item.type == "function_call"
        output["call_id"] = item.call_id
        wrong: Any = {**output, "call_id": "call_nobody"}
        with pytest.raises(openai.BadRequestError, match="call_nobody") as refused:
            client.responses.create(input=[wrong], **more)
        assert refused.value.param == "input"
        assert "Suzhou" in client.responses.create(input=[output], **more).output_text
    headers = {"X-Conversation-ID": "p-2"}
    asks = client.chat.completions.create(
        model="agent", messages=messages[:1], tools=[function], tool_choice=chosen,
        extra_headers=headers,
    )  # fmt: skip
    (call,) = asks.choices[0].message.tool_calls or []
    alone: Any = [{**messages[2], "tool_call_id": call.id}]
    answer = client.chat.completions.create(
        model="agent", messages=alone, tools=[function], extra_headers=headers
    )
    assert "Suzhou" in (answer.choices[0].message.content or "")
