"""Sessions in Redis: one JSON document each, replaced only where nobody else has done so."""

from __future__ import annotations

from dataclasses import replace

from redis.exceptions import WatchError

from agent_runtime.domain import Session
from agent_runtime.errors import StateUnavailableError
from agent_runtime.state.codec import decode, encode
from agent_runtime.state.keys import Keys
from agent_runtime.state.merging import merged
from agent_runtime.state.redis import Client, RedisState

ATTEMPTS = 20
SAVE_SECONDS = 0.25
"""Losing a turn is worse than waiting, and the turns of others may come in between."""
CLAIM_SECONDS = 86_400


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
        key = self._keys.of("session", session.conversation_id)

        async def write(redis: Client) -> None:
            for _ in range(ATTEMPTS):
                if await self._written(redis, key, session):
                    return
            raise StateUnavailableError("too many turns of one conversation at the same time")

        await self._state.call(write, SAVE_SECONDS, write=True)

    async def _written(self, redis: Client, key: bytes, session: Session) -> bool:
        """Store it unless somebody else does at the same time."""
        async with redis.pipeline(transaction=True) as pipe:
            await pipe.watch(key)
            data = await pipe.get(key)
            stored = decode(data) if data else None
            pipe.multi()
            pipe.set(key, encode(merged(session, stored, self._keep)), ex=self._seconds)
            try:
                await pipe.execute()
            except WatchError:
                return False
        return True

    async def delete(self, conversation_id: str) -> None:
        key = self._keys.of("session", conversation_id)
        await self._state.call(lambda redis: redis.delete(key), write=True)

    async def claim(self, name: str) -> bool:
        key = self._keys.of("claim", name)
        done = await self._state.call(
            lambda redis: redis.set(key, b"1", ex=CLAIM_SECONDS, nx=True), write=True
        )
        return bool(done)
