"""From a file to its passages: what an ingestion does to each document before it is embedded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk, Document
from agent_runtime.knowledge.chunking import chunk
from agent_runtime.knowledge.parsing import parse
from agent_runtime.knowledge.sources import Original
from agent_runtime.ports import TokenCounter


class Prepare(Protocol):
    """Yields the passages of a file, some at a time; every one knows how many there are."""

    def __call__(self, original: Original, /) -> AsyncGenerator[Sequence[Chunk]]:
        """Raises UnreadableDocumentError before the first."""
        ...


def recipe(config: ChunkingConfig, passage_prompt: str) -> str:
    """Describe what indexed chunks depend on besides the file and the model. Count up the number
    with the code."""
    prompt = f":{passage_prompt}" if passage_prompt else ""
    return f"2:{config.max_tokens}:{config.overlap_sentences}{prompt}"


def passages(original: Original, count: TokenCounter, config: ChunkingConfig) -> list[Chunk]:
    """Read a file and cut it. Slow, and the interpreter's lock is held all the while.

    Raises:
        UnreadableDocumentError: there is no text in it that can be searched.
    """
    parsed = parse(original.path, original.read())
    document = Document(
        original.source, original.path, parsed.title, parsed.text, original.fingerprint
    )
    return chunk(document, count, config)
