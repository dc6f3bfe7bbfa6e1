"""How long a change of the collection is waited for, once it is written."""

from __future__ import annotations

from typing import cast

import pytest

from agent_runtime.domain import IndexInfo
from agent_runtime.errors import UnavailableError
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.snapshot import Snapshot
from agent_runtime.wiring import documents
from agent_runtime.wiring.documents import PATIENCE_SECONDS, ServedDocuments
from tests.unit.runtime.fakes import HashingVectors, MemoryStore


class Waiting:
    """Documents whose clock goes on with each look at it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = MemoryStore()
        self.follower = IndexFollower(self.store, HashingVectors(), self._noted)
        unused = cast("documents.Index", self.store)
        self.documents = ServedDocuments(
            lambda: unused, lambda _: pytest.fail("nothing is changed"), "", self.follower,
            clock=self._clock,
        )  # fmt: skip

    def publish(self, version: int, id: str = "1", pending: bool = False) -> None:
        self.store.info = IndexInfo("c", id, HashingVectors.model, 64, version, 0, pending)

    def _noted(self, snapshot: Snapshot) -> None:
        pass

    def _clock(self) -> float:
        self.now += PATIENCE_SECONDS / 2
        return self.now


@pytest.mark.timeout(60)
async def test_a_store_that_goes_away_after_a_change_is_not_waited_for_without_end() -> None:
    waiting = Waiting()
    waiting.publish(4)
    await waiting.follower.follow()
    waiting.store.away = True
    with pytest.raises(UnavailableError, match=r"written as version 5 .* still .* version 4"):
        await waiting.documents.in_use(5)


@pytest.mark.timeout(60)
async def test_nor_is_a_collection_that_was_made_anew() -> None:
    waiting = Waiting()
    waiting.publish(4)
    await waiting.follower.follow()
    waiting.publish(1, id="2")
    with pytest.raises(UnavailableError, match=r"written as version 5 .* still .* version 1"):
        await waiting.documents.in_use(5)


async def test_what_somebody_else_published_over_it_holds_it_too() -> None:
    waiting = Waiting()
    waiting.publish(3)
    await waiting.follower.follow()
    waiting.publish(4)
    await waiting.documents.in_use(5)


@pytest.mark.timeout(60)
async def test_what_others_have_not_published_yet_may_not_hold_it() -> None:
    waiting = Waiting()
    waiting.publish(4)
    await waiting.follower.follow()
    waiting.publish(4, pending=True)
    with pytest.raises(UnavailableError, match=r"written as version 5 .* still .* version 4"):
        await waiting.documents.in_use(5)


async def test_what_is_in_use_is_not_waited_for() -> None:
    waiting = Waiting()
    waiting.publish(5)
    await waiting.documents.in_use(5)
