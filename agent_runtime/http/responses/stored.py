"""Responses that can be asked for again and gone on from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import Any

from pydantic import TypeAdapter

from agent_runtime.dialogue.memory import Readable
from agent_runtime.domain import Principal, ToolCall, Turn
from agent_runtime.errors import StateUnavailableError
from agent_runtime.http.access import own
from agent_runtime.http.items import Item
from agent_runtime.http.wire import decode
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

    def __init__(self, records: Records, readable: Readable | None = None) -> None:
        """`readable` leaves out what a caller may not see any more."""
        self._records = records
        self._readable = readable

    async def get(self, id: str, principal: Principal) -> StoredResponse:
        """Return what the caller may see of a response. Raises NotFoundError,
        StateUnavailableError."""
        raw = await self._records.get(KIND, principal.tenant, id)
        stored = own(decode(_RECORD, raw), principal, f"response {id[:200]!r}")
        if self._readable is None:
            return stored
        return replace(
            stored,
            turns=await self._readable(stored.turns, principal),
            input=tuple(await visible(stored.input, principal, self._readable)),
            response={
                **stored.response,
                "output": await visible(stored.response["output"], principal, self._readable),
            },
        )

    async def keep(self, id: str, stored: StoredResponse) -> bool:
        """Store a response, and tell whether that was possible: the answer is given anyway."""
        # What came of a call that is cut off would be refused as nobody's.
        turns = dropwhile(lambda turn: turn.role == "tool", stored.turns[-MAX_TURNS:])
        short = replace(stored, turns=tuple(turns))
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


async def visible(items: Sequence[Item], caller: Principal, readable: Readable) -> list[Item]:
    """Return items without the agent's calls of tools that a caller may not use (any more), and
    then without what the agent said beside them."""
    calls = [item for item in items if item["type"] == "mcp_call"]
    turns = [Turn("assistant", "", (ToolCall(item["id"], item["name"], {}),)) for item in calls]
    seen = {call.name for turn in await readable(turns, caller) for call in turn.tool_calls}
    hidden = {item["name"] for item in calls} - seen
    return [
        item
        for item in items
        if not (item["type"] == "mcp_call" and item["name"] in hidden)
        and not (hidden and item.get("role") == "assistant")
    ]
