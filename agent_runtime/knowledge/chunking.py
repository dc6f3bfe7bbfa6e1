"""Cutting a document into passages by structure first and by tokens second.

A passage never crosses a heading, ends at a sentence, row or item, and is a verbatim slice of its
document. It knows neither a model nor a store, only how to count tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk, ChunkKey, Document, Span
from agent_runtime.knowledge.markdown import Block, blocks_of
from agent_runtime.text.sentences import sentence_spans, trim

CountTokens = Callable[[str], int]


def chunk(document: Document, count_tokens: CountTokens, config: ChunkingConfig) -> list[Chunk]:
    """Return the passages of a document in reading order; none where it holds only headings."""
    passages: list[tuple[tuple[str, ...], list[Span]]] = []
    for headings, blocks in groupby(blocks_of(document.text), key=lambda block: block.headings):
        units = list(_units(document.text, blocks, count_tokens, config.max_tokens))
        passages += [
            (headings, spans) for spans in _pack(document.text, units, count_tokens, config)
        ]
    return [
        _chunk(document, headings, spans, ordinal, len(passages))
        for ordinal, (headings, spans) in enumerate(passages)
    ]


def _units(
    text: str, blocks: Iterable[Block], count_tokens: CountTokens, limit: int
) -> Iterable[Span]:
    """Yield sentences, rows and code blocks, each at most `limit` tokens long."""
    for block in blocks:
        whole = [trim(text, block.span)]
        spans = whole if block.kind in ("row", "code") else sentence_spans(text, *block.span)
        for span in spans:
            yield from _halve(text, span, count_tokens, limit)


def _halve(text: str, span: Span, count_tokens: CountTokens, limit: int) -> list[Span]:
    """Split a span that is too long near its middle, at a line end or a space if there is one."""
    start, end = span
    if end - start <= 1 or count_tokens(text[start:end]) <= limit:
        return [span] if start < end else []
    middle = (start + end) // 2
    cut = next(
        (at for mark in "\n 。；，、" if start < (at := text.rfind(mark, start, middle) + 1)),
        middle,
    )
    halves = (trim(text, (start, cut)), trim(text, (cut, end)))
    return [each for half in halves for each in _halve(text, half, count_tokens, limit)]


def _pack(
    text: str, units: Sequence[Span], count_tokens: CountTokens, config: ChunkingConfig
) -> list[list[Span]]:
    """Fill passages up to the limit; each begins with the last sentences of the one before."""
    packed: list[list[Span]] = []
    current: list[Span] = []
    size = 0
    for unit in units:
        tokens = count_tokens(text[slice(*unit)])
        if current and size + tokens > config.max_tokens:
            packed.append(current)
            current = _overlap(text, current, count_tokens, config, tokens)
            size = sum(count_tokens(text[slice(*span)]) for span in current)
        current.append(unit)
        size += tokens
    return [*packed, current] if current else packed


def _overlap(
    text: str, previous: list[Span], count_tokens: CountTokens, config: ChunkingConfig, next_: int
) -> list[Span]:
    tail = previous[len(previous) - config.overlap_sentences :] if config.overlap_sentences else []
    while tail and sum(count_tokens(text[slice(*s)]) for s in tail) + next_ > config.max_tokens:
        tail = tail[1:]
    # A tail as long as the whole passage would repeat it without end.
    return list(tail) if len(tail) < len(previous) else list(tail[1:])


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
