"""Tokens that the Kubernetes API server knows."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any

from agent_runtime.config import TokenReviewConfig
from agent_runtime.domain import Principal
from agent_runtime.identity.api_server import ApiServer
from agent_runtime.identity.remembered import Remembered

log = logging.getLogger(__name__)

KNOWN_SECONDS = 30.0
"""So long a revoked token may still be accepted."""
UNKNOWN_SECONDS = 5.0
GROUP = "authentication.k8s.io"


class TokenReviewAuthenticator:
    """Asks for each token once in a while."""

    def __init__(
        self,
        config: TokenReviewConfig,
        server: ApiServer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._server = server
        self._reviews: Remembered[Principal | None] = Remembered(
            lambda principal: KNOWN_SECONDS if principal else UNKNOWN_SECONDS, clock
        )

    async def authenticate(self, token: str) -> Principal | None:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        return await self._reviews.get(digest, lambda: self._review(token))

    async def _review(self, token: str) -> Principal | None:
        if not token.isascii() or not token.isprintable():
            return None
        audiences = list(self._config.audiences)
        spec = {"token": token} | ({"audiences": audiences} if audiences else {})
        status = await self._server.review(GROUP, "tokenreviews", spec)
        if status.get("authenticated") is not True:
            return None
        # An API server that does not know of audiences leaves them out, and accepts any token.
        if audiences and not set(audiences).intersection(status.get("audiences") or ()):
            log.info("a token is for another audience")
            return None
        return _principal(status.get("user"))


def _principal(user: Any) -> Principal | None:
    name = user.get("username") if isinstance(user, dict) else None
    if not isinstance(name, str) or not name:
        return None
    groups = user.get("groups") or []
    return Principal(name, tuple(str(group) for group in groups))
