"""Documents, the passages they are cut into, and the collection these are in.

Offsets count characters (code points).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import GetPydanticSchema
from pydantic_core import core_schema

_ARRAY = GetPydanticSchema(
    lambda _source, _handler: core_schema.is_instance_schema(np.ndarray),
    lambda _schema, _handler: {"type": "array", "items": {}},
)
"""Lets messages that hold arrays have a JSON Schema."""

Vector = Annotated[NDArray[np.float32], _ARRAY]
"""Shape [dimension], length 1."""
Matrix = Annotated[NDArray[np.float32], _ARRAY]
"""Shape [n, dimension], rows of length 1."""
SentenceVectors = Annotated[NDArray[np.int8], _ARRAY]
"""Shape [sentences, dimension]: a unit vector scaled so that its largest component is 127. Its
direction is what is kept, which is all that a cosine needs."""

TextKind = Literal["query", "passage", "plain"]
"""What a text is to an embedding model. A query is what is asked, and what is compared with it;
passages are what is searched. Some models read a prompt before either, none before `plain`."""

Span = tuple[int, int]
"""Start and end of a stretch of text, end excluded."""

Json = Any
"""What JSON can say."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be searched. `path` is relative to its source and names it together with it."""

    source: str
    path: str
    title: str
    text: str
    fingerprint: str
    """Hash of everything that its chunks are made from; another one means: index it again."""


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """Which part of which version of which document a stored chunk is."""

    id: str
    source: str
    path: str
    fingerprint: str
    total: int
    """How many chunks this version of the document has: fewer in the store means unfinished."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: `text` is a verbatim slice that begins at `start`."""

    key: ChunkKey
    title: str
    headings: tuple[str, ...]
    text: str
    start: int
    sentences: tuple[Span, ...]
    """Spans in `text`, in reading order."""


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """A chunk as a reader gets it back from the store."""

    chunk: Chunk
    sentence_vectors: SentenceVectors


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk as the store takes it."""

    chunk: Chunk
    vector: Vector
    sentence_vectors: SentenceVectors


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """A collection, as its own metadata describes it."""

    collection: str
    collection_id: str
    embedding_model: str
    dimension: int
    version: int
    """Rises with each published change, to the microseconds of its time; 0: never published."""
    documents: int
    pending: bool
    """Changes were written and not published yet."""
    sources: str = ""
    """Names all that was not uploaded, as it was published; "": nobody said."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found by dense search; `score` is the cosine with the question."""

    id: str
    score: float
