"""Records in Redis: a value each, and a sorted set of their ids for each kind and tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from agent_runtime.errors import TooLargeError
from agent_runtime.state.keys import Keys
from agent_runtime.state.redis import Client, RedisState

LARGEST_BYTES = 21 * 2**20
"""20 MiB and what describes it."""
CALL_SECONDS = 0.25
BYTES_PER_SECOND = 4 * 2**20
"""A large value is given the time that it takes on a poor network."""
LIST_SECONDS = 2.0
PAGE = 200


class RedisRecords:
    """Documents by kind and tenant. Those of a kind that live for a time live equally long."""

    def __init__(
        self, state: RedisState, keys: Keys, clock: Callable[[], float] = time.time
    ) -> None:
        self._state = state
        self._keys = keys
        self._clock = clock

    async def put(
        self, kind: str, tenant: str, id: str, value: bytes, seconds: float | None = None
    ) -> None:
        check_size(value)
        key, index = self._key(kind, tenant, id), self._index(kind, tenant)
        milliseconds = None if seconds is None else max(1, round(seconds * 1000))
        now = self._clock()

        async def write(redis: Client) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.set(key, value, px=milliseconds)
                if milliseconds is None:
                    pipe.zadd(index, {_member(id): now}, nx=True)
                    pipe.persist(index)
                else:
                    # The value lives anew, and so does its member; those of dead ones go.
                    pipe.zadd(index, {_member(id): now})
                    pipe.zremrangebyscore(index, 0, now - milliseconds / 1000)
                    pipe.pexpire(index, milliseconds)
                await pipe.execute()

        await self._state.call(write, _seconds(len(value)), write=True)

    async def get(self, kind: str, tenant: str, id: str) -> bytes | None:
        key = self._key(kind, tenant, id)
        size = await self._state.call(lambda redis: redis.strlen(key), CALL_SECONDS)
        return await self._state.call(lambda redis: redis.get(key), _seconds(size))

    async def some(self, kind: str, tenant: str, ids: Sequence[str]) -> list[bytes | None]:
        keys = [self._key(kind, tenant, id) for id in ids]

        async def read(redis: Client) -> list[bytes | None]:
            found: list[bytes | None] = []
            for start in range(0, len(keys), PAGE):
                found += await redis.mget(keys[start : start + PAGE])
            return found

        return await self._state.call(read, LIST_SECONDS)

    async def delete(self, kind: str, tenant: str, id: str) -> bool:
        key, index = self._key(kind, tenant, id), self._index(kind, tenant)

        async def write(redis: Client) -> bool:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.delete(key)
                pipe.zrem(index, _member(id))
                return bool((await pipe.execute())[0])

        return await self._state.call(write, CALL_SECONDS, write=True)

    async def list(
        self, kind: str, tenant: str, limit: int = 100, after: str | None = None
    ) -> list[tuple[str, bytes]]:
        async def read(redis: Client) -> list[tuple[str, bytes]]:
            index = self._index(kind, tenant)
            start = 0
            if after is not None:
                rank = await redis.zrevrank(index, _member(after))
                if rank is None:
                    return []
                start = int(rank) + 1
            return await self._page(redis, kind, tenant, start, limit)

        return await self._state.call(read, LIST_SECONDS)

    async def _page(
        self, redis: Client, kind: str, tenant: str, start: int, limit: int
    ) -> list[tuple[str, bytes]]:
        index = self._index(kind, tenant)
        found: list[tuple[str, bytes]] = []
        gone: list[bytes] = []
        while len(found) < limit:
            members: list[bytes] = await redis.zrevrange(index, start, start + PAGE - 1)
            if not members:
                break
            ids = [each.decode("utf-8", "surrogatepass") for each in members]
            values = await redis.mget([self._key(kind, tenant, id) for id in ids])
            found += [(id, value) for id, value in zip(ids, values, strict=True) if value]
            gone += [each for each, value in zip(members, values, strict=True) if value is None]
            start += PAGE
        if gone:
            await redis.zrem(index, *gone)
        return found[:limit]

    def _key(self, kind: str, tenant: str, id: str) -> bytes:
        return self._keys.of("record", kind, tenant, id)

    def _index(self, kind: str, tenant: str) -> bytes:
        return self._keys.of("records", kind, tenant)


def check_size(value: bytes) -> None:
    """Raise TooLargeError where a value is too large for a record."""
    if len(value) > LARGEST_BYTES:
        raise TooLargeError(f"{len(value)} bytes are more than the {LARGEST_BYTES} of a record")


def _seconds(size: int) -> float:
    return CALL_SECONDS + size / BYTES_PER_SECOND


def _member(id: str) -> bytes:
    return id.encode("utf-8", "surrogatepass")
