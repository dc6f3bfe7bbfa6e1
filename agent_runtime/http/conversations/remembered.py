"""Conversations with their owners: the session holds the turns, a record what a client noted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from agent_runtime.dialogue.memory import Readable
from agent_runtime.domain import Principal, Session, Turn
from agent_runtime.errors import ConflictError, NotFoundError
from agent_runtime.http.access import own
from agent_runtime.http.fields import issued_conversation
from agent_runtime.http.items import Item, items_of
from agent_runtime.ports import Records, Sessions

KIND = "conversation"
SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Noted:
    """What a client keeps with a conversation."""

    owner: str
    tenant: str
    metadata: dict[str, str]


_RECORD = TypeAdapter(Noted)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of the caller's."""

    session: Session
    metadata: dict[str, str]

    @property
    def id(self) -> str:
        """Its name."""
        return self.session.conversation_id


class Conversations:
    """Conversations of all owners, each seen by its own only. Methods raise
    StateUnavailableError."""

    def __init__(
        self,
        sessions: Sessions,
        records: Records,
        revision: str,
        readable: Readable | None = None,
    ) -> None:
        """`readable` leaves out what a caller may not see any more."""
        self._readable = readable
        self._sessions = sessions
        self._records = records
        self._revision = revision

    async def create(
        self, principal: Principal, turns: tuple[Turn, ...], metadata: dict[str, str]
    ) -> Conversation:
        """Begin a conversation."""
        session = Session(
            issued_conversation(self._revision), principal.user, principal.tenant, turns
        )
        await self._sessions.save(session)
        if metadata:
            await self.note(session.conversation_id, principal, metadata)
        return Conversation(session, metadata)

    async def get(self, id: str, principal: Principal) -> Conversation:
        """Return a conversation. Raises NotFoundError."""
        session = await self._sessions.load(id)
        noted = await self._noted(id, principal)
        if session is None and noted is not None:
            # Its turns are forgotten and what was noted is not.
            session = Session(id, noted.owner, noted.tenant)
        session = own(session, principal, f"conversation {id[:200]!r}")
        return Conversation(session, noted.metadata if noted else {})

    async def note(self, id: str, principal: Principal, metadata: dict[str, str]) -> None:
        """Keep a client's notes."""
        value = _RECORD.dump_json(Noted(principal.user, principal.tenant, metadata))
        await self._records.put(KIND, principal.tenant, id, value, SECONDS)

    async def delete(self, id: str, principal: Principal) -> None:
        """Forget a conversation. Raises NotFoundError."""
        await self.get(id, principal)
        await self._sessions.delete(id)
        await self._records.delete(KIND, principal.tenant, id)

    async def items(self, id: str, principal: Principal) -> list[Item]:
        """Return the items that the caller may see. Raises NotFoundError."""
        found = await self.get(id, principal)
        seen = await self._seen(found.session.turns, principal)
        return [item for _, item in items_of(seen)]

    async def add(self, id: str, principal: Principal, turns: tuple[Turn, ...]) -> list[Item]:
        """Add turns and return them as items. Raises NotFoundError."""
        found = (await self.get(id, principal)).session
        session = replace(found, turns=found.turns + turns)
        await self._sessions.save(session)
        first = len(await self._seen(found.turns, principal))
        seen = await self._seen(session.turns, principal)
        return [item for number, item in items_of(seen) if number >= first]

    async def remove(self, id: str, principal: Principal, item: str) -> Conversation:
        """Forget an item. Raises NotFoundError, or ConflictError where a turn came meanwhile."""
        found = await self.get(id, principal)
        turns = found.session.turns
        seen = await self._seen(turns, principal)
        gone = [seen[number] for number, each in items_of(seen) if each["id"] == item]
        if not gone:
            raise NotFoundError(f"there is no item {item[:200]!r} in this conversation")
        left = tuple(turn for turn in turns if not any(_is_of(each, turn) for each in gone))
        await self._sessions.save(replace(found.session, turns=left))
        if await self._has(id, item, principal):
            raise ConflictError("the conversation went on meanwhile; try again")
        return replace(found, session=replace(found.session, turns=left))

    async def _has(self, id: str, item: str, principal: Principal) -> bool:
        session = await self._sessions.load(id)
        seen = await self._seen(session.turns, principal) if session else ()
        return item in {each["id"] for _, each in items_of(seen)}

    async def _seen(self, turns: tuple[Turn, ...], principal: Principal) -> tuple[Turn, ...]:
        return await self._readable(turns, principal) if self._readable else turns

    async def _noted(self, id: str, principal: Principal) -> Noted | None:
        raw = await self._records.get(KIND, principal.tenant, id)
        try:
            noted = _RECORD.validate_json(raw) if raw else None
        except ValidationError:
            return None
        return noted if noted and noted.owner == principal.user else None


def _is_of(seen: Turn, turn: Turn) -> bool:
    """Tell whether a turn is what its owner sees of another, of which calls may be hidden."""
    return seen is turn or any(call in turn.tool_calls for call in seen.tool_calls)
