"""What a command has to say: to programs as a document, to people as a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chatagent_operator.cli.printing import Output, as_document


@dataclass(frozen=True)
class Result:
    """One look, or what was done."""

    document: Any
    """JSON, with times and no ages."""

    text: Callable[[datetime], str]
    """As of a time."""

    warning: str | None = None
    """What a person should know besides. For standard error, whatever the output is."""

    def printed(self, output: Output, now: datetime) -> str:
        """What goes to standard output."""
        return self.text(now) if output == "text" else as_document(self.document, output)


def said(document: Any, text: str, warning: str | None = None) -> Result:
    """A result that is the same at any time."""
    return Result(document, lambda _: text, warning)
