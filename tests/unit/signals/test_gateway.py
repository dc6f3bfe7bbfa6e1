"""What all gateway pods have applied, asked of small stand-ins for their sidecars."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from aiohttp import web

from chatagent_operator.core.observed.applied_routes import Applied
from chatagent_operator.signals import gateway
from chatagent_operator.signals.gateway import Gateways
from chatagent_operator.signals.http_client import Client

KEY = ("demo", "shop")


@contextlib.asynccontextmanager
async def asking(
    *answers: Any, now: Callable[[], float] = lambda: 0
) -> AsyncGenerator[tuple[Gateways, dict[str, str | None]]]:
    """Sidecars at 127.0.1.1 and so on. None: it never answers; a number: a status without JSON."""
    port = 0
    async with contextlib.AsyncExitStack() as stack:
        for number, body in enumerate(answers, start=1):

            async def applied(_: web.Request, body: Any = body) -> web.Response:
                if body is None:
                    await asyncio.Event().wait()
                if isinstance(body, int):
                    return web.Response(status=body, text="no")
                return web.json_response(body)

            application = web.Application()
            application.router.add_get("/applied", applied)
            runner = web.AppRunner(application, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, f"127.0.1.{number}", port)
            await site.start()
            port = runner.addresses[0][1]
        client = await stack.enter_async_context(Client())
        pods: dict[str, str | None] = {f"g-{n}": f"127.0.1.{n + 1}" for n in range(len(answers))}
        yield Gateways(client, port, now), pods


async def test_the_least_generation_and_what_all_reach() -> None:
    one = {"generation": 7, "reached": ["a", "b"]}
    other = {"generation": 6, "reached": ["a"]}
    async with asking(one, other) as (gateways, pods):
        assert await gateways.find_applied(KEY, pods, 6) == Applied(6, frozenset("a"))
        assert await gateways.find_applied(KEY, pods, 7) == Applied(6, frozenset("a"), {"g-1": 0})


@pytest.mark.parametrize(
    "answer",
    [503, {"generation": None}, {"generation": -1}, {"reached": []}, [1], {"generation": "7"}],
)
async def test_a_pod_without_a_valid_response_counts_for_all(answer: Any) -> None:
    async with asking({"generation": 7, "reached": ["a"]}, answer) as (gateways, pods):
        assert await gateways.find_applied(KEY, pods, 7) == Applied(behind={"g-1": 0})


async def test_a_pod_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "TIMEOUT_SECONDS", 0.05)
    async with asking({"generation": 7}, None, None) as (gateways, pods):
        pods |= {"g-3": "127.0.1.9", "g-4": None}
        async with asyncio.timeout(10):
            applied = await gateways.find_applied(KEY, pods, 7)
        assert applied.generation is None
        assert {"g-1", "g-2", "g-3", "g-4"} <= set(applied.behind)


async def test_how_long_a_pod_is_behind_is_remembered_until_it_follows() -> None:
    answer: dict[str, Any] = {"generation": 6}
    clock = [100.0]
    async with asking(answer, {"generation": 8}, now=lambda: clock[0]) as (gateways, pods):

        async def behind(newest: int, key: tuple[str, str] = KEY) -> dict[str, float]:
            return dict((await gateways.find_applied(key, pods, newest)).behind)

        assert await behind(7) == {"g-0": 0}
        clock[0] += 4
        assert await behind(7) == {"g-0": 4}
        assert await behind(7, ("demo", "other")) == {"g-0": 0}, "another agent's"
        assert await behind(6) == {}
        clock[0] += 4
        assert await behind(9) == {"g-0": 0, "g-1": 0}, "it has followed in between"
        gateways.forget(KEY)
        clock[0] += 4
        assert await behind(9) == {"g-0": 0, "g-1": 0}


async def test_no_pod_is_no_generation() -> None:
    async with asking() as (gateways, pods):
        assert await gateways.find_applied(KEY, pods, 7) == Applied()


async def test_a_gateway_of_an_earlier_version_reaches_no_revision() -> None:
    async with asking({"generation": 3}) as (gateways, pods):
        assert await gateways.find_applied(KEY, pods, 3) == Applied(3)
