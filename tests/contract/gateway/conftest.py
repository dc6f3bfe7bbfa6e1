"""Two revisions and a gateway in front of them. Everything ends with its test, by process id."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.contract.gateway.loopback import Agent, Chats, Gateway, Gateways, serving


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders have names too long for a Unix socket.
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        yield Path(name)


@pytest.fixture
async def stable() -> AsyncIterator[Agent]:
    async with serving("stable", "127.0.0.2") as agent:
        yield agent


@pytest.fixture
async def canary() -> AsyncIterator[Agent]:
    async with serving("canary", "127.0.0.3") as agent:
        yield agent


@pytest.fixture
async def gateway(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """Settings that differ from the defaults come as the fixture's parameter."""
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    gateway = Gateway(folder, **getattr(request, "param", {}))
    await gateway.start()
    gateway.sidecar.start()
    yield gateway
    await gateway.sidecar.stop()
    await gateway.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        yield http


@pytest.fixture
async def chats(gateway: Gateway, http: aiohttp.ClientSession) -> Chats:
    return Chats(gateway, http)


@pytest.fixture
async def gateways(folder: Path) -> AsyncIterator[Gateways]:
    """Two that are ready but for an intent; a third may follow."""
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    gateways = Gateways(folder, 2)
    await gateways.start()
    yield gateways
    await gateways.stop()
