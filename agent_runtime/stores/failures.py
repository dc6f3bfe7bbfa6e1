"""Which failures of a store waiting does not heal."""

from __future__ import annotations

import ssl
from http import HTTPStatus

LASTING = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""400 is for what no server takes: a vector of another dimension, or plain HTTP to a port of TLS. A
404 may come from a proxy whose server is still starting."""
_LASTING_CODES = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
"""Of gRPC, whose package not every store needs."""
_ADVICE = "; give the token that it accepts (AGENT_VECTOR_STORE_TOKEN)"


def advise(status: int) -> str:
    """Return what to do about a status, to follow the store's own words."""
    return _ADVICE if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else ""


def is_lasting(error: BaseException) -> bool:
    """Tell whether an error, or one that caused it, is one that a later try meets again."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and not isinstance(seen, ssl.SSLEOFError):
            return True  # a certificate that is not trusted, or no TLS at all
        if getattr(seen, "status_code", None) in LASTING:
            return True
        code = getattr(seen, "code", None)
        if callable(code) and getattr(code(), "name", "") in _LASTING_CODES:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
