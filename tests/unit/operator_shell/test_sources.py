"""Digests of ConfigMaps: one read for each version, and a failure is not an absence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import content_digest
from chatagent_operator.kube.errors import ApiError, NotFoundError, RejectedError
from chatagent_operator.kube.sources import Sources
from chatagent_operator.kube.store import Source

FAQ = ("demo", "faq")


class World:
    """What a watch has reported, and what a read finds."""

    def __init__(self) -> None:
        self.seen: dict[Key, Source] = {FAQ: Source("u", 5)}
        self.text = "open at nine"
        self.version = 5
        self.error: ApiError | None = None
        self.reads: list[str] = []
        self.sources = Sources(self.seen.get, self._request)

    async def digest(self) -> str | None:
        return (await self.sources.digests("demo", ["faq"])).get("faq")

    async def _request(self, method: str, path: str) -> dict[str, Any]:
        self.reads.append(path)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        metadata = {"uid": "u", "resourceVersion": str(self.version)}
        return {"metadata": metadata, "data": {"a.md": self.text}}


async def test_a_version_is_read_once() -> None:
    world = World()
    first = await world.digest()
    assert first == content_digest({"data": {"a.md": "open at nine"}})
    assert await world.digest() == first
    assert world.reads == ["/api/v1/namespaces/demo/configmaps/faq"]
    world.seen[FAQ], world.version, world.text = Source("u", 6), 6, "open at ten"
    assert await world.digest() not in (first, None)
    assert len(world.reads) == 2


async def test_all_that_ask_at_once_share_one_read() -> None:
    world = World()
    assert len(set(await asyncio.gather(*(world.digest() for _ in range(9))))) == 1
    assert len(world.reads) == 1


async def test_a_reader_that_is_cancelled_takes_it_from_no_other() -> None:
    world = World()
    first = asyncio.create_task(world.digest())
    second = asyncio.create_task(world.digest())
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert len(world.reads) == 1


async def test_what_was_read_may_be_newer_than_what_was_reported() -> None:
    world = World()
    world.version = 6
    await world.digest()
    await world.digest()
    world.seen[FAQ] = Source("u", 6)
    await world.digest()
    assert len(world.reads) == 1


async def test_a_recreated_one_is_read_again() -> None:
    world = World()
    world.version = 9
    await world.digest()
    world.seen[FAQ] = Source("other", 8)
    await world.digest()
    assert len(world.reads) == 2


async def test_one_that_no_watch_has_seen_is_missing_and_not_read() -> None:
    world = World()
    assert await world.sources.digests("demo", ["other", "faq", "faq"]) == {
        "faq": await world.digest()
    }
    assert len(world.reads) == 1


async def test_one_that_was_deleted_before_it_was_read_is_missing() -> None:
    world = World()
    world.error = NotFoundError(404, "there is none")
    assert await world.digest() is None


@pytest.mark.parametrize("error", [RejectedError(403, "you may not"), ApiError(0, "time-out")])
async def test_one_that_cannot_be_read_is_not_missing(error: ApiError) -> None:
    world = World()
    world.error = error
    with pytest.raises(ApiError) as failed:
        await world.digest()
    assert failed.value is error
    world.error = None
    assert await world.digest(), "the next try reads it again"


async def test_nothing_is_known_after_the_cluster_was_restored_from_a_backup() -> None:
    world = World()
    await world.digest()
    world.seen[FAQ] = Source("u", 3)
    world.sources.clear()
    world.version = 3
    await world.digest()
    assert len(world.reads) == 2


async def test_what_is_known() -> None:
    world = World()
    assert not world.sources.is_known(FAQ)
    assert world.sources.is_known(("demo", "other")), "there is nothing to be read"
    await world.digest()
    assert world.sources.is_known(FAQ)
    world.sources.forget(FAQ)
    assert not world.sources.is_known(FAQ)
