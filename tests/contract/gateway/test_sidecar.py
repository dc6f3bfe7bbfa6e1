"""HAProxy is reconciled with the last valid intent, whatever stops, starts or is written."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from chatagent_operator.core.routing.routes import Routes
from chatagent_operator.gateway.pages import build_pages
from chatagent_operator.gateway.runtime_socket import HAProxyError
from tests.contract.gateway.loopback import (
    Agent,
    Chats,
    Gateway,
    Sidecar,
    backend,
    serving,
    until,
)
from tests.ports import free_port


async def test_a_killed_haproxy_gets_its_intent_again(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 90), backend("s2", canary, 10))
    before = await gateway.read_state()
    await gateway.stop()
    await until(lambda: not gateway.sidecar.synchroniser.applied)
    await gateway.start()
    await until(lambda: gateway.sidecar.synchroniser.applied)
    after = await gateway.read_state()
    assert (after.slots, after.generation) == (before.slots, before.generation)
    assert after.pid != before.pid
    assert set(await chats.shares([f"c{n}" for n in range(40)])) == {"stable", "canary"}


async def test_a_new_process_is_noticed_even_if_it_was_never_seen_missing(
    gateway: Gateway, stable: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    await gateway.sidecar.stop()
    await gateway.stop()
    await gateway.start()
    gateway.sidecar.start()
    gateway.sidecar.socket.sent.clear()
    await until(lambda: bool(gateway.sidecar.socket.sent))
    await until(lambda: gateway.sidecar.synchroniser.applied)
    assert (await gateway.read_state()).slots["s1"].state == "ready"


async def test_a_new_sidecar_sends_nothing_where_all_is_right(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(
        backend("s1", stable, 50),
        backend("s2", canary, 50),
        backend("s3", stable, state="drain", revision="old"),
        backend("s4", stable, state="maint", revision="older"),
    )
    intent = gateway.sidecar.synchroniser.intent
    assert intent is not None
    first = await chats.ask_all([f"c{n}" for n in range(50)])
    await gateway.sidecar.stop()
    assert await chats.ask_all(list(first)) == first  # HAProxy goes on alone

    sidecar = Sidecar(gateway.settings)
    sidecar.start()
    try:
        await sidecar.applies(intent)
    finally:
        await sidecar.stop()
    assert sidecar.socket.sent == []
    assert await chats.ask_all(list(first)) == first


async def test_a_new_sidecar_knows_whose_pins_a_slot_holds(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    assert await chats.ask("mine") == "canary"
    await gateway.sidecar.stop()
    sidecar = Sidecar(gateway.settings)
    sidecar.start()
    try:
        other = backend("s2", canary, 0, revision="other")  # at the same address
        await sidecar.applies(Routes(generation=2, backends=(backend("s1", stable, 100), other)))
    finally:
        await sidecar.stop()
    assert await chats.ask("mine") == "stable"


async def test_what_somebody_else_changed_is_put_right(
    gateway: Gateway, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 90), backend("s2", canary, 10))
    before = await gateway.read_state()
    await gateway.sidecar.socket.execute(
        ["set server agent/s1 weight 3", "set server agent/s2 state drain"]
    )
    assert (await gateway.read_state()).slots != before.slots

    async def right() -> bool:
        return (await gateway.read_state()).slots == before.slots

    await until(right)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        '{"generation": 9}]',
        json.dumps({"generation": 9, "backends": [{"slot": "s9"}]}),
        json.dumps(
            {
                "generation": 9,
                "backends": [
                    {
                        "slot": "s1",
                        "revision": "stable",
                        "address": "127.0.0.2",
                        "port": 1,
                        "weight": 99,
                        "state": "ready",
                    }
                ],
            }
        ),
    ],
)
async def test_a_broken_intent_changes_nothing(
    gateway: Gateway, stable: Agent, canary: Agent, text: str | None
) -> None:
    await gateway.intends(backend("s1", stable, 90), backend("s2", canary, 10))
    before = await gateway.read_state()
    synchroniser = gateway.sidecar.synchroniser
    gateway.sidecar.socket.sent.clear()
    for _ in range(2):
        synchroniser.set_intent(text)
        await synchroniser.reconcile()
    assert gateway.sidecar.socket.sent == []
    assert (await gateway.read_state()).slots == before.slots
    async with TestClient(TestServer(build_pages(synchroniser))) as pages:
        answer = await pages.get("/readyz")
        assert answer.status == 200
        assert "last valid intent stays in effect" in (await answer.json())["message"]
        metrics = await (await pages.get("/metrics")).text()
    # Counted once, not each time it is seen.
    assert 'chatagent_gateway_errors_total{kind="intent"} 1.0' in metrics
    await gateway.intends(backend("s1", stable, 80), backend("s2", canary, 20))
    assert synchroniser.message == "applied"


async def test_pages(gateway: Gateway, stable: Agent, canary: Agent) -> None:
    async with TestClient(TestServer(build_pages(gateway.sidecar.synchroniser))) as pages:
        assert (await pages.get("/livez")).status == 200
        assert (await pages.get("/readyz")).status == 503
        await gateway.intends(backend("s1", stable, 90), backend("s3", canary, 10))
        ready = await pages.get("/readyz")
        assert (ready.status, await ready.json()) == (200, {"ready": True, "message": "applied"})
        applied = await (await pages.get("/applied")).json()
        assert applied["generation"] == 1
        assert [(b["slot"], b["weight"], b["state"]) for b in applied["backends"]] == [
            ("s1", 90, "ready"),
            ("s3", 10, "ready"),
        ]
        assert applied["backends"][0]["address"] == "127.0.0.2"
        assert applied["reached"] == ["canary", "stable"]
        metrics = await (await pages.get("/metrics")).text()
        assert "chatagent_gateway_applied_generation 1.0" in metrics
        assert "chatagent_gateway_apply_seconds_count 1.0" in metrics

        # What is applied, not what is desired.
        await gateway.sidecar.stop()
        await gateway.sidecar.socket.execute(["set server agent/s1 weight 7"])
        applied = await (await pages.get("/applied")).json()
        assert applied["backends"][0]["weight"] == 7
        gateway.sidecar.start()

        await gateway.stop()
        await until(lambda: not gateway.sidecar.synchroniser.applied)
        assert (await pages.get("/readyz")).status == 503
        assert (await pages.get("/applied")).status == 503
        assert (await pages.get("/livez")).status == 200


async def test_who_is_reached_is_known_before_a_weight_is_given(
    gateway: Gateway, stable: Agent, canary: Agent
) -> None:
    async def find_reachable(pages: TestClient[web.Request, web.Application]) -> list[str]:
        return (await (await pages.get("/applied")).json())["reached"]

    async with TestClient(TestServer(build_pages(gateway.sidecar.synchroniser))) as pages:
        port = free_port()
        coming = Agent("coming", "127.0.0.4", port)
        await gateway.intends(backend("s1", stable, 100), backend("s2", coming, state="maint"))
        assert await find_reachable(pages) == ["stable"]
        async with serving("coming", "127.0.0.4", port):
            assert await find_reachable(pages) == ["coming", "stable"]


async def test_haproxy_is_ready_once_an_intent_is_applied_to_it(
    gateway: Gateway, chats: Chats, stable: Agent
) -> None:
    async def status(path: str) -> int:
        async with chats.http.get(gateway.ops + path) as answer:
            return answer.status

    async def up() -> bool:
        try:
            return await status("/livez") == 200
        except aiohttp.ClientConnectionError:
            return False

    await until(up)
    assert await status("/readyz") == 503
    await gateway.intends(backend("s1", stable, 100))
    assert await status("/readyz") == 200
    # The sidecar's end does not take the gateway out of its Service.
    await gateway.sidecar.stop()
    assert await status("/readyz") == 200
    async with chats.http.get(f"{gateway.ops}/metrics") as answer:
        assert "haproxy_server_weight" in await answer.text()
    assert await status("/other") == 404


async def test_no_request_fails_while_weights_change(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    answers: list[str] = []
    done = asyncio.Event()

    async def client(number: int) -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            answers.append(await chats.ask(f"{number}-{turn // 3}"))

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    for change in range(50):
        weight = (change * 37) % 101
        asked = len(answers)
        # Every fifth is an abort of all there is: the other one takes over in the same pass.
        if change % 5 == 4:
            await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
            await gateway.intends(backend("s1", stable, 100), backend("s2", canary, state="maint"))
        else:
            await gateway.intends(
                backend("s1", stable, 100 - weight), backend("s2", canary, weight)
            )
        await until(lambda asked=asked: len(answers) > asked + 8)
    done.set()
    await asyncio.gather(*clients)
    assert set(answers) == {"stable", "canary"}


async def test_a_refused_command_is_told(gateway: Gateway, stable: Agent) -> None:
    await gateway.intends(backend("s1", stable, 100))
    with pytest.raises(HAProxyError, match="No such server"):
        await gateway.sidecar.socket.execute(["set server agent/s9 weight 1"])
