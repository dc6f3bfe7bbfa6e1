"""What the parts of the pipeline hand to each other: turns, chunks, evidence, pieces of a reply.

Plain immutable values without behaviour that needs I/O. Offsets count characters (code points).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""Shape [dimension], length 1."""
Matrix = NDArray[np.float32]
"""Shape [n, dimension], rows of length 1."""
SentenceVectors = NDArray[np.int8]
"""Shape [sentences, dimension]: a unit vector scaled so that its largest component is 127. Its
direction is what is kept, which is all that a cosine needs."""

Span = tuple[int, int]
"""Start and end of a stretch of text, end excluded."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


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
    """Counts up with each published change; 0: never published."""
    documents: int
    pending: bool
    """Changes were written and not published yet."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found by dense search; `score` is the cosine with the question."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk given to the generator, best first; `score` is its fused rank score."""

    indexed: IndexedChunk
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """A question with what retrieval found out about it."""

    question: str
    vector: Vector
    semantic: bool
    """The embedding model reads the question's language, so that its cosines mean something."""
    weights: Mapping[str, float]
    """The question's words, each with its inverse document frequency."""
    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True)
class Citation:
    """Which part of the reply (`start` to `end`) comes from which document, word for word."""

    start: int
    end: int
    quote: str
    score: float
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply as it is written. `refusal`: it says that there is no answer."""

    text: str
    citation: Citation | None = None
    refusal: bool = False
