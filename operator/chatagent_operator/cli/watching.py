"""The live view: redrawn in place on a terminal, and else a block for each change."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TextIO

from chatagent_operator.cli.printing import Output, cut
from chatagent_operator.cli.result import Result
from chatagent_operator.kube.errors import ApiError

LOOK_SECONDS = 1.0


async def watch(
    look: Callable[[], Awaitable[Result]],
    output: Output,
    now: Callable[[], datetime],
    out: TextIO,
) -> None:
    """Show what is until the caller is cancelled. An API server that is away for a while is waited
    for.

    Raises:
        ApiError: it refuses.
    """
    screen = Screen(out) if out.isatty() and output == "text" else Log(out)
    while True:
        try:
            found = await look()
        except ApiError as error:
            if 0 < error.status < 500:
                raise
            screen.trouble(f"no answer: {error}")
        else:
            screen.show(found.document, found.printed(output, now()))
        await asyncio.sleep(LOOK_SECONDS)


class Screen:
    """The lower part of a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0
        self._last = ""

    def show(self, _: Any, text: str) -> None:
        """Draw over what was drawn last. What does not fit is left out."""
        self._last = text
        size = shutil.get_terminal_size()
        lines = [cut(line, size.columns - 1) for line in text.splitlines()]
        if len(lines) >= size.lines:
            lines = [*lines[: size.lines - 2], "…"]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._out.write(f"{up}\r\x1b[J" + "\n".join(lines) + "\n")
        self._out.flush()
        self._height = len(lines)

    def trouble(self, message: str) -> None:
        """Say under the last picture what is wrong."""
        last = self._last
        self.show(None, f"{last}\n\n{message}".lstrip())
        self._last = last


class Log:
    """A file or a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: Any = None

    def show(self, state: Any, text: str) -> None:
        """Write it if it has changed."""
        if state != self._shown:
            self._out.write(text + "\n\n")
            self._out.flush()
            self._shown = state

    def trouble(self, message: str) -> None:
        """Say what is wrong, beside the output."""
        print(message, file=sys.stderr)
