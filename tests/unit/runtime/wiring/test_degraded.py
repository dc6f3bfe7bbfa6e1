"""What a running agent says that it does without."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from agent_runtime.config import AgentConfig
from agent_runtime.domain import IndexInfo
from agent_runtime.errors import AgentError
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.state.memory import MemoryBlobs, MemoryRecords, MemorySessions
from agent_runtime.telemetry import Telemetry
from agent_runtime.wiring import runtime
from agent_runtime.wiring.runtime import Knowledge, Runtime, Work
from agent_runtime.wiring.state import State
from tests.unit.runtime.fakes import HashingVectors, MemoryStore


async def nothing() -> None:
    pass


class Agent:
    """A runtime whose store and Redis are in the test's hands."""

    def __init__(self, copy_bytes: int = 2**20, checking: Work = nothing) -> None:
        self.store = MemoryStore()
        self.store.info = IndexInfo("c", "1", HashingVectors.model, 64, 1, 0, False)
        self.redis: str | None = None
        self.telemetry = Telemetry("r1")
        unused = cast(Any, None)
        self.follower = IndexFollower(
            self.store, HashingVectors(), lambda _: None, copy_bytes=copy_bytes
        )
        state = State(
            MemorySessions(60, 10), MemoryRecords(), MemoryBlobs(), lambda: self.redis, True,
            nothing, nothing,
        )  # fmt: skip
        self.runtime = Runtime(
            config=AgentConfig(),
            pipeline=unused,
            telemetry=self.telemetry,
            state=state,
            generator=unused,
            toolbox=unused,
            vectors=HashingVectors(),
            embedder=None,
            knowledge=Knowledge(unused, unused, self.follower, unused),
            authenticator=None,
            checking=checking,
            starting=[],
            closing=[],
        )

    def gauge(self, part: str) -> float | None:
        labels = {"revision": "r1", "part": part}
        return self.telemetry.metrics.registry.get_sample_value("agent_degraded", labels)


@pytest.mark.parametrize(
    ("copy_bytes", "how"),
    [(2**20, "the pod's copy of it is searched"), (-1, "what needs documents is refused")],
)
async def test_a_store_and_a_redis_that_are_away_are_named(copy_bytes: int, how: str) -> None:
    agent = Agent(copy_bytes)
    await agent.runtime.start()
    try:
        assert agent.runtime.ready() is not None
        assert agent.runtime.degraded() == {}
        agent.store.away, agent.redis = True, "Redis at h:1: refused"
        await agent.follower.follow()
        assert agent.runtime.ready() is not None
        assert agent.runtime.degraded() == {
            "retrieval": ("VectorStoreUnavailable", f"away; meanwhile {how}"),
            "cache": (
                "StateUnavailable",
                "Redis at h:1: refused; meanwhile answers are not cached and conversations not "
                "remembered",
            ),
        }
    finally:
        await agent.runtime.stop()


async def test_before_the_first_index_an_agent_is_not_degraded_but_not_ready() -> None:
    agent = Agent()
    agent.store.info = None
    await agent.runtime.start()
    assert agent.runtime.degraded() == {}
    await agent.runtime.stop()


def is_ready(agent: Agent) -> bool:
    try:
        return agent.runtime.ready() is not None
    except AgentError:
        return False


async def test_a_check_that_breaks_is_told_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "WATCH_SECONDS", 0.0)
    is_broken = True

    async def check() -> None:
        if is_broken:
            raise KeyError("status")

    agent = Agent(checking=check)
    await agent.runtime.start()
    try:
        with pytest.raises(AgentError, match="KeyError") as told:
            agent.runtime.ready()
        assert told.value.reason == "InternalError"
        is_broken = False
        async with asyncio.timeout(10):
            while not is_ready(agent):  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        await agent.runtime.stop()


async def test_the_gauge_follows() -> None:
    agent = Agent()
    agent.redis = "Redis at h:1: refused"
    await agent.runtime.start()
    try:
        while agent.gauge("cache") is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert (agent.gauge("cache"), agent.gauge("retrieval")) == (1.0, 0.0)
    finally:
        await agent.runtime.stop()
