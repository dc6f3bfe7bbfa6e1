"""Exit codes, and the error that carries one."""

from __future__ import annotations

DONE, REFUSED, USAGE, NO_ANSWER = 0, 1, 2, 3


class CommandError(Exception):
    """A command that failed. The message says what is wrong and what to do."""

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
