"""Which failures of a store waiting does not heal, and what to do about them."""

from __future__ import annotations

import ssl
from http import HTTPStatus

_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_REFUSED_CODES = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
"""Of gRPC, whose package not every store needs."""
_TOKEN = "; give the token that it accepts (AGENT_VECTOR_STORE_TOKEN)"  # noqa: S105  words
_TLS = (
    "; see whether the server speaks TLS (+https in the address) and its certificate is trusted "
    "(SSL_CERT_FILE)"
)


def judge_status(status: int) -> tuple[bool, str]:
    """Return whether waiting is no use, and what to do, in words that follow the store's own.

    400 is for what no server takes: a vector of another dimension, or plain HTTP to a port of TLS.
    A 404 may come from a proxy whose server is still starting.
    """
    if status in _REFUSED:
        return True, _TOKEN
    return status == HTTPStatus.BAD_REQUEST, ""


def judge(error: BaseException) -> tuple[bool, str]:
    """Return the same of an error, by what it is or what caused it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and not isinstance(seen, ssl.SSLEOFError):
            return True, _TLS
        if isinstance(status := getattr(seen, "status_code", None), int):
            return judge_status(status)
        code = getattr(seen, "code", None)
        if callable(code) and getattr(code(), "name", "") in _REFUSED_CODES:
            return True, _TOKEN
        seen = seen.__cause__ or seen.__context__
    return False, ""
