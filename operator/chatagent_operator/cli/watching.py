"""The live view: redrawn in place on a terminal; elsewhere a block for each change."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TextIO

from chatagent_operator.cli.errors import is_lasting
from chatagent_operator.cli.printing import Output, truncate
from chatagent_operator.cli.result import Result
from chatagent_operator.kube.errors import ApiError

POLL_SECONDS = 1.0


async def watch_view(
    read: Callable[[], Awaitable[Result]],
    output: Output,
    now: Callable[[], datetime],
    out: TextIO,
) -> None:
    """Show every change until cancelled. Retries while the API server is unavailable.

    Raises:
        ApiError: the API server refuses the request.
    """
    screen = Screen(out) if out.isatty() and output == "text" else Log(out)
    while True:
        try:
            found = await read()
        except ApiError as error:
            if is_lasting(error):
                raise
            screen.show_error(f"no response: {error}")
        else:
            screen.show(found.document, found.render(output, now()))
        await asyncio.sleep(POLL_SECONDS)


class Screen:
    """Output to the lower part of a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0
        self._last = ""

    def show(self, _: Any, text: str) -> None:
        """Draw over the previous view. Lines that do not fit are omitted."""
        self._last = text
        size = shutil.get_terminal_size()
        lines = [truncate(line, size.columns - 1) for line in text.splitlines()]
        if len(lines) >= size.lines:
            lines = [*lines[: size.lines - 2], "…"]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._out.write(f"{up}\r\x1b[J" + "\n".join(lines) + "\n")
        self._out.flush()
        self._height = len(lines)

    def show_error(self, message: str) -> None:
        """Show an error below the previous view."""
        last = self._last
        self.show(None, f"{last}\n\n{message}".lstrip())
        self._last = last


class Log:
    """Output to a file or a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: Any = None

    def show(self, state: Any, text: str) -> None:
        """Write the view if it has changed."""
        if state != self._shown:
            self._out.write(text + "\n\n")
            self._out.flush()
            self._shown = state

    def show_error(self, message: str) -> None:
        """Print an error to standard error."""
        print(message, file=sys.stderr)
