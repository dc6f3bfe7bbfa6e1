"""Vectors of passages and of their sentences. It blocks: call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent_runtime.domain import Chunk, EmbeddedChunk, SentenceVectors
from agent_runtime.ports import Embedder


def embed(chunks: Sequence[Chunk], embedder: Embedder) -> list[EmbeddedChunk]:
    """Embed each passage below its title and headings, and each of its sentences alone."""
    sentences = [chunk.text[slice(*span)] for chunk in chunks for span in chunk.sentences]
    texts = [f"{heading_of(chunk)}\n{chunk.text}" for chunk in chunks]
    vectors = embedder.embed(texts, "passage")
    quantized = _quantize(embedder.embed(sentences, "passage"))
    ends = np.cumsum([len(chunk.sentences) for chunk in chunks])
    parts = np.split(quantized, ends[:-1])
    return [EmbeddedChunk(*parts_) for parts_ in zip(chunks, vectors, parts, strict=True)]


def heading_of(chunk: Chunk) -> str:
    """Return title and headings in one line, each once."""
    return " > ".join(dict.fromkeys((chunk.title, *chunk.headings)))


def _quantize(rows: np.ndarray) -> SentenceVectors:
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.rint(rows / np.maximum(largest, 1e-9) * 127).astype(np.int8)
