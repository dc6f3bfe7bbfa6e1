"""The same in this process, for an agent without Redis. It is bounded, and gone with the process.

Two pods know nothing of each other's conversations and files.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent_runtime.domain import Session
from agent_runtime.errors import StateUnavailableError
from agent_runtime.expiring import Expiring
from agent_runtime.state.merging import DELETED, merged, settled
from agent_runtime.state.records import check_size

SESSIONS = 10_000
BLOBS = 10_000
BLOB_BYTES = 64 * 2**20
RECORD_BYTES = 256 * 2**20
FOR_GOOD = float("inf")
Clock = Callable[[], float]
Place = tuple[str, str]
"""Kind and tenant."""


class MemorySessions:
    """Sessions; the ones that nobody asked for longest go first."""

    def __init__(
        self, seconds: float, keep: int, entries: int = SESSIONS, clock: Clock = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._keep = keep
        self._sessions: Expiring[str, Session] = Expiring(entries, clock=clock)

    async def load(self, conversation_id: str) -> Session | None:
        session = self._sessions.get(conversation_id)
        if session is None or session.conversation_id != conversation_id:
            return None
        return replace(session, loaded=session)

    async def save(self, session: Session) -> None:
        id = session.conversation_id
        self._put(id, merged(session, self._sessions.get(id), self._keep))

    async def settle(self, conversation_id: str, pending_id: str) -> bool:
        return self._put(conversation_id, settled(self._sessions.get(conversation_id), pending_id))

    async def delete(self, conversation_id: str) -> None:
        self._put(conversation_id, DELETED)

    def _put(self, conversation_id: str, session: Session | None) -> bool:
        if session is not None:
            self._sessions.put(conversation_id, session, self._seconds)
        return session is not None


class MemoryRecords:
    """Documents by kind and tenant. A full one drops what is about to be forgotten anyway, and
    refuses where all was stored for good."""

    def __init__(self, most_bytes: int = RECORD_BYTES, clock: Clock = time.monotonic) -> None:
        self._most = most_bytes
        self._clock = clock
        self._kept: dict[Place, dict[str, tuple[bytes, float]]] = {}
        self._bytes = 0
        self._deadlines: list[tuple[float, Place, str]] = []
        """A heap. What was replaced or deleted since is passed over."""

    async def put(
        self, kind: str, tenant: str, id: str, value: bytes, seconds: float | None = None
    ) -> None:
        check_size(value)
        self._forget(until=self._clock())
        records = self._kept.setdefault((kind, tenant), {})

        def added() -> int:
            return len(value) - len(records[id][0] if id in records else b"")

        while self._bytes + added() > self._most and self._deadlines:
            self._forget(until=self._deadlines[0][0])
        if self._bytes + added() > self._most:
            raise StateUnavailableError(
                f"this process holds {self._most} bytes of records and takes no more; "
                "AGENT_REDIS gives them a place"
            )
        deadline = FOR_GOOD if seconds is None else self._clock() + seconds
        self._bytes += added()
        records[id] = (value, deadline)
        if seconds is not None:
            heapq.heappush(self._deadlines, (deadline, (kind, tenant), id))

    async def get(self, kind: str, tenant: str, id: str) -> bytes | None:
        found = self._kept.get((kind, tenant), {}).get(id)
        return found[0] if found and found[1] > self._clock() else None

    async def some(self, kind: str, tenant: str, ids: Sequence[str]) -> list[bytes | None]:
        return [await self.get(kind, tenant, id) for id in ids]

    async def delete(self, kind: str, tenant: str, id: str) -> bool:
        deadline = self._drop((kind, tenant), id)
        return deadline is not None and deadline > self._clock()

    async def list(
        self, kind: str, tenant: str, limit: int = 100, after: str | None = None
    ) -> list[tuple[str, bytes]]:
        self._forget(until=self._clock())
        records = list(reversed(self._kept.get((kind, tenant), {}).items()))
        if after is not None:
            ids = [id for id, _ in records]
            records = records[ids.index(after) + 1 :] if after in ids else []
        return [(id, value) for id, (value, _) in records[:limit]]

    def _drop(self, place: Place, id: str) -> float | None:
        """Take a record away and return its deadline, None where there is none."""
        records = self._kept.get(place, {})
        if id not in records:
            return None
        value, deadline = records.pop(id)
        self._bytes -= len(value)
        return deadline

    def _forget(self, until: float) -> None:
        """Take away what nobody can ask for any more."""
        while self._deadlines and self._deadlines[0][0] <= until:
            deadline, place, id = heapq.heappop(self._deadlines)
            if self._kept.get(place, {}).get(id, (b"", FOR_GOOD))[1] == deadline:
                self._drop(place, id)


class MemoryBlobs:
    """Bytes that may be forgotten at any time."""

    def __init__(
        self, entries: int = BLOBS, most_bytes: int = BLOB_BYTES, clock: Clock = time.monotonic
    ) -> None:
        self._values: Expiring[str, bytes] = Expiring(entries, most_bytes, clock)
        self._logs: Expiring[str, tuple[int, list[bytes]]] = Expiring(entries, most_bytes, clock)

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        self._values.put(key, value, seconds, len(value))

    async def push(self, key: str, value: bytes, keep: int, seconds: float) -> None:
        total, items = self._logs.get(key) or (0, [])
        items = [value, *items][:keep]
        self._logs.put(key, (total + 1, items), seconds, sum(map(len, items)))

    async def pushed(self, key: str, after: int) -> tuple[int, list[bytes]]:
        total, items = self._logs.get(key) or (0, [])
        return total, items[: total - after] if total >= after else items
