"""The same in this process, for an agent without Redis. It is bounded, and gone with the process.

Two pods know nothing of each other's conversations and files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from agent_runtime.domain import Session
from agent_runtime.errors import StateUnavailableError
from agent_runtime.expiring import Expiring
from agent_runtime.state.merging import merged
from agent_runtime.state.records import check_size

SESSIONS = 10_000
BLOBS = 10_000
BLOB_BYTES = 64 * 2**20
RECORD_BYTES = 256 * 2**20
CLAIM_SECONDS = 86_400.0
FOR_GOOD = float("inf")
Clock = Callable[[], float]


class MemorySessions:
    """Sessions; the ones that nobody asked for longest go first."""

    def __init__(
        self, seconds: float, keep: int, entries: int = SESSIONS, clock: Clock = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._keep = keep
        self._sessions: Expiring[str, Session] = Expiring(entries, clock=clock)
        self._claims: Expiring[str, bool] = Expiring(entries, clock=clock)

    async def load(self, conversation_id: str) -> Session | None:
        session = self._sessions.get(conversation_id)
        return replace(session, loaded=session) if session else None

    async def save(self, session: Session) -> None:
        id = session.conversation_id
        stored = merged(session, self._sessions.get(id), self._keep)
        self._sessions.put(id, stored, self._seconds)

    async def delete(self, conversation_id: str) -> None:
        self._sessions.pop(conversation_id)

    async def claim(self, name: str) -> bool:
        free = self._claims.get(name) is None
        if free:
            self._claims.put(name, True, CLAIM_SECONDS)
        return free


class MemoryRecords:
    """Documents by kind and tenant. A full one refuses: what was stored for good stays."""

    def __init__(self, most_bytes: int = RECORD_BYTES, clock: Clock = time.monotonic) -> None:
        self._most = most_bytes
        self._clock = clock
        self._kept: dict[tuple[str, str], dict[str, tuple[bytes, float]]] = {}

    async def put(
        self, kind: str, tenant: str, id: str, value: bytes, seconds: float | None = None
    ) -> None:
        check_size(value)
        self._forget_old()
        records = self._kept.setdefault((kind, tenant), {})
        replaced = len(records[id][0]) if id in records else 0
        if self._held() - replaced + len(value) > self._most:
            raise StateUnavailableError(
                f"this process holds {self._most} bytes of records and takes no more; "
                "AGENT_REDIS gives them a place"
            )
        deadline = FOR_GOOD if seconds is None else self._clock() + seconds
        records[id] = (value, deadline)

    async def get(self, kind: str, tenant: str, id: str) -> bytes | None:
        found = self._kept.get((kind, tenant), {}).get(id)
        return found[0] if found and found[1] > self._clock() else None

    async def delete(self, kind: str, tenant: str, id: str) -> bool:
        found = self._kept.get((kind, tenant), {}).pop(id, None)
        return found is not None and found[1] > self._clock()

    async def list(
        self, kind: str, tenant: str, limit: int = 100, after: str | None = None
    ) -> list[tuple[str, bytes]]:
        self._forget_old()
        records = list(reversed(self._kept.get((kind, tenant), {}).items()))
        if after is not None:
            ids = [id for id, _ in records]
            records = records[ids.index(after) + 1 :] if after in ids else []
        return [(id, value) for id, (value, _) in records[:limit]]

    def _held(self) -> int:
        return sum(len(value) for kind in self._kept.values() for value, _ in kind.values())

    def _forget_old(self) -> None:
        now = self._clock()
        for records in self._kept.values():
            for id in [id for id, (_, deadline) in records.items() if deadline <= now]:
                del records[id]


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
