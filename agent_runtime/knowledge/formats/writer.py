"""One text for every format: Markdown, in which what was found reads as what it was.

`knowledge.markdown` must find the same blocks again. Marks at the beginning of a paragraph are
escaped; inside it nothing changes, since quotes are verbatim.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARK = re.compile(r"[#>+*|=~`<\[\\_-]")
_RUNS = re.compile("`{3,}")


def one_line(text: str) -> str:
    """Return a text with each run of white space as one space."""
    return " ".join(text.split())


class MarkdownWriter:
    """Takes blocks in reading order; empty ones are left out."""

    def __init__(self) -> None:
        self._blocks: list[str] = []

    @property
    def text(self) -> str:
        return "\n\n".join(self._blocks) + "\n" if self._blocks else ""

    def heading(self, level: int, text: str) -> None:
        """Add a heading; levels below the sixth count as the sixth."""
        if line := one_line(text):
            self._blocks.append(f"{'#' * min(max(level, 1), 6)} {line}")

    def prose(self, text: str) -> None:
        if line := one_line(text):
            self._blocks.append(_escaped(line))

    def item(self, text: str) -> None:
        if line := one_line(text):
            self._blocks.append(f"- {_escaped(line)}")

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table of which the first row counts as its head."""
        cells = [[one_line(cell).replace("|", r"\|") for cell in row] for row in rows]
        cells = [row for row in cells if any(row)]
        if not cells:
            return
        columns = max(map(len, cells))
        first, *rest = [row + [""] * (columns - len(row)) for row in cells]
        lines = [first, ["---"] * columns, *rest]
        self._blocks.append("\n".join(f"| {' | '.join(row)} |" for row in lines))

    def code(self, text: str) -> None:
        if text.strip():
            longest = max((len(run) for run in _RUNS.findall(text)), default=2)
            fence = "`" * (longest + 1)
            lines = text.strip("\r\n").replace("\r", "\n")
            self._blocks.append(f"{fence}\n{lines}\n{fence}")


def _escaped(line: str) -> str:
    return f"\\{line}" if _MARK.match(line) else line
