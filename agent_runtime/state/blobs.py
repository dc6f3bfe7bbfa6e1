"""Blobs in Redis, for the answer cache: bytes with a time limit, and logs of them."""

from __future__ import annotations

from agent_runtime.state.keys import Keys
from agent_runtime.state.redis import Client, RedisState


class RedisBlobs:
    """Bytes that may be forgotten at any time."""

    def __init__(self, state: RedisState, keys: Keys) -> None:
        self._state = state
        self._keys = keys

    async def get(self, key: str) -> bytes | None:
        where = self._keys.of("blob", key)
        return await self._state.call(lambda redis: redis.get(where))

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        where = self._keys.of("blob", key)
        milliseconds = max(1, round(seconds * 1000))
        await self._state.call(lambda redis: redis.set(where, value, px=milliseconds), write=True)

    async def push(self, key: str, value: bytes, keep: int, seconds: float) -> None:
        items, count = self._keys.of("log", key), self._keys.of("logged", key)
        milliseconds = max(1, round(seconds * 1000))

        async def write(redis: Client) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.incr(count)
                pipe.lpush(items, value)
                pipe.ltrim(items, 0, keep - 1)
                pipe.pexpire(count, milliseconds)
                pipe.pexpire(items, milliseconds)
                await pipe.execute()

        await self._state.call(write, write=True)

    async def pushed(self, key: str, after: int) -> tuple[int, list[bytes]]:
        items, count = self._keys.of("log", key), self._keys.of("logged", key)

        async def read(redis: Client) -> tuple[int, list[bytes]]:
            total = int(await redis.get(count) or 0)
            if total == after:
                return total, []
            # More than asked for where somebody adds one right now: they are only seen twice.
            new = total - after if total > after else total
            return total, list(await redis.lrange(items, 0, new - 1)) if new else []

        return await self._state.call(read)
