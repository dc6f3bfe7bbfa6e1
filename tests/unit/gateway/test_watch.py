"""The watch against a small stand-in for the API server; the real one is for the e2e tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from chatagent_operator.gateway import watch as watch_module
from chatagent_operator.gateway.runtime_socket import RuntimeSocket
from chatagent_operator.gateway.sync import SidecarSettings, run_sidecar
from chatagent_operator.gateway.watch import ConfigMapKey, Watch

TARGET = ConfigMapKey("shop", "agent-routes", "routes.json")


@dataclass
class ApiServer:
    """Answers the watches with the events in `events`; None ends one, as its time-out does."""

    events: asyncio.Queue[dict[str, Any] | None] = field(default_factory=asyncio.Queue)
    refusals: list[int] = field(default_factory=list[int])
    queries: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    delivered: int = 0
    now: dict[str, Any] | None = None
    """What every watch begins with."""

    async def config_maps(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        if self.refusals:
            return web.json_response({"message": "no"}, status=self.refusals.pop(0))
        response = web.StreamResponse()
        await response.prepare(request)
        if self.now is not None:
            await response.write(json.dumps(self.now).encode() + b"\n")
        while (event := await self.events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
            self.delivered += 1
        return response


def event(kind: str, text: str | None) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {}, "data": {"routes.json": text}}}


@pytest.fixture
async def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def api(server: ApiServer) -> AsyncIterator[client.ApiClient]:
    application = web.Application()
    application.router.add_get("/api/v1/namespaces/shop/configmaps", server.config_maps)
    runner = TestServer(application)
    await runner.start_server(shutdown_timeout=0.1)
    configuration = client.Configuration(host=f"http://127.0.0.1:{runner.port}")
    async with client.ApiClient(configuration) as api_client:
        yield api_client
    await runner.close()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(watch_module, "_BACKOFF_SECONDS", (0.001, 0.01))


@contextlib.asynccontextmanager
async def following(watch: Watch) -> AsyncGenerator[AsyncGenerator[str | None]]:
    async with asyncio.timeout(10), contextlib.aclosing(watch.texts()) as texts:
        yield texts


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_texts_as_they_change(server: ApiServer, api: client.ApiClient) -> None:
    async with following(Watch(api, TARGET)) as texts:
        server.events.put_nowait(event("ADDED", "one"))
        assert await anext(texts) == "one"
        server.events.put_nowait(event("BOOKMARK", "other"))
        server.events.put_nowait(event("MODIFIED", "two"))
        assert await anext(texts) == "two"
        server.events.put_nowait(event("DELETED", "two"))
        assert await anext(texts) is None
        server.events.put_nowait({"type": "ADDED", "object": {"metadata": {}}})
        assert await anext(texts) is None
    assert server.queries == [
        {"fieldSelector": "metadata.name=agent-routes", "watch": "true", "timeoutSeconds": "20"}
    ]


async def test_every_end_is_followed_by_another_watch(
    server: ApiServer, api: client.ApiClient
) -> None:
    failures: list[int] = []
    watch = Watch(api, TARGET, on_failure=lambda: failures.append(1))
    async with following(watch) as texts:
        server.refusals += [500, 403, 410]
        server.events.put_nowait(event("ADDED", "one"))
        assert await anext(texts) == "one"
        assert len(failures) == 3
        server.events.put_nowait(None)
        server.events.put_nowait(event("ADDED", "one"))
        assert await anext(texts) == "one"
        assert len(failures) == 4
        gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
        server.events.put_nowait(gone)
        follower = asyncio.ensure_future(anext(texts))
        await until(lambda: len(failures) == 5)
        server.events.put_nowait(event("ADDED", "two"))  # the watch that failed may take it
        server.events.put_nowait(event("ADDED", "two"))
        assert await follower == "two"
    # None asks to go on from a version, so none can be told that it is too old.
    assert not [query for query in server.queries if "resourceVersion" in query]


async def test_the_end_of_its_time_is_no_failure(server: ApiServer, api: client.ApiClient) -> None:
    failures: list[int] = []
    watch = Watch(api, TARGET, seconds=1, on_failure=lambda: failures.append(1))
    async with following(watch) as texts:
        for text in ("one", "two", "three"):
            server.events.put_nowait(event("ADDED", text))
            server.events.put_nowait(None)
            assert await anext(texts) == text
    assert failures == []


async def test_a_connection_that_died_silently_is_left(
    server: ApiServer, api: client.ApiClient
) -> None:
    watch = Watch(api, TARGET, seconds=0, slack_seconds=0.2)
    server.now = event("ADDED", "one")
    async with following(watch) as texts:
        assert await anext(texts) == "one"
        server.now = event("ADDED", "two")  # which only another watch is told
        assert await anext(texts) == "two"


async def test_an_api_server_that_is_away(server: ApiServer) -> None:
    failures: list[int] = []
    async with client.ApiClient(client.Configuration(host="http://127.0.0.1:9")) as api_client:
        watch = Watch(api_client, TARGET, on_failure=lambda: failures.append(1))
        async with following(watch) as texts:
            follower = asyncio.ensure_future(anext(texts))
            await until(lambda: len(failures) >= 3)
            follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await follower


async def test_the_sidecar_lives_on_without_haproxy(
    server: ApiServer, api: client.ApiClient, unused_tcp_port: int
) -> None:
    settings = SidecarSettings(
        TARGET, RuntimeSocket("/nonexistent.sock", "/slots.map"), "127.0.0.1", unused_tcp_port
    )
    server.events.put_nowait(event("ADDED", '{"generation": 4}'))
    sidecar = asyncio.create_task(run_sidecar(settings, api))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as http:
            async with asyncio.timeout(10):
                await until(lambda: server.delivered == 1)
                while "chatagent_gateway_intended_generation 4.0" not in (
                    metrics := await page(http, "/metrics")
                ):
                    continue
            assert "chatagent_gateway_applied_generation -1.0" in metrics
            assert await page(http, "/livez") == "ok"
            assert "no response from HAProxy at /nonexistent.sock" in await page(http, "/readyz")
    finally:
        sidecar.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sidecar


async def page(http: aiohttp.ClientSession, path: str) -> str:
    async with http.get(path) as answer:
        return await answer.text()


def test_settings_from_the_environment() -> None:
    environment = {"ROUTES_NAMESPACE": "shop", "ROUTES_CONFIGMAP": "agent-routes"}
    settings = SidecarSettings.from_environment(environment)
    assert settings.routes == TARGET
    assert settings.socket == RuntimeSocket("/run/haproxy/admin.sock", "/etc/haproxy/slots.map")
    assert settings.port == 8405
    with pytest.raises(KeyError):
        SidecarSettings.from_environment({})
