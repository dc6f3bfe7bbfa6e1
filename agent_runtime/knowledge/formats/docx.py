"""Reading Word documents (DOCX): headings, paragraphs, list items and tables in reading order.

python-docx opens the package and knows the styles. The body is walked here, since its own text
leaves out tracked insertions and content controls. Deleted and hidden text is not read.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import docx
from docx.oxml.ns import qn

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.knowledge.formats.writer import MarkdownWriter, one_line

UNPACKED_BYTES = 100 * 2**20
PARTS = 10_000
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_REMOVED = frozenset(map(qn, ("w:del", "w:moveFrom")))
_SKIPPED = _REMOVED.union(map(qn, ("w:instrText", "w:pPr", "w:rPr", "w:txbxContent")))
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def read_docx(content: bytes) -> tuple[str | None, str]:
    """Return title and text. Raises UnreadableDocumentError."""
    _weigh(content)
    try:
        document = docx.Document(BytesIO(content))
        styles = _Styles(document)
        title = one_line(document.core_properties.title or "")
        reader = _Reader(styles)
        reader.read(document.element.body)
    except (RecursionError, MemoryError):
        raise
    except Exception as error:  # the package raises what its parts do: KeyError, XMLSyntaxError…
        raise UnreadableDocumentError(f"a broken Word document: {error}") from error
    return reader.title or title or None, reader.writer.text


def _weigh(content: bytes) -> None:
    """Refuse what unpacks to far more than it is, before anything is unpacked."""
    try:
        parts = zipfile.ZipFile(BytesIO(content)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UnreadableDocumentError(f"a broken Word document: {error}") from error
    if any(part.flag_bits & 1 for part in parts):
        raise UnreadableDocumentError("encrypted")
    if len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED_BYTES:
        raise UnreadableDocumentError(f"unpacks to more than {UNPACKED_BYTES >> 20} MiB")


class _Styles:
    """Which paragraph styles are headings and lists, their own or by what they are based on."""

    def __init__(self, document: Any) -> None:
        self._levels: dict[str, int] = {}
        self._lists: set[str] = set()
        self.titles: set[str] = set()
        self.contents: set[str] = set()
        for style in document.styles:
            for each in _ancestry(style):
                if found := _HEADING.fullmatch(each.name or ""):
                    self._levels.setdefault(style.style_id, int(found[1]))
                if each.name == "Title":
                    self.titles.add(style.style_id)
                if (each.name or "").lower().startswith("toc "):
                    self.contents.add(style.style_id)
                if (each.name or "").startswith("List ") or each.element.find(
                    f"{qn('w:pPr')}/{qn('w:numPr')}"
                ) is not None:
                    self._lists.add(style.style_id)

    def level(self, paragraph: Any) -> int | None:
        """Return a heading's level from 1, None for what is no heading."""
        outline = paragraph.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
        if outline is not None and (level := int(outline.get(qn("w:val"), 9))) < 9:
            return level + 1
        return self._levels.get(_style_of(paragraph))

    def is_item(self, paragraph: Any) -> bool:
        numbered = paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None
        return numbered or _style_of(paragraph) in self._lists


class _Reader:
    def __init__(self, styles: _Styles) -> None:
        self.writer = MarkdownWriter()
        self.title: str | None = None
        self._styles = styles
        self._below_title = 0

    def read(self, container: Any) -> None:
        for element in container:
            if element.tag == qn("w:p"):
                self._paragraph(element)
                for box in _inside(element, qn("w:txbxContent")):
                    self.read(box)
            elif element.tag == qn("w:tbl"):
                rows = _inside(element, qn("w:tr"))
                self.writer.rows(
                    [[_cell(cell) for cell in _inside(row, qn("w:tc"))] for row in rows]
                )
            elif element.tag not in _SKIPPED and element.tag != qn("w:sectPr"):
                self.read(element)  # content controls, tracked insertions

    def _paragraph(self, paragraph: Any) -> None:
        if _style_of(paragraph) in self._styles.contents:
            return
        text = one_line(_text(paragraph))
        level = self._styles.level(paragraph)
        if _style_of(paragraph) in self._styles.titles and self.title is None and text:
            self.title, self._below_title = text, 1
            self.writer.heading(1, text)
        elif level is not None:
            self.writer.heading(level + self._below_title, text)
        elif self._styles.is_item(paragraph):
            self.writer.item(text)
        else:
            self.writer.prose(text)


def _ancestry(style: Any) -> Iterator[Any]:
    """Yield a style and those it is based on; a broken document may go in a circle."""
    seen: set[str] = set()
    while style is not None and style.style_id not in seen:
        seen.add(style.style_id)
        yield style
        style = getattr(style, "base_style", None)


def _style_of(paragraph: Any) -> str:
    style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
    return "" if style is None else style.get(qn("w:val"), "")


def _inside(element: Any, tag: str) -> Iterator[Any]:
    """Yield the outermost elements of a kind, through whatever wraps them."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag != _FALLBACK and child.tag not in _REMOVED:
            yield from _inside(child, tag)


def _cell(cell: Any) -> str:
    return " ".join(_text(paragraph) for paragraph in cell.iter(qn("w:p")))


def _text(element: Any) -> str:
    """Return the text of a paragraph as it is shown."""
    if element.tag in _SKIPPED or element.tag == _FALLBACK:
        return ""
    if element.tag == qn("w:t"):
        return element.text or ""
    if element.tag in (qn("w:tab"), qn("w:br"), qn("w:cr")):
        return " "
    if element.tag == qn("w:noBreakHyphen"):
        return "-"
    if element.tag == qn("w:r") and _is_hidden(element):
        return ""
    return "".join(_text(child) for child in element)


def _is_hidden(run: Any) -> bool:
    vanish = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
    return vanish is not None and vanish.get(qn("w:val"), "true") not in ("0", "false", "off")
