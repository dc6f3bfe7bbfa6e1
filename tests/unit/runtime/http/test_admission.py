"""Places for turns: bounded, fair, refused early; and turns whose client goes away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.config import LimitsConfig
from agent_runtime.errors import OverloadedError
from agent_runtime.http import turns
from agent_runtime.http.admission import Admission
from agent_runtime.http.wire import DONE
from tests.unit.runtime.http.harness import CHAT, RESPONSES, Connection, Runtime


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def admission(
    concurrency: int = 1, queue: int = 4, seconds: float = 10.0, clock: Clock | None = None
) -> Admission:
    limits = LimitsConfig(concurrency=concurrency, queue=queue, queue_seconds=seconds)
    return Admission(limits, lambda running, waiting: None, clock or Clock())


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def line_up(
    places: Admission, callers: Sequence[str], served: list[str]
) -> list[asyncio.Task[None]]:
    async def turn(caller: str) -> None:
        async with places.place(caller):
            served.append(caller)

    tasks = [asyncio.create_task(turn(caller)) for caller in callers]
    await settled()
    return tasks


async def test_callers_take_turns_however_many_one_of_them_has() -> None:
    places, served = admission(queue=10), list[str]()
    await places.enter("first")
    tasks = await line_up(places, ["a", "a", "a", "b", "c"], served)
    places.leave(0.1)
    await asyncio.gather(*tasks)
    assert served == ["a", "b", "c", "a", "a"]


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    places, served = admission(queue=2), list[str]()
    await places.enter("first")
    places.leave(4.0)
    await places.enter("first")
    tasks = await line_up(places, ["a", "b"], served)
    with pytest.raises(OverloadedError) as refused:
        await places.enter("c")
    assert refused.value.retry_after == 12
    places.leave(4.0)
    await asyncio.gather(*tasks)
    assert served == ["a", "b"]


async def test_who_waits_with_most_makes_room_for_who_waits_with_none() -> None:
    places, served = admission(queue=3), list[str]()
    await places.enter("first")
    flood = await line_up(places, ["a", "a", "a"], served)
    other = await line_up(places, ["b"], served)
    assert isinstance(flood[2].exception(), OverloadedError)
    places.leave(0.1)
    await asyncio.gather(*flood[:2], *other)
    assert served == ["a", "b", "a"]


async def test_who_leaves_while_sent_away_harms_nobody() -> None:
    places, served = admission(queue=3), list[str]()
    await places.enter("first")
    flood = await line_up(places, ["a", "a", "a"], served)
    lining_up = asyncio.create_task(line_up(places, ["b"], served))
    await asyncio.sleep(0)  # b is about to take the last one's place in the queue
    flood[2].cancel()
    other = await lining_up
    places.leave(0.1)
    await asyncio.gather(*flood[:2], *other)
    assert flood[2].cancelled()
    assert served == ["a", "b", "a"]


async def test_who_would_wait_too_long_is_told_before() -> None:
    clock = Clock()
    places = admission(seconds=10, clock=clock)
    async with places.place("a"):
        clock.now += 30
    await places.enter("a")
    with pytest.raises(OverloadedError, match="it would wait for 30 s"):
        await places.enter("b")


async def test_who_waits_too_long_gives_up_and_holds_nothing() -> None:
    places = admission(seconds=0.01)
    await places.enter("a")
    with pytest.raises(OverloadedError, match="waited too long"):
        await places.enter("b")
    places.leave(0.1)
    await places.enter("b")


async def test_who_leaves_the_queue_lets_the_next_one_in() -> None:
    places, served = admission(), list[str]()
    await places.enter("first")
    tasks = await line_up(places, ["a", "b"], served)
    places.leave(0.1)
    tasks[0].cancel()  # at the very moment it got its place
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["b"]
    await places.enter("c")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_no_place_is_ever_lost_or_given_twice(story: list[tuple[str, bool]]) -> None:
    async def play() -> None:
        running, most = 0, 0
        places = admission(concurrency=2, queue=5)

        async def turn(caller: str) -> None:
            nonlocal running, most
            async with places.place(caller):
                running += 1
                most = max(most, running)
                try:
                    await asyncio.sleep(0)
                finally:
                    running -= 1

        tasks: list[asyncio.Task[None]] = []
        for caller, cancels in story:
            tasks.append(asyncio.create_task(turn(caller)))
            if cancels:
                await asyncio.sleep(0)
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= 2
        assert places.waiting == 0
        for _ in range(2):
            await asyncio.wait_for(places.enter("z"), 1)

    asyncio.run(play())


async def test_over_the_limit_it_is_a_429_and_health_is_not_queued() -> None:
    runtime = Runtime(limits=LimitsConfig(concurrency=1, queue=0, queue_seconds=1))
    runtime.agent.hold = asyncio.Event()
    async with runtime.client:
        first = asyncio.create_task(runtime.ask())
        await runtime.agent.asked.wait()
        refused = await runtime.ask(stream=True)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert (await runtime.client.get("/livez")).status_code == 200
        assert 'running"} 1.0' in (await runtime.client.get("/metrics")).text
        runtime.agent.hold.set()
        assert (await first).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_client_that_goes_away_ends_its_turn(path: str, stream: bool) -> None:
    runtime = Runtime(limits=LimitsConfig(concurrency=1, queue=0))
    runtime.agent.hold = asyncio.Event()
    body = {"messages": [{"role": "user", "content": "x"}], "input": "x", "stream": stream}
    connection = Connection(runtime.app, path, body)
    task = connection.start()
    await runtime.agent.asked.wait()
    if stream:
        await connection.began.wait()
    await settled()
    assert runtime.agent.ended == []
    connection.leave()
    await task
    assert runtime.agent.ended == ["cancelled"]
    counts = runtime.telemetry.metrics.text().decode()
    assert re.findall(r'agent_requests_total\{code="(\d+)".* 1\.0', counts) == ["499"]
    assert 'agent_request_duration_seconds_count{answer="made",revision="r1"} 0.0' in counts
    # Its place is free again.
    runtime.agent.hold = None
    async with runtime.client:
        assert (await runtime.ask()).status_code == 200


async def test_a_client_that_goes_away_while_it_waits_leaves_the_queue() -> None:
    runtime = Runtime(limits=LimitsConfig(concurrency=1, queue=5))
    runtime.agent.hold = asyncio.Event()
    body = {"messages": [{"role": "user", "content": "x"}]}
    first, second = (Connection(runtime.app, CHAT, body) for _ in range(2))
    running = first.start()
    await runtime.agent.asked.wait()
    waiting = second.start()
    await settled()
    assert 'state="waiting"} 1.0' in runtime.telemetry.metrics.text().decode()
    second.leave()
    await waiting
    assert 'state="waiting"} 0.0' in runtime.telemetry.metrics.text().decode()
    runtime.agent.hold.set()
    await running
    assert len(runtime.agent.requests) == 1


async def test_a_silent_stream_says_that_it_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SILENCE_SECONDS", 0.01)
    runtime = Runtime()
    runtime.agent.hold = asyncio.Event()
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    connection = Connection(runtime.app, CHAT, body)
    task = connection.start()
    async with asyncio.timeout(10):
        await connection.until(lambda: connection.parts.count(turns.COMMENT) >= 2)
    runtime.agent.hold.set()
    await task
    assert connection.parts[-2:] == [DONE, b""]
    whole = await Runtime().ask(stream=True)
    said = b"".join(part for part in connection.parts if part != turns.COMMENT)
    assert [said.count(b"data: "), said.count(b"\n\n")] == [whole.text.count("data: ")] * 2
