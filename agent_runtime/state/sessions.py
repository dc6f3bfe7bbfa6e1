"""Sessions in Redis: one JSON document each, replaced only where nobody else has done so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from redis.exceptions import WatchError

from agent_runtime.domain import Session
from agent_runtime.errors import StateUnavailableError
from agent_runtime.state.codec import decode, encode
from agent_runtime.state.keys import Keys
from agent_runtime.state.merging import DELETED, merged, settled
from agent_runtime.state.redis import Client, RedisState

ATTEMPTS = 20
SAVE_SECONDS = 0.25
"""Losing a turn is worse than waiting, and the turns of others may come in between."""
Change = Callable[[Session | None], Session | None]


class RedisSessions:
    """Sessions that are forgotten `seconds` after their last turn."""

    def __init__(self, state: RedisState, keys: Keys, seconds: int, keep: int) -> None:
        self._state = state
        self._keys = keys
        self._seconds = seconds
        self._keep = keep

    async def load(self, conversation_id: str) -> Session | None:
        key = self._keys.of("session", conversation_id)
        data = await self._state.call(lambda redis: redis.get(key))
        session = decode(data) if data else None
        if session is None or session.conversation_id != conversation_id:
            return None
        return replace(session, loaded=session)

    async def save(self, session: Session) -> None:
        await self._change(
            session.conversation_id, lambda stored: merged(session, stored, self._keep)
        )

    async def settle(self, conversation_id: str, pending_id: str) -> bool:
        return await self._change(conversation_id, lambda stored: settled(stored, pending_id))

    async def _change(self, conversation_id: str, change: Change) -> bool:
        """Store what becomes of what is there, and tell whether anything does."""
        key = self._keys.of("session", conversation_id)

        async def write(redis: Client) -> bool:
            for _ in range(ATTEMPTS):
                with suppress(WatchError):
                    return await self._changed(redis, key, change)
            raise StateUnavailableError("too many turns of one conversation at the same time")

        return await self._state.call(write, SAVE_SECONDS, write=True)

    async def _changed(self, redis: Client, key: bytes, change: Change) -> bool:
        """Raises WatchError where somebody else stores something at the same time."""
        async with redis.pipeline(transaction=True) as pipe:
            await pipe.watch(key)
            data = await pipe.get(key)
            session = change(decode(data) if data else None)
            if session is None:
                return False
            pipe.multi()
            pipe.set(key, encode(session), ex=self._seconds)
            await pipe.execute()
        return True

    async def delete(self, conversation_id: str) -> None:
        key = self._keys.of("session", conversation_id)
        await self._state.call(
            lambda redis: redis.set(key, encode(DELETED), ex=self._seconds), write=True
        )
