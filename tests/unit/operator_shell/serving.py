"""An API server on loopback that answers as a test says, and the operator's client of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client  # pyright: ignore[reportMissingTypeStubs]

from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.fence import Fence

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[str]:
    """Answer every request. Yields the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def connect(url: str, fence: Fence | None = None) -> Kube:
    configuration = client.Configuration()
    configuration.host = url
    return Kube(client.ApiClient(configuration), fence)
