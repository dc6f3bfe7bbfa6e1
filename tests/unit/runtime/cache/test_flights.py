"""The same question from many at once."""

from __future__ import annotations

import asyncio

import pytest

from agent_runtime.cache import Flights, Lead
from agent_runtime.domain import Answer


class Work:
    """A turn that asks Flights first, as the pipeline does."""

    def __init__(self, flights: Flights) -> None:
        self.flights = flights
        self.computed = 0
        self.go = asyncio.Event()

    async def ask(self, *, end: str = "land") -> str:
        boarded = await self.flights.board("k")
        if isinstance(boarded, Answer):
            return boarded.text
        try:
            self.computed += 1
            await self.go.wait()
        except asyncio.CancelledError:
            boarded.abandon()
            raise
        if end == "land":
            boarded.land(Answer("shared"))
            return "own"
        boarded.alone()
        if end == "raise":
            raise RuntimeError("failed")
        return "own"


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_many_at_once_are_answered_once() -> None:
    work = Work(Flights())
    asking = [asyncio.create_task(work.ask()) for _ in range(50)]
    await settle()
    work.go.set()
    assert sorted(await asyncio.gather(*asking)) == ["own", *["shared"] * 49]
    assert work.computed == 1
    assert len(work.flights) == 0


@pytest.mark.parametrize("end", ["raise", "alone"])
async def test_a_failure_is_nobody_elses(end: str) -> None:
    work = Work(Flights())
    first = asyncio.create_task(work.ask(end=end))
    await settle()
    others = [asyncio.create_task(work.ask()) for _ in range(5)]
    await settle()
    work.go.set()
    # Side by side: a question that cannot be shared must not be answered one after the other.
    assert await asyncio.gather(*others) == ["own"] * 5
    assert work.computed == 6
    await asyncio.gather(first, return_exceptions=True)
    assert len(work.flights) == 0


async def test_who_goes_away_hands_on_the_lead() -> None:
    work = Work(Flights())
    first = asyncio.create_task(work.ask())
    await settle()
    others = [asyncio.create_task(work.ask()) for _ in range(5)]
    await settle()
    first.cancel()
    await settle()
    assert work.computed == 2
    others[1].cancel()  # one that waits
    await settle()
    work.go.set()
    done = await asyncio.gather(first, *others, return_exceptions=True)
    assert sorted(map(str, done)) == ["", "", "own", "shared", "shared", "shared"]


async def test_a_lost_lead_costs_patience_once() -> None:
    flights = Flights(patience_seconds=0.05)
    lost = await flights.board("k")
    assert isinstance(lost, Lead)
    mine = await flights.board("k")
    assert isinstance(mine, Lead)
    follower = asyncio.create_task(flights.board("k"))
    await settle()
    mine.land(Answer("a"))
    assert await follower == Answer("a")
    lost.land(Answer("late"))
    assert len(flights) == 0


async def test_only_the_first_end_counts() -> None:
    flights = Flights()
    lead = await flights.board("k")
    assert isinstance(lead, Lead)
    follower = asyncio.create_task(flights.board("k"))
    await settle()
    lead.land(Answer("a"))
    lead.abandon()
    lead.alone()
    assert await follower == Answer("a")


async def test_other_questions_do_not_wait() -> None:
    flights = Flights()
    await flights.board("k")
    assert isinstance(await flights.board("other"), Lead)
