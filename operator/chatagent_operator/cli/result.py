"""The result of a command: a document for programs, a text for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chatagent_operator.cli.errors import DONE
from chatagent_operator.cli.printing import Output, format_document


@dataclass(frozen=True)
class Result:
    """What a command found or did."""

    document: Any
    """JSON value, with timestamps and no ages."""

    text: Callable[[datetime], str]
    """Renders the text as of a time."""

    warning: str | None = None
    """Printed on standard error, whatever the output format is."""

    exit_code: int = DONE

    def render(self, output: Output, now: datetime) -> str:
        """Return the text for standard output."""
        return self.text(now) if output == "text" else format_document(self.document, output)


def fixed_result(
    document: Any, text: str, warning: str | None = None, exit_code: int = DONE
) -> Result:
    """Build a result whose text does not depend on the time."""
    return Result(document, lambda _: text, warning, exit_code)
