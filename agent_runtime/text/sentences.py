"""Sentence boundaries of English and Chinese prose, as spans of the original text.

Rules, not a model: an end mark, its closing quotes, then a space and a likely beginning (English)
or nothing at all (Chinese). It must never change or drop a character that is not white space.
"""

from __future__ import annotations

import re

from agent_runtime.domain import Span

# From the first of a run of marks, without trying again with fewer of them: a line of dots would
# take for ever.
_END = re.compile(
    r"[。！？]+[”’」』）)]*"
    r"|(?<![.!?…])[.!?…]++[\"'”’)\]*_`]*+(?=\s+[\"'“‘(\[*_`]*[^\W_a-z]|\s*$)"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|no|fig|mr|mrs|ms|dr|prof|inc|ltd|st|dept|est)|\b[A-Z])\.$",
    re.IGNORECASE,
)


def sentence_spans(text: str, start: int, end: int) -> list[Span]:
    """Split `text[start:end]` into sentences, without the white space around each."""
    spans: list[Span] = []
    begin = start
    for mark in _END.finditer(text, start, end):
        if mark.end() < end and _ABBREVIATION.search(text, max(begin, mark.end() - 8), mark.end()):
            continue
        spans.append((begin, mark.end()))
        begin = mark.end()
    spans.append((begin, end))
    trimmed = (trim(text, span) for span in spans)
    return [span for span in trimmed if span[0] < span[1]]


def trim(text: str, span: Span) -> Span:
    """Narrow a span so that it neither begins nor ends with white space."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
