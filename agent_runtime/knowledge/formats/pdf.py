"""Reading PDF with pypdf: its lines with their sizes and places, then paragraphs below headings.

A heading is what is set larger than the body. The page number ends the path of headings, so that a
citation can name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import hypot
from typing import Any

from pypdf import PageObject, PdfReader

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.knowledge.formats.layout import Line, paragraphs
from agent_runtime.knowledge.formats.writer import MarkdownWriter, one_line
from agent_runtime.text.language import language_of

_NO_TITLES = ("", "untitled", "(anonymous)", "(unspecified)")
_PAGE_LEVEL = 6
SAME_LINE = 0.4
"""Of the size: how far apart what stands on one line may be in height."""


def read_pdf(content: bytes) -> tuple[str | None, str]:
    """Return title and text. Raises UnreadableDocumentError."""
    try:
        reader = PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableDocumentError("encrypted: it opens with a password only")
        pages = [_lines(page) for page in reader.pages]
        title = one_line(str((reader.metadata or {}).get("/Title") or ""))
    except (UnreadableDocumentError, RecursionError, MemoryError):
        raise
    except Exception as error:  # pypdf raises what its parsing meets: KeyError, ValueError…
        raise UnreadableDocumentError(f"a broken PDF: {error}") from error
    if not any(pages):
        raise UnreadableDocumentError("no text in it: its pages are images, or empty")
    return _written(pages, None if title.lower() in _NO_TITLES else title)


def _written(pages: Sequence[Sequence[Line]], title: str | None) -> tuple[str | None, str]:
    writer = MarkdownWriter()
    marked = 0
    chinese = language_of("".join(line.text for page in pages for line in page)) == "zh"
    parts = paragraphs(pages)
    headings = [part for part in parts if part.kind == "heading"]
    first = [part for part in headings if part.page == headings[0].page]
    for part in parts:
        if part.kind == "heading":
            writer.heading(part.level, part.text)
            marked = 0  # the page is named below the new heading again
            continue
        if part.page != marked:
            marked = part.page
            writer.heading(_PAGE_LEVEL, f"第 {marked} 页" if chinese else f"Page {marked}")
        if part.kind == "row":
            writer.rows(part.rows)
        elif part.kind == "item":
            writer.item(part.text)
        else:
            writer.prose(part.text)
    largest = min(first, key=lambda part: part.level, default=None)
    return (largest.text if largest else title), writer.text


def _lines(page: PageObject) -> list[Line]:
    """Return the lines of a page in the order in which they are drawn."""
    lines: list[Line] = []
    words: list[str] = []
    height = size = 0.0

    def end() -> None:
        if text := one_line("".join(words)):
            last = lines[-1] if lines else None
            if last and abs(last.height - height) <= SAME_LINE * max(size, last.size):
                of_longer = size if len(text) > len(last.text) else last.size
                lines[-1] = Line((*last.cells, text), last.height, of_longer)
            else:
                lines.append(Line((text,), height, size))
        words.clear()

    def take(text: str, cm: list[float], tm: list[float], font: Any, points: float) -> None:
        nonlocal height, size
        for number, part in enumerate(text.split("\n")):
            if number:
                end()
            if part.strip():
                if not "".join(words).strip():
                    height = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
                    size = 0.0
                size = max(size, abs(points) * hypot(tm[2], tm[3]) * hypot(cm[2], cm[3]))
            words.append(part)

    page.extract_text(visitor_text=take)
    end()
    return lines
