"""That HAProxy does what every gateway does. What it does beyond that is in the files around."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from chatagent_operator.core.routing.routes import Backend
from tests.contract.gateway.behaviour import (
    CANARY,
    STABLE,
    GatewayBehaviour,
    Revision,
    clients,
    running,
)
from tests.contract.gateway.loopback import Gateway

__all__ = ["clients"]


@dataclass
class HAProxy:
    """The gateway as the suite sees it."""

    gateway: Gateway

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def host(self) -> str:
        return "agent.example"

    async def intends(self, *backends: Backend, stable: str = STABLE) -> None:
        await self.gateway.intends(*backends, stable=stable)


@pytest.fixture
def front(gateway: Gateway) -> HAProxy:
    return HAProxy(gateway)


@pytest.fixture
async def stable() -> AsyncIterator[Revision]:
    async with running(STABLE, "127.0.0.2") as revision:
        yield revision


@pytest.fixture
async def canary() -> AsyncIterator[Revision]:
    async with running(CANARY, "127.0.0.3") as revision:
        yield revision


class TestHAProxy(GatewayBehaviour):
    """The suite over one HAProxy process on loopback."""
