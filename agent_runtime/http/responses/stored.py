"""Responses that can be asked for again and gone on from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent_runtime.domain import Principal, Turn
from agent_runtime.errors import StateUnavailableError
from agent_runtime.http.access import own
from agent_runtime.ports import Records

log = logging.getLogger(__name__)

KIND = "response"
SECONDS = 30 * 86_400.0
MAX_TURNS = 200
"""Turns that are kept with a response for whoever goes on from it."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response with what it was an answer to."""

    owner: str
    tenant: str
    conversation_id: str
    turns: tuple[Turn, ...]
    """The conversation up to and with this response."""
    input: tuple[dict[str, Any], ...]
    """The items of its request."""
    response: dict[str, Any]


_RECORD = TypeAdapter(StoredResponse)


class StoredResponses:
    """Responses of all owners, each seen by its own only."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, id: str, principal: Principal) -> StoredResponse:
        """Return a response. Raises NotFoundError, StateUnavailableError."""
        raw = await self._records.get(KIND, principal.tenant, id)
        try:
            found = _RECORD.validate_json(raw) if raw else None
        except ValidationError:
            found = None  # written by a version that is too old or too new
        return own(found, principal, f"response {id[:200]!r}")

    async def keep(self, id: str, stored: StoredResponse) -> bool:
        """Store a response, and tell whether that was possible: the answer is given anyway."""
        short = replace(stored, turns=stored.turns[-MAX_TURNS:])
        try:
            await self._records.put(KIND, stored.tenant, id, _RECORD.dump_json(short), SECONDS)
        except StateUnavailableError as error:
            log.warning("a response is not stored: %s", error)
            return False
        return True

    async def delete(self, id: str, principal: Principal) -> None:
        """Forget a response. Raises NotFoundError, StateUnavailableError."""
        await self.get(id, principal)
        await self._records.delete(KIND, principal.tenant, id)
