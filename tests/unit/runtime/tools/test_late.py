"""What is not there yet is asked again, and whoever waits for it waits for the right attempt."""

from __future__ import annotations

import asyncio

import pytest

from agent_runtime.tools import late
from agent_runtime.tools.late import Origin


class Scripted(Origin):
    """Each attempt waits to be told how it ends."""

    def __init__(self) -> None:
        super().__init__("scripted")
        self.attempts = 0
        self.ends: asyncio.Queue[str | None] = asyncio.Queue()

    async def attend(self) -> None:
        self.attempts += 1
        if (problem := await self.ends.get()) is not None:
            raise RuntimeError(problem)
        self.settle(None)
        raise RuntimeError(await self.ends.get())


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again by itself within a test."""
    monkeypatch.setattr(late, "FIRST_PAUSE", 60.0)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_whoever_waits_gets_the_attempt_that_goes_on_if_it_succeeds() -> None:
    origin = Scripted()
    await origin.start(0.01)
    waiting = asyncio.create_task(origin.up(60))
    await turns()
    origin.ends.put_nowait(None)
    assert await asyncio.wait_for(waiting, 5)
    assert origin.problem is None
    assert origin.attempts == 1
    await origin.close()


async def test_a_failure_of_before_is_no_answer_but_that_of_ones_own_attempt_is() -> None:
    origin = Scripted()
    await origin.start(0.01)
    waiting = asyncio.create_task(origin.up(60))
    await turns()
    origin.ends.put_nowait("refused")
    await turns()
    assert not waiting.done()
    origin.ends.put_nowait("refused again")
    assert not await asyncio.wait_for(waiting, 5)
    assert (origin.problem, origin.attempts) == ("refused again", 2)
    await origin.close()


async def test_what_was_lost_is_had_again_at_once_by_whoever_wants_it() -> None:
    origin = Scripted()
    origin.ends.put_nowait(None)
    await origin.start(5)
    assert origin.problem is None
    origin.ends.put_nowait("gone")
    await turns()
    assert origin.problem == "gone"
    origin.ends.put_nowait(None)
    assert await asyncio.wait_for(origin.up(60), 5)
    await origin.close()


async def test_patience_ends() -> None:
    origin = Scripted()
    await origin.start(0.01)
    assert not await asyncio.wait_for(origin.up(0.05), 60)  # and the attempt goes on for ever
    await origin.close()
