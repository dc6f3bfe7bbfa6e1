"""What the API server answers, sorted by what the operator can do about it."""

from __future__ import annotations

import json
from typing import Any, cast

CONFLICT = 409
"""There is an object of that name, or it has been changed since it was read."""


class ApiError(Exception):
    """The API server refused, or did not answer. Worth another try, with back-off."""

    def __init__(
        self, status: int, message: str, retry_after: float = 0.0, reason: str = ""
    ) -> None:
        """
        Args:
            status: of HTTP; 0: there was no answer.
            message: what is wrong.
            retry_after: seconds that the server asks to wait before the next try.
            reason: the API server's word for it, such as AlreadyExists.
        """
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self.reason = reason


class SilentError(ApiError):
    """A connection has been silent for so long that it counts as lost."""


class UnknownKindError(Exception):
    """The API server does not know a kind that the operator cannot work without."""


class NotFoundError(ApiError):
    """The object is not there."""


class RejectedError(ApiError):
    """The API server will not take this object as it is; only another one helps."""


class NamespaceTerminatingError(ApiError):
    """The object's namespace is being deleted: nothing can be made in it any more."""


class NotLeaderError(ApiError):
    """This process is not the leader and may not write.

    Nothing was sent, or it is not known whether it arrived; the leader reconciles the agent.
    """

    def __init__(self, method: str, path: str) -> None:
        super().__init__(0, f"{method} {path} was refused here: this replica is not the leader")


class StaleError(ApiError):
    """The object has changed since it was read; what was decided from it is not written."""


_REJECTED = {400, 403, 409, 422}
_WRONG_TYPE = "failed to create typed patch object"
"""Server-side apply answers 500 where a field has the wrong type."""


def from_response(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error of a response with a status of 400 or above."""
    said = _status(body)
    message = str(said.get("message") or body[:500].decode(errors="replace"))
    # The header may also be a date, which the API server never sends.
    pause = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    if status == 404:
        return NotFoundError(status, message, pause)
    causes = (said.get("details") or {}).get("causes") or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return NamespaceTerminatingError(status, message, pause)
    rejected = status in _REJECTED or message.startswith(_WRONG_TYPE)
    reason = str(said.get("reason") or "")
    return (RejectedError if rejected else ApiError)(status, message, pause, reason)


def _status(body: bytes) -> dict[str, Any]:
    """The `Status` object of an answer; empty where it is none."""
    try:
        said: Any = json.loads(body)
    except ValueError:
        return {}
    return cast(dict[str, Any], said) if isinstance(said, dict) else {}
