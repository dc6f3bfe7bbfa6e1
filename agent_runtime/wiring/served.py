"""A running agent behind HTTP."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp

from agent_runtime.domain import Evidence, IndexInfo
from agent_runtime.errors import NotFoundError
from agent_runtime.http.app import Parts, build_app
from agent_runtime.http.documents.attachments import Documents
from agent_runtime.http.health import Health
from agent_runtime.http.names import Names
from agent_runtime.knowledge.ingest import Ingestion
from agent_runtime.knowledge.preparing import recipe
from agent_runtime.knowledge.quiet import quiet_thread
from agent_runtime.knowledge.worker import DocumentWorker
from agent_runtime.settings import Environment
from agent_runtime.stores import Index
from agent_runtime.wiring import models
from agent_runtime.wiring.documents import ServedDocuments
from agent_runtime.wiring.runtime import Runtime


def served(runtime: Runtime, environment: Environment) -> tuple[ASGIApp, Callable[[], None]]:
    """Return the application, and what tells it that the process is about to end."""
    config, state = runtime.config, runtime.state
    health = Health(runtime.ready, environment.revision, runtime.degraded)
    nothing = Nothing()
    parts = Parts(
        agent=runtime.pipeline,
        names=Names(
            environment.revision, runtime.generator.model, config.retrieval.embedding_model
        ),
        limits=config.limits,
        health=health,
        telemetry=runtime.telemetry,
        toolbox=runtime.toolbox,
        sessions=state.sessions,
        records=state.records,
        documents=_documents(runtime, environment) or nothing,
        retriever=runtime.knowledge.retriever if runtime.knowledge else nothing,
        index=lambda: runtime.ready() or nothing.index(),
        embedding=runtime.embedder or nothing,
        vectors=runtime.vectors,
        authenticator=runtime.authenticator,
        identity_required=config.identity.required,
        starting=runtime.start,
        stopping=runtime.stop,
    )
    return build_app(parts), health.drain


def _documents(runtime: Runtime, environment: Environment) -> Documents | None:
    knowledge, embedder = runtime.knowledge, runtime.embedder
    if knowledge is None or embedder is None:
        return None
    chunking = runtime.config.retrieval.chunking
    worker = DocumentWorker(models.counter(runtime.config, environment.models), chunking)
    # Passages of an upload must not take all that questions are embedded with.
    thread = quiet_thread()

    async def close() -> None:
        worker.close()
        thread.shutdown(wait=False, cancel_futures=True)

    runtime.close_with(close)

    def ingestion(index: Index) -> Ingestion:
        return Ingestion(index, embedder, worker, _quietly, thread)

    made = recipe(chunking, embedder.passage_prompt)
    return ServedDocuments(knowledge.opened, ingestion, made, knowledge.follower)


def _quietly(done: int, total: int, chunks: int) -> None:
    """Whoever uploads asks for the status of the file."""


class Nothing:
    """Stands for the documents of an agent that has none."""

    dimension = 0
    max_tokens = 0

    def index(self) -> IndexInfo:
        raise NotFoundError("this agent has no vector store")

    def count_tokens(self, text: str) -> int:
        raise NotFoundError("this agent has no embedding model")

    async def retrieve(self, question: str) -> Evidence:
        raise NotFoundError("this agent has no vector store")

    async def add(self, path: str, content: bytes) -> int:
        raise NotFoundError("this agent has no vector store")

    async def remove(self, path: str) -> int:
        raise NotFoundError("this agent has no vector store")

    async def in_use(self, version: int) -> None:
        raise NotFoundError("this agent has no vector store")
