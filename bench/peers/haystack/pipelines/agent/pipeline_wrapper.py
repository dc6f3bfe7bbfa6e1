"""Retrieval-augmented chat as Haystack's documentation builds it: embedder, retriever, prompt
builder, chat generator; every component of our own is async as well."""

from __future__ import annotations

import os
from typing import Any

from hayhooks import BasePipelineWrapper, get_last_user_message
from haystack import Document, Pipeline, component
from haystack.components.builders import ChatPromptBuilder
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore

from bench.peers.common import ANSWER, DIMENSION, TOP_K, embed, passages

TEMPLATE = """Answer from the passages only.

{% for document in documents %}{{ document.content }}

{% endfor %}Question: {{ question }}
Answer:"""


@component
class HashingTextEmbedder:
    """Gives the NumPy row itself: Haystack copies and checks a list float by float at each edge."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        return {"embedding": embed([text])[0]}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, Any]:
        return self.run(text)


@component
class InstantChatGenerator:
    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        return {"replies": [ChatMessage.from_assistant(ANSWER)]}

    @component.output_types(replies=list[ChatMessage])
    async def run_async(self, messages: list[ChatMessage]) -> dict[str, Any]:
        return self.run(messages)


class PipelineWrapper(BasePipelineWrapper):
    def setup(self) -> None:
        found = passages()
        vectors = embed([each["text"] for each in found])
        documents = [
            Document(
                id=each["id"], content=each["text"], embedding=vector, meta={"title": each["title"]}
            )
            for each, vector in zip(found, vectors, strict=True)
        ]
        self.pipeline = Pipeline()
        self.pipeline.add_component("embedder", HashingTextEmbedder())
        self.pipeline.add_component("retriever", _retriever(documents))
        self.pipeline.add_component(
            "prompt",
            ChatPromptBuilder(
                template=[ChatMessage.from_user(TEMPLATE)],
                required_variables=["documents", "question"],
            ),
        )
        self.pipeline.add_component("llm", InstantChatGenerator())
        self.pipeline.connect("embedder.embedding", "retriever.query_embedding")
        self.pipeline.connect("retriever.documents", "prompt.documents")
        self.pipeline.connect("prompt.prompt", "llm.messages")

    async def run_chat_completion_async(self, model: str, messages: list[dict], body: dict) -> str:
        question = get_last_user_message(messages)
        result = await self.pipeline.run_async(
            {"embedder": {"text": question}, "prompt": {"question": question}}
        )
        return result["llm"]["replies"][0].text


def _retriever(documents: list[Document]) -> Any:
    if os.environ.get("BENCH_STORE") == "faiss":
        from haystack_integrations.components.retrievers.faiss import FAISSEmbeddingRetriever
        from haystack_integrations.document_stores.faiss import FAISSDocumentStore

        faiss = FAISSDocumentStore(embedding_dim=DIMENSION)
        faiss.write_documents(documents)
        return FAISSEmbeddingRetriever(document_store=faiss, top_k=TOP_K)
    store = InMemoryDocumentStore(return_embedding=False)
    store.write_documents(documents)
    return InMemoryEmbeddingRetriever(document_store=store, top_k=TOP_K)
