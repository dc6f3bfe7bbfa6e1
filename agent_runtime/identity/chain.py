"""One after the other: keys, providers, the API server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent_runtime.domain import Principal
from agent_runtime.errors import UnavailableError
from agent_runtime.ports import Authenticator

LONGEST_TOKEN = 65_536


class Chain:
    """The first that knows a token counts. One that is away matters only to its own tokens."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, token: str) -> Principal | None:
        if not token or len(token) > LONGEST_TOKEN:
            return None
        away: UnavailableError | None = None
        for each in self._authenticators:
            try:
                principal = await each.authenticate(token)
            except UnavailableError as error:
                away = away or error
                continue
            if principal is not None:
                return replace(principal, token=token)
        if away is not None:
            raise away
        return None
