"""The structure of a Markdown document: blocks under headings, as spans of the original text.

markdown-it-py finds the blocks by the rules of CommonMark and of GitHub's tables; inline marks stay
as they are, so that passages and quotes are verbatim. Plain text is Markdown without marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from agent_runtime.domain import Span
from agent_runtime.text.sentences import trim

Kind = Literal["prose", "item", "row", "code"]

_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)(?:\n|\Z)", re.DOTALL)
_HIDDEN = re.compile(r"\s*<(?:!--|!|\?|script\b|style\b|template\b)", re.IGNORECASE)
_TAGS_ONLY = re.compile(r"\s*(?:<[^<>]*>\s*)+")
_ESCAPE = re.compile(r"\\[!-/:-@\[-`{-~]")
NESTING = 100
"""Quotes and lists inside each other; what is deeper is not read."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item, table row or fenced code below `headings` (outermost first)."""

    kind: Kind
    span: Span
    headings: tuple[str, ...]


def title_of(text: str) -> str | None:
    """Return the first heading of the first level, else the first heading of any."""
    headings = [(level, name) for level, name in _headings(_tokens(text)) if name]
    return next((name for level, name in headings if level == 1), None) or next(
        (name for _, name in headings), None
    )


def blocks_of(text: str) -> list[Block]:
    """Cut a document into blocks, in order and without overlap."""
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    path: list[tuple[int, str]] = []
    blocks: list[Block] = []
    tokens = _tokens(text)
    for number, token in enumerate(tokens):
        if token.type == "heading_open" and not token.level:
            level, name = next(_headings(tokens[number : number + 2]))
            path = [(above, heading) for above, heading in path if above < level] + [(level, name)]
        elif kind := _kind(tokens, number):
            lines = token.map or [0, 0]
            end = min(starts[lines[1]], len(text))
            span = _span(text, tokens[number : number + 2], starts[lines[0]], end)
            if span[0] < span[1]:
                blocks.append(Block(kind, span, tuple(heading for _, heading in path)))
    return blocks


def _tokens(text: str) -> list[Token]:
    # Blank lines instead of front matter, so that lines keep their numbers.
    body = _FRONT_MATTER.sub(lambda found: "\n" * found[0].count("\n"), text)
    return _parser().parse(body)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": NESTING}).enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _headings(tokens: Sequence[Token]) -> Iterator[tuple[int, str]]:
    for number, token in enumerate(tokens):
        if token.type == "heading_open" and not token.level:
            yield int(token.tag[1]), " ".join(tokens[number + 1].content.split())


def _kind(tokens: Sequence[Token], number: int) -> Kind | None:
    """Tell which block begins with a token; None where none does."""
    match tokens[number].type:
        case "paragraph_open":
            return "item" if tokens[number - 1].type == "list_item_open" else "prose"
        case "heading_open" if tokens[number].level:
            return "prose"  # a quoted one says nothing of what follows the quote
        case "tr_open":
            return "row"
        case "fence" | "code_block":
            return "code"
        case "html_block":
            raw = tokens[number].content
            return None if _HIDDEN.match(raw) or _TAGS_ONLY.fullmatch(raw) else "prose"
        case _:
            return None


def _span(text: str, tokens: Sequence[Token], start: int, end: int) -> Span:
    """Narrow whole lines to what stands behind the marks of lists and quotes, and an escape."""
    if tokens[0].type in ("paragraph_open", "heading_open"):
        first = tokens[1].content.partition("\n")[0]
        start = max(start, text.find(first, start, end))
        start += bool(_ESCAPE.match(text, start))
    return trim(text, (start, end))
