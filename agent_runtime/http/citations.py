"""Citations as annotations of OpenAI's type `file_citation`: the same in every API and stream."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from agent_runtime.domain import Chunk, Citation

UPLOADS = "files"
"""Source of documents that came through /v1/files. Their path begins with the file's id."""


class Annotation(TypedDict):
    """Which part of the text comes from which document. Offsets count characters."""

    type: Literal["file_citation"]
    file_id: str
    filename: str
    index: int
    """Which of the cited files this is, in the order of their first citation."""
    title: str
    start_index: int
    end_index: int
    quote: str
    """Stands word for word in the document."""
    score: float
    chunk_id: str


class Annotations:
    """Numbers the files of one reply."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}

    def of(self, citation: Citation) -> Annotation:
        """Return a citation as an annotation."""
        file = file_of(citation.chunk)
        return {
            "type": "file_citation",
            "file_id": file,
            "filename": filename_of(citation.chunk),
            "index": self._files.setdefault(file, len(self._files)),
            "title": citation.chunk.title,
            "start_index": citation.start,
            "end_index": citation.end,
            "quote": citation.quote,
            "score": round(citation.score, 4),
            "chunk_id": citation.chunk.key.id,
        }


def file_of(chunk: Chunk) -> str:
    """Return the id of the file that a chunk is from: SOURCE/PATH, or that of an upload."""
    key = chunk.key
    return key.path.partition("/")[0] if key.source == UPLOADS else f"{key.source}/{key.path}"


def filename_of(chunk: Chunk) -> str:
    """Return the file's name without its folders."""
    return chunk.key.path.rsplit("/", 1)[-1]
