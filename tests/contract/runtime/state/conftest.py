"""A Redis server for the tests that do not harm it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from agent_runtime.state.address import parse
from agent_runtime.state.redis import RedisState
from tests.contract.runtime.state.servers import RedisServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def state(server: RedisServer) -> AsyncIterator[RedisState]:
    # More patient than in use: these tests are about what is stored, on a busy machine.
    opened = RedisState(parse(server.url), call_seconds=5)
    yield opened
    await opened.aclose()
