"""Retrieval-augmented chat as Haystack's documentation builds it: embedder, retriever, prompt
builder, chat generator; every component of our own is async as well."""

from __future__ import annotations

from typing import Any

from hayhooks import BasePipelineWrapper, get_last_user_message
from haystack import Document, Pipeline, component
from haystack.components.builders import ChatPromptBuilder
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.retrievers.faiss import FAISSEmbeddingRetriever
from haystack_integrations.document_stores.faiss import FAISSDocumentStore

from bench.peers.common import ANSWER, CANDIDATES, DIMENSION, HYBRID, TOP_K, embed, passages

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
        store = FAISSDocumentStore(embedding_dim=DIMENSION)
        store.write_documents(documents)
        dense = FAISSEmbeddingRetriever(document_store=store, top_k=CANDIDATES if HYBRID else TOP_K)
        self.pipeline.add_component("dense", dense)
        self.pipeline.add_component(
            "prompt",
            ChatPromptBuilder(
                template=[ChatMessage.from_user(TEMPLATE)],
                required_variables=["documents", "question"],
            ),
        )
        self.pipeline.add_component("llm", InstantChatGenerator())
        self.pipeline.connect("embedder.embedding", "dense.query_embedding")
        if HYBRID:
            self._fuse(documents)
        else:
            self.pipeline.connect("dense.documents", "prompt.documents")
        self.pipeline.connect("prompt.prompt", "llm.messages")

    def _fuse(self, documents: list[Document]) -> None:
        store = InMemoryDocumentStore(bm25_tokenization_regex=r"(?u)[a-z0-9]+|[\u4e00-\u9fff]")
        store.write_documents(documents)
        lexical = InMemoryBM25Retriever(document_store=store, top_k=CANDIDATES)
        joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=TOP_K)
        self.pipeline.add_component("lexical", lexical)
        self.pipeline.add_component("fused", joiner)
        self.pipeline.connect("lexical.documents", "fused.documents")
        self.pipeline.connect("dense.documents", "fused.documents")
        self.pipeline.connect("fused.documents", "prompt.documents")

    async def run_chat_completion_async(self, model: str, messages: list[dict], body: dict) -> str:
        question = get_last_user_message(messages)
        asked = {"embedder": {"text": question}, "prompt": {"question": question}}
        if HYBRID:
            asked["lexical"] = {"query": question}
        result = await self.pipeline.run_async(asked)
        return result["llm"]["replies"][0].text
