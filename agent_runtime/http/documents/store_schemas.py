"""Requests to the vector store and its replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from agent_runtime.errors import InvalidRequestError
from agent_runtime.http.documents.attachments import Attribute, Status
from agent_runtime.http.fields import MAX_QUESTION, Body, Identifier, MetadataKey, Text

MAX_QUERIES = 10
MAX_BATCH = 500


def _type(value: Any) -> str:
    return {str: "<text>", bool: "<flag>"}.get(type(value), "<number>")


_Value = Annotated[
    Annotated[str, Field(max_length=512), Tag("<text>")]
    | Annotated[bool, Tag("<flag>")]
    | Annotated[float, Field(allow_inf_nan=False), Tag("<number>")],
    Discriminator(_type),
]
Attributes = Annotated[dict[MetadataKey, _Value], Field(max_length=16)]


class NamedFile(Body):
    """A file for the store."""

    file_id: Identifier
    attributes: Attributes | None = None
    """Notes of the client's."""


class AttachRequest(NamedFile):
    """A file for the store."""

    wait: bool | None = None
    """Reply once the file is searchable."""


class BatchRequest(Body):
    """Files for the store: `file_ids` or `files`."""

    file_ids: Annotated[list[Identifier], Field(min_length=1, max_length=MAX_BATCH)] | None = None
    attributes: Attributes | None = None
    """Notes of the client's for each of `file_ids`."""
    files: Annotated[list[NamedFile], Field(min_length=1, max_length=MAX_BATCH)] | None = None
    """Files with notes of their own."""
    wait: bool | None = None
    """Reply once the files are searchable."""


def wanted(body: BatchRequest) -> Mapping[str, Mapping[str, Attribute]]:
    """Return the attributes of each file by its id. Raises InvalidRequestError."""
    if body.files is not None and body.file_ids is not None:
        raise InvalidRequestError("files: give either these or file_ids", "files")
    if body.files is not None:
        return {each.file_id: each.attributes or {} for each in body.files}
    if body.file_ids is None:
        raise InvalidRequestError("file_ids: these or files are needed", "file_ids")
    return dict.fromkeys(body.file_ids, body.attributes or {})


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
    status: Status
    last_error: LastError | None
    usage_bytes: int
    attributes: dict[str, Attribute]


class FileBatch(TypedDict):
    """Files that were attached together."""

    id: str
    object: Literal["vector_store.files_batch"]
    created_at: int
    vector_store_id: str
    status: Status
    file_counts: FileCounts


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
BATCH = TypeAdapter(BatchRequest)
SEARCH = TypeAdapter(SearchRequest)
