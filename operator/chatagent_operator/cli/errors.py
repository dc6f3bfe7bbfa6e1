"""Exit codes, and the error that carries one."""

from __future__ import annotations

from chatagent_operator.kube.errors import ApiError

DONE, REFUSED, USAGE, NO_ANSWER, NOT_ENDED = 0, 1, 2, 3, 4
INTERRUPTED = 130
TOO_MANY_REQUESTS = 429


class CommandError(Exception):
    """A command that failed. The message says what is wrong and what to do."""

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def is_lasting(error: ApiError) -> bool:
    """Return whether the API server refused a request, so that trying again does not help."""
    return 400 <= error.status < 500 and error.status != TOO_MANY_REQUESTS
