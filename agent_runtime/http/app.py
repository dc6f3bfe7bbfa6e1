"""The ASGI application: routes and middleware put together. It makes nothing itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from agent_runtime.config import LimitsConfig
from agent_runtime.domain import IndexInfo
from agent_runtime.http import errors
from agent_runtime.http.admission import Admission
from agent_runtime.http.authentication import Authentication
from agent_runtime.http.chat.routes import Chat
from agent_runtime.http.conversations.remembered import Conversations
from agent_runtime.http.conversations.routes import ConversationRoutes
from agent_runtime.http.documents.attachments import Attachments, Documents
from agent_runtime.http.documents.batch_routes import BatchRoutes
from agent_runtime.http.documents.batches import Batches
from agent_runtime.http.documents.file_routes import FileRoutes
from agent_runtime.http.documents.files import Files
from agent_runtime.http.documents.store_routes import StoreRoutes
from agent_runtime.http.embeddings import EmbeddingModel, Embeddings, Vectors
from agent_runtime.http.feedback import Feedback
from agent_runtime.http.health import Health, health_routes
from agent_runtime.http.middleware import BodyLimit, Head, Identity, Timing
from agent_runtime.http.models import Models
from agent_runtime.http.names import Names
from agent_runtime.http.openapi import document
from agent_runtime.http.responses.routes import Responses
from agent_runtime.http.tools import Toolbox, Tools
from agent_runtime.http.turns import Agent, Turns
from agent_runtime.ports import Authenticator, Records, Retriever, Sessions
from agent_runtime.telemetry import Telemetry

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application serves."""

    agent: Agent
    names: Names
    limits: LimitsConfig
    health: Health
    telemetry: Telemetry
    toolbox: Toolbox
    sessions: Sessions
    records: Records
    documents: Documents
    retriever: Retriever
    index: Callable[[], IndexInfo]
    """Describes the index in use. Raises AgentError."""
    embedding: EmbeddingModel
    vectors: Vectors
    authenticator: Authenticator | None = None
    """None: nobody can show who they are."""
    identity_required: bool = False
    starting: Work | None = None
    """Done before the first request is taken."""
    stopping: Work | None = None
    """Done after the last one."""


def build_app(parts: Parts) -> ASGIApp:
    """Return the application."""
    telemetry, known = parts.telemetry, parts.authenticator is not None
    admission = Admission(parts.limits, telemetry.metrics.turns)
    turns = Turns(parts.agent, admission, telemetry)
    files = Files(parts.records)
    attachments = Attachments(parts.records, files, parts.documents)
    batches = Batches(parts.records, files, attachments)
    chat = Chat(turns, parts.names)
    readable = parts.toolbox.readable
    conversations = Conversations(parts.sessions, parts.records, parts.names.revision, readable)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        if parts.starting:
            await parts.starting()
        await batches.resume()
        yield
        await attachments.close()
        if parts.stopping:
            await parts.stopping()

    app = Application(
        title="agent-runtime",
        lifespan=lifespan,
        # The documentation pages load scripts from elsewhere; the schema itself stays.
        docs_url=None,
        redoc_url=None,
        # Spans are our own; FastAPI's would hold the messages of errors.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for routes in (
        chat,
        Responses(turns, parts.names, parts.records, readable),
        ConversationRoutes(conversations, chat),
        Models(parts.names),
        Embeddings(parts.embedding, parts.vectors, parts.names, admission),
        Tools(parts.toolbox),
        Feedback(parts.sessions, telemetry),
        FileRoutes(files, attachments, known),
        StoreRoutes(parts.index, files, attachments, parts.retriever, admission, known),
        BatchRoutes(parts.index, batches, known),
    ):
        routes.install(app.router)
    health_routes(parts.health, telemetry, app.router)
    errors.install(app, telemetry)
    # Around the application and not in it, so that they see its internal errors too.
    guarded = Authentication(
        BodyLimit(app), parts.authenticator, parts.identity_required, telemetry
    )
    return Head(Identity(Timing(guarded, telemetry), parts.names.revision))


class Application(FastAPI):
    """FastAPI with our document."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            self.openapi_schema = document(self)
        return self.openapi_schema
