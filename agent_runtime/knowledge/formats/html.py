"""Reading HTML: headings, paragraphs, list items, code and tables of what a visitor would see.

Scripts, styles, navigation, form controls and whatever is hidden are left out: text that no person
reads is where instructions for a model are planted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.dammit import EncodingDetector
from bs4.element import NavigableString, PageElement, Tag
from bs4.exceptions import ParserRejectedMarkup

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.knowledge.formats.encoding import decode
from agent_runtime.knowledge.formats.writer import MarkdownWriter, one_line

_LEFT_OUT = frozenset({
    "script", "style", "template", "noscript", "iframe", "object", "embed", "svg", "canvas",
    "audio", "video", "nav", "button", "select", "input", "textarea", "datalist", "menu", "head",
})  # fmt: skip
_BREAKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details",
    "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2",
    "h3", "h4", "h5", "h6", "header", "hr", "html", "legend", "li", "main", "ol", "p", "pre",
    "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
})  # fmt: skip
_LAYOUT = ["table", "h1", "h2", "h3", "h4", "pre"]
"""What a table that only places things on the page has in its cells."""
_UNSEEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:opacity|font-size)\s*:\s*0*\.?0*[a-z%]*\s*(?:;|$)",
    re.IGNORECASE,
)
DEPTH = 500
"""Elements inside each other. Where there are more, looking around an element takes for ever."""
_DECLARATION = re.compile(r"\s*<\?xml[^>]*>")


def read_html(content: bytes) -> tuple[str | None, str]:
    """Return title and text. Raises UnreadableDocumentError."""
    markup = decode(content, EncodingDetector.find_declared_encoding(content, is_html=True))
    try:
        soup = BeautifulSoup(_DECLARATION.sub("", markup, count=1), "lxml")
    except ParserRejectedMarkup as error:
        raise UnreadableDocumentError(f"broken HTML: {error}") from error
    if _is_deeper(soup, DEPTH):
        raise UnreadableDocumentError("nested too deeply")
    named = soup.title.get_text() if soup.title else ""
    for tag in soup.find_all(_is_left_out):
        if not tag.decomposed:
            tag.decompose()
    first = soup.find("h1")
    reader = _Reader()
    reader.read(soup.find("main") or soup.body or soup)
    return one_line(first.get_text() if first else named) or None, reader.writer.text


def _is_deeper(root: Tag, limit: int) -> bool:
    open_ = [(root, 0)]
    while open_:
        tag, depth = open_.pop()
        if depth > limit:
            return True
        open_ += [(child, depth + 1) for child in tag.contents if isinstance(child, Tag)]
    return False


def _is_left_out(tag: Tag) -> bool:
    attributes = tag.attrs
    return (
        tag.name in _LEFT_OUT
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") == "navigation"
        or (tag.name == "dialog" and "open" not in attributes)
        or bool(_UNSEEN.search(str(attributes.get("style", ""))))
    )


class _Reader:
    """What is open while elements go by: the words of a block, and what it will be."""

    def __init__(self) -> None:
        self.writer = MarkdownWriter()
        self._words: list[str] = []
        self._kind = "prose"

    def read(self, root: Tag) -> None:
        """Walk without recursion, which would be as deep as the page."""
        open_: list[tuple[PageElement, bool]] = [(root, False)]
        while open_:
            node, leaving = open_.pop()
            if leaving and isinstance(node, Tag):
                self._leave(node)
            elif isinstance(node, Tag):
                if not self._enter(node):
                    open_.append((node, True))
                    open_.extend((child, False) for child in reversed(node.contents))
            elif type(node) is NavigableString:  # its subclasses are comments and the like
                self._words.append(node)
        self._flush()

    def _enter(self, tag: Tag) -> bool:
        """Open an element; tell whether it has been read as a whole."""
        if tag.name not in _BREAKS:
            return False
        self._flush()
        if tag.name == "pre":
            self.writer.code(tag.get_text())
            return True
        if tag.name == "table" and tag.get("role") != "presentation" and not tag.find(_LAYOUT):
            captions = tag.find_all("caption")
            for caption in captions:
                self.writer.prose(caption.get_text())
            self.writer.rows([list(_cells(row)) for row in tag.find_all("tr")])
            return True
        if tag.name == "li" or re.fullmatch("h[1-6]", tag.name):
            self._kind = tag.name
        return False

    def _leave(self, tag: Tag) -> None:
        if tag.name in _BREAKS:
            self._flush()
            if tag.name == self._kind:
                self._kind = "prose"

    def _flush(self) -> None:
        text = "".join(self._words)
        self._words.clear()
        if not text.strip():
            return
        if self._kind == "prose":
            self.writer.prose(text)
        elif self._kind == "li":
            self.writer.item(text)
        else:
            self.writer.heading(int(self._kind[1]), text)
        self._kind = "prose"


def _cells(row: Tag) -> Iterator[str]:
    for cell in row.find_all(["td", "th"]):
        parts = (
            each if type(each) is NavigableString else " "
            for each in cell.descendants
            if type(each) is NavigableString or (isinstance(each, Tag) and each.name in _BREAKS)
        )
        yield "".join(str(part) for part in parts)
