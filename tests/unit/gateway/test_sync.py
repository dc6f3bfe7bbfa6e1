"""The sidecar follows one ConfigMap; the API server is one in memory, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from kubernetes.aio import client

from chatagent_operator.core.kinds import CONFIG_MAP
from chatagent_operator.gateway.runtime_socket import RuntimeSocket
from chatagent_operator.gateway.sync import ConfigMapKey, SidecarSettings, follow, run_sidecar
from chatagent_operator.kube.errors import ApiError, from_response
from chatagent_operator.kube.reflector import Timing
from tests.unit.operator_shell.api_server import ApiServer, Request
from tests.unit.operator_shell.serving import serving

TARGET = ConfigMapKey("shop", "agent-routes", "routes.json")
PATH = CONFIG_MAP.path()
HURRY = Timing(watch_seconds=(20, 20), first_pause=0.001, last_pause=0.01)


@dataclass
class World:
    """An API server and what the sidecar has of it."""

    server: ApiServer = field(default_factory=ApiServer)
    texts: list[str | None] = field(default_factory=list[str | None])
    failures: int = 0

    def put(self, text: str | None, name: str = "agent-routes") -> None:
        self.server.put(PATH, "shop", name, data={"routes.json": text} if text else {})

    def delete(self) -> None:
        self.server.delete(PATH, "shop", "agent-routes")

    @contextlib.asynccontextmanager
    async def following(self, timing: Timing = HURRY) -> AsyncGenerator[None]:
        async with serving(self.server.handle) as url, self.following_at(url, timing):
            yield

    @contextlib.asynccontextmanager
    async def following_at(self, url: str, timing: Timing = HURRY) -> AsyncGenerator[None]:
        async with client.ApiClient(client.Configuration(host=url)) as api:
            reflector = follow(api, TARGET, self.texts.append, self._failed, timing)
            task = asyncio.create_task(reflector.run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self.server.restart()

    def _failed(self) -> None:
        self.failures += 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_texts_as_they_change() -> None:
    world = World()
    world.put("one")
    world.put("not mine", name="other")
    async with world.following():
        await until(lambda: world.texts == ["one"])
        world.put("not mine", name="other")
        world.put("two")
        await until(lambda: world.texts[1:] == ["two"])
        world.delete()
        await until(lambda: world.texts[2:] == [None])
        world.put(None)
        await until(lambda: world.texts[3:] == [None])
    (request,) = world.server.requests
    assert request.path == "/api/v1/namespaces/shop/configmaps", "its Role allows no more"
    assert request.query["fieldSelector"] == "metadata.name=agent-routes", "nor another one"
    assert world.failures == 0


async def test_every_end_is_followed_by_another_watch_that_loses_nothing() -> None:
    world = World()
    refusals = [500, 503]

    def refuse(request: Request) -> ApiError | None:
        return from_response(refusals.pop(0), b"no") if refusals else None

    world.server.refuse = refuse
    world.put("one")
    async with world.following():
        await until(lambda: world.texts == ["one"])
        assert world.failures == 2
        world.server.compact()
        refusals.append(410)
        world.server.restart()
        world.put("two")
        await until(lambda: world.texts[1:] == ["two"])
        assert world.failures == 4
    assert world.server.requests[-1].is_streamed_list


async def test_the_end_of_its_time_is_no_failure() -> None:
    world = World()
    world.put("one")
    clock = iter(range(0, 10_000, 20))
    timing = Timing(watch_seconds=(20, 20), first_pause=0.001, clock=lambda: next(clock))

    async def one_line(request: Request) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(ApiServer.watch(world.server, request)) as lines:
            count = 0
            async for line in lines:
                yield line
                count += 1
                if b"BOOKMARK" in line:
                    return

    world.server.watch = one_line
    async with world.following(timing):
        for text in ("two", "three", "four"):
            world.put(text)
            await until(lambda text=text: world.texts[-1:] == [text])
    assert world.failures == 0


async def test_a_connection_that_died_silently_is_left() -> None:
    world = World()
    world.put("one")
    silent = True

    async def watch(request: Request) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(ApiServer.watch(world.server, request)) as lines:
            async for line in lines:
                yield line
                if silent and b"BOOKMARK" in line:
                    await asyncio.sleep(3600)

    world.server.watch = watch
    async with world.following(Timing(silence_seconds=0.2, first_pause=0.001)):
        await until(lambda: world.texts == ["one"])
        silent = False
        world.put("two")
        await until(lambda: world.texts[1:] == ["two"])
    assert world.failures == 0
    assert not world.server.requests[-1].is_streamed_list, "it goes on from where it was"


async def test_an_api_server_that_is_away() -> None:
    world = World()
    async with world.following_at("http://127.0.0.1:9"):
        await until(lambda: world.failures >= 3)
    assert world.texts == []


async def test_the_sidecar_lives_on_without_haproxy(unused_tcp_port: int) -> None:
    settings = SidecarSettings(
        TARGET, RuntimeSocket("/nonexistent.sock", "/slots.map"), "127.0.0.1", unused_tcp_port
    )
    world = World()
    world.put('{"generation": 4}')
    async with serving(world.server.handle) as url:
        async with client.ApiClient(client.Configuration(host=url)) as api:
            sidecar = asyncio.create_task(run_sidecar(settings, api))
            async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as http:
                async with asyncio.timeout(10):
                    await until(lambda: bool(world.server.requests))
                    while "chatagent_gateway_intended_generation 4.0" not in (
                        metrics := await page(http, "/metrics")
                    ):
                        continue
                assert "chatagent_gateway_applied_generation -1.0" in metrics
                assert await page(http, "/livez") == "ok"
                assert "no response from HAProxy at /nonexistent.sock" in await page(
                    http, "/readyz"
                )
            sidecar.cancel()
            await asyncio.gather(sidecar, return_exceptions=True)
        world.server.restart()


async def page(http: aiohttp.ClientSession, path: str) -> str:
    async with http.get(path) as answer:
        return await answer.text()


def test_the_sidecar_imports_little() -> None:
    program = (
        "import json, sys, chatagent_operator.gateway.sync\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('chatagent_operator')\n"
        "    or name == 'agent_runtime' or name.startswith('kubernetes.aio.client.models.')]))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    found: list[Any] = json.loads(output)
    packages = {".".join(name.split(".")[:3]) for name in found}
    assert packages.isdisjoint(
        {
            *("chatagent_operator.core.children", "chatagent_operator.core.agent"),
            *("chatagent_operator.api.v1alpha1", "agent_runtime", "kubernetes.aio.client"),
        }
    ), "every gateway would need the memory"


def test_settings_from_the_environment() -> None:
    environment = {"ROUTES_NAMESPACE": "shop", "ROUTES_CONFIGMAP": "agent-routes"}
    settings = SidecarSettings.from_environment(environment)
    assert settings.routes == TARGET
    assert settings.socket == RuntimeSocket("/run/haproxy/admin.sock", "/etc/haproxy/slots.map")
    assert settings.port == 8405
    with pytest.raises(KeyError):
        SidecarSettings.from_environment({})
