"""An ingestion waits for a store that does not answer, and for none that refuses."""

from __future__ import annotations

import logging

import pytest

from agent_runtime.errors import (
    AgentError,
    IndexMismatchError,
    IndexMissingError,
    InvalidConfigError,
    VectorStoreUnavailableError,
)
from agent_runtime.knowledge import waiting

AWAY = VectorStoreUnavailableError("the vector store at h:1: Name or service not known")


class Store:
    """It fails so many times, in one way, each time after so many seconds."""

    def __init__(self, failures: int, error: AgentError, seconds: float = 0.0) -> None:
        self.now = 0.0
        self.asked = 0
        self._failures, self._error, self._seconds = failures, error, seconds

    def clock(self) -> float:
        return self.now

    async def work(self) -> str:
        self.asked += 1
        self.now += self._seconds
        if self.asked <= self._failures:
            raise self._error
        return "done"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "LONGEST_SECONDS", 0.001)


@pytest.mark.parametrize("error", [AWAY, IndexMissingError("there is no collection 'c'")])
async def test_a_store_that_comes_back_is_waited_for(
    error: AgentError, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(3, error)
    with caplog.at_level(logging.WARNING):
        assert await waiting.outlast(store.work, 5, store.clock) == "done"
    assert store.asked == 4
    said = [each.getMessage() for each in caplog.records]
    assert said == [f"waiting: {error}; next try in 0.001 s, for 5 s more"] * 3


async def test_one_that_stays_away_is_waited_for_so_long() -> None:
    store = Store(100, AWAY, seconds=1)
    with pytest.raises(VectorStoreUnavailableError, match="not known; it was waited for, for 5 s"):
        await waiting.outlast(store.work, 5, store.clock)
    assert store.asked == 6


async def test_each_long_attempt_begins_a_new_wait() -> None:
    store = Store(20, AWAY, seconds=6)
    assert await waiting.outlast(store.work, 5, store.clock) == "done"


@pytest.mark.parametrize(
    "error",
    [
        VectorStoreUnavailableError("401", lasting=True),
        IndexMismatchError("another dimension"),
        InvalidConfigError("no such engine"),
    ],
)
async def test_what_waiting_does_not_heal_fails_at_once(error: AgentError) -> None:
    store = Store(1, error)
    with pytest.raises(type(error), match=str(error)):
        await waiting.outlast(store.work, 5, store.clock)
    assert store.asked == 1
