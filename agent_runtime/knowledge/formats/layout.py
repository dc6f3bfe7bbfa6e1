"""From the lines of printed pages to paragraphs, headings, items and rows. Pure.

Rules of thumb: a gap, a bullet or another size begins something new; what is repeated at the edge
of most pages is no text; a word divided at the end of a line is made whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import multimode
from typing import Literal

LARGER = 1.15
"""How much larger than the body a heading is."""
HEADING_CHARACTERS = 200
GAP = 1.35
"""How much wider than the usual one the gap before a paragraph is."""
ROW_GAP = 2.5
"""The same between the rows of a table, which are set apart."""
SHORT = 0.75
"""Of the widest line: one that ends a sentence and is shorter ends a paragraph."""
EDGE_LINES = 2
REPEATED = 0.6
"""On how many of the pages a running head is, and on two at least."""

_BULLET = re.compile(r"(?:[•▪◦●○■□◆‣·∙⁃\x7f\uf0b7]|[-–*](?=\s))\s*")
_NUMBER = re.compile(r"\(?\d{1,3}[.)）、]\s+")
_ENDS = re.compile(r"[.!?:;。！？：；…][\"'”’)\]』」）]*$")
_WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_DIVIDED = re.compile(r"[^\W\d_]+-$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page: what stands apart on it are cells. Height and size are in points."""

    cells: tuple[str, ...]
    height: float
    size: float

    @property
    def text(self) -> str:
        return " ".join(self.cells)


@dataclass(slots=True)
class Part:
    """Something to be read as one: `rows` belongs to `row`, `level` to `heading`."""

    kind: Literal["heading", "prose", "item", "row"]
    page: int
    lines: list[Line]
    text: str = ""
    level: int = 0

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return [line.cells for line in self.lines]


def paragraphs(pages: Sequence[Sequence[Line]]) -> list[Part]:
    """Return what is on the pages, in order; a paragraph belongs to the page it begins on."""
    cleaned = _without_running_heads(pages)
    sizes = Counter[float]()
    for line in (line for page in cleaned for line in page):
        sizes[round(line.size * 2) / 2] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted((size for size in sizes if size >= body * LARGER), reverse=True)
    words = {word for page in cleaned for line in page for word in _WORD.findall(line.text)}
    parts: list[Part] = []
    for number, page in enumerate(cleaned, 1):
        usual = _usual_gap(page)
        widest = max((_width(line) for line in page), default=0)
        for line in page:
            kind = _kind(line, body)
            last = parts[-1] if parts else None
            if last and _continues(last, line, kind, number, usual, widest):
                last.lines.append(line)
            else:
                parts.append(Part(kind, number, [line]))
    for part in parts:
        part.text = _joined(part, words)
        if part.kind == "heading":
            part.level = min(larger.index(round(part.lines[0].size * 2) / 2) + 1, 5)
    return [part for part in parts if part.text]


def _usual_gap(page: Sequence[Line]) -> float:
    """Return the commonest gap between lines of one size, of several the smallest."""
    gaps = [
        round(above.height - below.height)
        for above, below in pairwise(page)
        if above.height > below.height and abs(above.size - below.size) < 1
    ]
    return min(multimode(gaps), default=0)


def _without_running_heads(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    edges = [
        {_numberless(line) for line in sorted(page, key=lambda line: line.height)[part]}
        for page in pages
        for part in (slice(None, EDGE_LINES), slice(-EDGE_LINES, None))
    ]
    counted = Counter(
        text for lower, upper in zip(edges[::2], edges[1::2], strict=True) for text in lower | upper
    )
    least = max(2.0, REPEATED * len(pages))
    running = {text for text, pages_ in counted.items() if pages_ >= least}
    return [[line for line in page if _numberless(line) not in running] for page in pages]


def _numberless(line: Line) -> str:
    """Return what is the same on every page; a row of figures is not."""
    named = _WORD.search(line.text) or len(re.findall(r"\d+", line.text)) == 1
    return re.sub(r"\d+", "#", line.text) if named else line.text


def _kind(line: Line, body: float) -> Literal["heading", "prose", "item", "row"]:
    if _BULLET.match(line.text):
        return "item"
    size = round(line.size * 2) / 2
    if size >= body * LARGER and len(line.text) <= HEADING_CHARACTERS:
        return "heading"
    if _NUMBER.match(line.text):
        return "item"
    return "row" if len(line.cells) > 1 else "prose"


def _continues(last: Part, line: Line, kind: str, page: int, usual: float, widest: int) -> bool:
    """Tell whether a line goes on with what is open."""
    above = last.lines[-1]
    alike = abs(above.size - line.size) <= 0.1 * above.size
    if kind == "item" or not alike:
        return False
    unfinished = not _ENDS.search(above.text)
    if last.page != page or above.height <= line.height:  # the next page, or the next column
        goes_on = line.text[0].islower() or bool(_WIDE.match(line.text))
        return kind == "prose" and last.kind in ("prose", "item") and unfinished and goes_on
    wide = ROW_GAP if kind == "row" else GAP
    near = above.height - line.height <= wide * max(usual, line.size)
    if kind in ("heading", "row"):
        return kind == last.kind and near
    full = _width(above) >= SHORT * widest
    return last.kind in ("prose", "item") and near and (unfinished or full)


def _width(line: Line) -> int:
    return len(line.text) + len(_WIDE.findall(line.text))


def _joined(part: Part, words: set[str]) -> str:
    text = ""
    for line in part.lines:
        following = line.text.replace("\u00ad", "")
        if not text:
            text = _unmarked(following) if part.kind == "item" else following
        elif divided := _DIVIDED.search(text):
            text = _undivided(text, divided[0], following, words)
        elif _WIDE.match(text[-1]) and _WIDE.match(following):
            text += following
        else:
            text += f" {following}"
    return text


def _undivided(text: str, head: str, following: str, words: set[str]) -> str:
    """Join a word that a line end divides, and keep the hyphen where it is the word's own."""
    tail = _WORD.match(following)
    whole = head[:-1] + (tail[0] if tail else "")
    own = not tail or not tail[0][0].islower() or (head + tail[0] in words and whole not in words)
    return text + following if own else text[:-1] + following


def _unmarked(text: str) -> str:
    return _NUMBER.sub("", _BULLET.sub("", text, count=1), count=1)
