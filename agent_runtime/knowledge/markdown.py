"""The structure of a Markdown or plain-text document: blocks under headings, as spans.

A line-based reader of what prose is made of, not a renderer: it keeps offsets into the original
text, so that passages and quotes stay verbatim.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent_runtime.domain import Span

Kind = Literal["prose", "item", "row", "code"]

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_RULE = re.compile(r" {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_ROW = re.compile(r"[ \t]*\|")
_ROW_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_QUOTE = re.compile(r"[ \t]*>[ \t]?")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)(?:\n|\Z)", re.DOTALL)
_COMMENT = re.compile(r"[ \t]*<!--.*?-->[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item, table row or fenced code below `headings` (outermost first)."""

    kind: Kind
    span: Span
    headings: tuple[str, ...]


def title_of(text: str) -> str | None:
    """Return the first heading of the first level, else the first heading of any."""
    headings = [found for line, _, _ in _lines(text) if (found := _HEADING.match(line))]
    first = next((found for found in headings if len(found[1]) == 1), None)
    chosen = first or (headings[0] if headings else None)
    return (chosen[2] or "").strip() or None if chosen else None


def blocks_of(text: str) -> list[Block]:
    """Cut a document into blocks, in order and without overlap."""
    reader = _Reader()
    for line, start, end in _lines(text):
        reader.take(line, start, end)
    reader.close()
    return reader.blocks


class _Reader:
    """What is open while lines go by: a block, a fence, the path of headings."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._open: tuple[Kind, int, int] | None = None
        self._fence: str | None = None
        self._text = ""

    def take(self, line: str, start: int, end: int) -> None:
        if self._fence is not None:
            self._extend(end)
            if line.strip().startswith(self._fence) and not line.strip(" `~"):
                self._fence = None
                self.close()
        elif fence := _FENCE.match(line):
            self._begin("code", start, end)
            self._fence = fence[1]
        elif heading := _HEADING.match(line):
            self._head(len(heading[1]), heading[2] or "")
        elif (under := _UNDERLINE.match(line)) and self._open and self._open[0] == "prose":
            self._open = None
            self._head(1 if under[1][0] == "=" else 2, self._text)
        elif not line.strip() or _RULE.match(line):
            self.close()
        elif _ROW.match(line):
            if not _ROW_RULE.match(line):
                self._begin("row", start, end)
        elif item := _ITEM.match(line):
            self._begin("item", start + item.end(), end)
        else:
            self._prose(line, start, end)

    def close(self) -> None:
        if self._open is not None:
            kind, start, end = self._open
            headings = tuple(text for _, text in self._path)
            self.blocks.append(Block(kind, (start, end), headings))
        self._open = None

    def _prose(self, line: str, start: int, end: int) -> None:
        quote = _QUOTE.match(line)
        if self._open is not None and self._open[0] in ("prose", "item"):
            self._extend(end)
        else:
            self._begin("prose", start + (quote.end() if quote else 0), end)
        self._text = line.strip()

    def _begin(self, kind: Kind, start: int, end: int) -> None:
        self.close()
        if start < end:
            self._open = (kind, start, end)

    def _extend(self, end: int) -> None:
        if self._open is not None:
            self._open = (self._open[0], self._open[1], end)

    def _head(self, level: int, text: str) -> None:
        self.close()
        self._path = [(above, name) for above, name in self._path if above < level]
        self._path.append((level, text.strip()))


def _lines(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield lines with their spans; front matter and comments come as blank ones."""
    hidden = [found.span() for found in _COMMENT.finditer(text)]
    if front := _FRONT_MATTER.match(text):
        hidden.append(front.span())
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        covered = any(begin <= start and end <= stop for begin, stop in hidden)
        yield ("" if covered else line), start, end
        start = end + 1
