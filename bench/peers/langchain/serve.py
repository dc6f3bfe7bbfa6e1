"""Retrieval-augmented chat in LangChain's expression language behind FastAPI, with one worker.

Everything is async natively: what LangChain would hand to a thread pool runs on the loop.
"""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI
from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from pydantic import BaseModel

from bench.peers.common import ANSWER, CANDIDATES, HYBRID, PROMPT, TOP_K, embed, passages, words


class HashingEmbeddings(Embeddings):
    """Rows stay NumPy arrays: the store would make lists of floats into arrays at each search."""

    def embed_documents(self, texts: list[str]) -> Any:
        return list(embed(texts))

    def embed_query(self, text: str) -> Any:
        return embed([text])[0]

    async def aembed_query(self, text: str) -> Any:
        return self.embed_query(text)


class InstantChatModel(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(self, *arguments: Any, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(ANSWER))])

    async def _agenerate(self, *arguments: Any, **options: Any) -> ChatResult:
        return self._generate()


def together(documents: list[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents[:TOP_K])


class BM25OnTheLoop(BM25Retriever):
    async def _aget_relevant_documents(self, query: str, **options: Any) -> list[Document]:
        return self._get_relevant_documents(query, **options)


async def together_async(documents: list[Document]) -> str:
    return together(documents)


def build_retriever() -> BaseRetriever:
    documents = [
        Document(each["text"], id=each["id"], metadata={"title": each["title"]})
        for each in passages()
    ]
    store: Any = FAISS.from_documents(documents, HashingEmbeddings())
    if not HYBRID:
        return store.as_retriever(search_kwargs={"k": TOP_K})
    lexical = BM25OnTheLoop.from_documents(documents, preprocess_func=words, k=CANDIDATES)
    dense = store.as_retriever(search_kwargs={"k": CANDIDATES})
    return EnsembleRetriever(retrievers=[lexical, dense], weights=[0.5, 0.5])


def build_chain() -> Runnable[str, str]:
    context = build_retriever() | RunnableLambda(together, afunc=together_async)
    prompt = ChatPromptTemplate.from_template(PROMPT)
    asked = {"context": context, "question": RunnablePassthrough()}
    return asked | prompt | InstantChatModel() | StrOutputParser()


class Message(BaseModel):
    role: str
    content: str


class ChatRequest(BaseModel):
    model: str = "agent"
    messages: list[Message]


class Choice(BaseModel):
    index: int = 0
    message: Message
    finish_reason: str = "stop"


class ChatCompletion(BaseModel):
    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]


def build_app() -> FastAPI:
    app, chain = FastAPI(), build_chain()

    @app.post("/v1/chat/completions")
    async def complete(request: ChatRequest) -> ChatCompletion:
        text = await chain.ainvoke(request.messages[-1].content)
        return ChatCompletion(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=request.model,
            choices=[Choice(message=Message(role="assistant", content=text))],
        )

    return app


if __name__ == "__main__":
    uvicorn.run(
        build_app(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
