"""Requests to the vector store and its replies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from agent_runtime.http.documents.attachments import Attribute
from agent_runtime.http.fields import MAX_QUESTION, Body, Identifier, MetadataKey, Text

MAX_QUERIES = 10


class AttachRequest(Body):
    """A file for the store."""

    file_id: Identifier
    attributes: (
        Annotated[
            dict[MetadataKey, Annotated[str, Field(max_length=512)] | bool | float],
            Field(max_length=16),
        ]
        | None
    ) = None
    """Notes of the client's."""
    wait: bool | None = None
    """Reply once the file is searchable."""


def _kind(query: Any) -> str:
    return "<texts>" if isinstance(query, list) else "<text>"


Question = Annotated[Text, Field(min_length=1, max_length=MAX_QUESTION)]


class SearchRequest(Body):
    """A search."""

    query: Annotated[
        Annotated[Question, Tag("<text>")]
        | Annotated[
            Annotated[list[Question], Field(min_length=1, max_length=MAX_QUERIES)], Tag("<texts>")
        ],
        Discriminator(_kind),
    ]
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    """At most as many as the agent retrieves for a question."""
    filters: None = None
    """Not done here."""


class FileCounts(TypedDict):
    """Files by how far they are."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStore(TypedDict):
    """The agent's collection."""

    id: str
    object: Literal["vector_store"]
    name: str
    created_at: int
    status: Literal["in_progress", "completed"]
    file_counts: FileCounts
    usage_bytes: int
    metadata: dict[str, str]
    last_active_at: None
    expires_at: None


class LastError(TypedDict):
    """Why a file is not searchable."""

    code: str
    message: str


class VectorStoreFile(TypedDict):
    """A file of the store."""

    id: str
    object: Literal["vector_store.file"]
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "failed"]
    last_error: LastError | None
    usage_bytes: int
    attributes: dict[str, Attribute]


class DeletedStoreFile(TypedDict):
    """What is left of a file of the store."""

    id: str
    object: Literal["vector_store.file.deleted"]
    deleted: bool


class Found(TypedDict):
    """A passage that was found. `score` is its fused rank score."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Attribute]
    content: list[dict[str, str]]


class FoundPage(TypedDict):
    """What a search found, best first."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[Found]
    has_more: bool
    next_page: None


ATTACH = TypeAdapter(AttachRequest)
SEARCH = TypeAdapter(SearchRequest)
