"""Cutting a document into passages by structure first and by tokens second.

A passage never crosses a heading, ends at a sentence, row or item, and is a verbatim slice of its
document. It knows neither a model nor a store, only how to count tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk, ChunkKey, Document, Span
from agent_runtime.knowledge.markdown import Block, blocks_of
from agent_runtime.ports import TokenCounter
from agent_runtime.text.sentences import sentence_spans, trim


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, row or code block, or a part of one that is too long."""

    span: Span
    tokens: int


def chunk(document: Document, count_tokens: TokenCounter, config: ChunkingConfig) -> list[Chunk]:
    """Return the passages of a document in reading order; none where it holds only headings."""
    text = document.text
    spans = [(block.headings, span) for block in blocks_of(text) for span in _spans(text, block)]
    # All at once: a tokenizer is many times faster with a batch than with one sentence.
    counts = count_tokens([text[slice(*span)] for _, span in spans])
    counted = zip(spans, counts, strict=True)
    passages: list[tuple[tuple[str, ...], list[Span]]] = []
    for headings, group in groupby(counted, key=lambda each: each[0][0]):
        units = [
            unit
            for (_, span), tokens in group
            for unit in _halve(text, _Unit(span, tokens), count_tokens, config.max_tokens)
        ]
        passages += [(headings, [unit.span for unit in units]) for units in _pack(units, config)]
    return [
        _chunk(document, headings, spans, ordinal, len(passages))
        for ordinal, (headings, spans) in enumerate(passages)
    ]


def _spans(text: str, block: Block) -> list[Span]:
    """Return the sentences of a block, or the block where it is none of prose."""
    if block.kind in ("row", "code"):
        start, end = trim(text, block.span)
        return [(start, end)] if start < end else []
    return sentence_spans(text, *block.span)


def _halve(text: str, unit: _Unit, count_tokens: TokenCounter, limit: int) -> list[_Unit]:
    """Split a unit that is too long near its middle, at a line end or a space if there is one."""
    start, end = unit.span
    if end - start <= 1 or unit.tokens <= limit:
        return [unit] if start < end else []
    middle = (start + end) // 2
    cut = next(
        (at for mark in "\n 。；，、" if start < (at := text.rfind(mark, start, middle) + 1)),
        middle,
    )
    halves = [trim(text, (start, cut)), trim(text, (cut, end))]
    counts = count_tokens([text[slice(*half)] for half in halves])
    return [
        each
        for half, tokens in zip(halves, counts, strict=True)
        for each in _halve(text, _Unit(half, tokens), count_tokens, limit)
    ]


def _pack(units: Sequence[_Unit], config: ChunkingConfig) -> list[list[_Unit]]:
    """Fill passages up to the limit; each begins with the last sentences of the one before."""
    packed: list[list[_Unit]] = []
    current: list[_Unit] = []
    size = 0
    for unit in units:
        if current and size + unit.tokens > config.max_tokens:
            packed.append(current)
            current = _overlap(current, config, unit.tokens)
            size = _tokens(current)
        current.append(unit)
        size += unit.tokens
    return [*packed, current] if current else packed


def _overlap(previous: list[_Unit], config: ChunkingConfig, following: int) -> list[_Unit]:
    tail = previous[len(previous) - config.overlap_sentences :] if config.overlap_sentences else []
    while tail and _tokens(tail) + following > config.max_tokens:
        tail = tail[1:]
    # A tail as long as the whole passage would repeat it without end.
    return list(tail) if len(tail) < len(previous) else list(tail[1:])


def _tokens(units: Sequence[_Unit]) -> int:
    return sum(unit.tokens for unit in units)


def _chunk(
    document: Document, headings: tuple[str, ...], spans: list[Span], ordinal: int, total: int
) -> Chunk:
    start, end = spans[0][0], spans[-1][1]
    chunk_id = f"{document.source}/{document.path}#{document.fingerprint[:12]}-{ordinal}"
    return Chunk(
        key=ChunkKey(chunk_id, document.source, document.path, document.fingerprint, total),
        title=document.title,
        headings=headings,
        text=document.text[start:end],
        start=start,
        sentences=tuple((a - start, b - start) for a, b in spans),
    )
