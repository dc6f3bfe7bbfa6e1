"""An answer as bytes, with the question that it answers. Anything else is no answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from agent_runtime.domain import Answer, Chunk, Citation, Usage

LARGEST_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class _Citation:
    start: int
    end: int
    quote: str
    score: float
    chunk: int
    """Place in `chunks`, since several sentences often come from one."""


@dataclass(frozen=True, slots=True)
class _Stored:
    version: Literal[1]
    question: str
    text: str
    citations: tuple[_Citation, ...]
    chunks: tuple[Chunk, ...]
    usage: Usage
    refusal: bool


_STORED = TypeAdapter(_Stored)


def cacheable(answer: Answer) -> bool:
    """Tell whether an answer may be given again: it is whole, and no tool was used or is wanted."""
    used = answer.tool_calls or answer.client_calls or answer.pending
    return not used and answer.finish_reason == "stop" and bool(answer.text.strip())


def encode(question: str, answer: Answer) -> bytes | None:
    """Return an answer as JSON, or None where it cannot be stored."""
    chunks = tuple(dict.fromkeys(citation.chunk for citation in answer.citations))
    places = {chunk: at for at, chunk in enumerate(chunks)}
    citations = tuple(
        _Citation(each.start, each.end, each.quote, float(each.score), places[each.chunk])
        for each in answer.citations
    )
    stored = _Stored(1, question, answer.text, citations, chunks, answer.usage, answer.refusal)
    try:
        data = orjson.dumps(stored)
    except TypeError:  # half of a surrogate pair
        return None
    return data if len(data) <= LARGEST_BYTES else None


def decode(data: bytes) -> tuple[str, Answer] | None:
    """Return the question and its answer, or None where the bytes are something else."""
    try:
        stored = _STORED.validate_json(data)
    except ValidationError:
        return None
    size = len(stored.text)
    for each in stored.citations:
        if not (0 <= each.start <= each.end <= size and 0 <= each.chunk < len(stored.chunks)):
            return None
    citations = tuple(
        Citation(each.start, each.end, each.quote, each.score, stored.chunks[each.chunk])
        for each in stored.citations
    )
    answer = Answer(
        stored.text,
        citations,
        usage=stored.usage,
        refusal=stored.refusal,
        cached=True,
    )
    return stored.question, answer
