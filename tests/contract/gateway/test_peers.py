"""Gateways that tell each other which conversation is where: none is lost when one restarts."""

from __future__ import annotations

import asyncio
import itertools
import signal

import aiohttp
import pytest

from chatagent_operator.core.routing.haproxy import ENDING_FILE
from chatagent_operator.gateway.ending import Ending
from chatagent_operator.gateway.runtime_socket import HAProxyError, RuntimeSocket
from tests.contract.gateway.loopback import Agent, Chats, Gateway, Gateways, backend, until

CONVERSATIONS = 2000
"""bench/pins.py does the same with 20,000."""


def names(count: int, prefix: str = "c") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def test_conversations_stay_through_weights_and_restarts(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Agent, canary: Agent
) -> None:
    await gateways.intends(backend("s1", stable, 70), backend("s2", canary, 30))
    await gateways.ready(http)
    one, other = gateways.running
    half = CONVERSATIONS // 2
    first = await Chats(one, http).ask_all(names(half))
    first |= await Chats(other, http).ask_all(names(half, "d"))
    assert set(first.values()) == {"stable", "canary"}
    await gateways.have(CONVERSATIONS)
    for restarting, staying, weight in ((one, other, 0), (other, one, 100)):
        await gateways.stop_one(restarting)
        await gateways.intends(backend("s1", stable, 100 - weight), backend("s2", canary, weight))
        assert await Chats(staying, http).ask_all(list(first)) == first
        await gateways.start_one(restarting)
        await gateways.ready(http)
        assert (await restarting.read_state()).pins == CONVERSATIONS
        assert await Chats(restarting, http).ask_all(list(first)) == first


async def test_a_gateway_is_ready_once_it_has_weights_and_conversations(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Agent, canary: Agent
) -> None:
    await gateways.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    await gateways.ready(http)
    one, other = gateways.running
    first = await Chats(one, http).ask_all(names(200))
    await gateways.have(200)
    # HAProxy alone: it gets the conversations, but takes none.
    await gateways.stop_one(other)
    await other.start()

    async def has_them() -> bool:
        try:
            return (await other.read_state()).pins == 200
        except HAProxyError:
            return False

    await until(has_them)
    assert not await other.is_ready(http)
    # What it was told before it had its first intent is right.
    gateways.running.append(other)
    other.sidecar.start()
    await gateways.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    await gateways.ready(http)
    assert not [command for command in other.sidecar.socket.sent if "clear" in command]
    assert await Chats(other, http).ask_all(list(first)) == first


async def test_the_only_gateway_becomes_ready_by_itself(
    gateways: Gateways,
    http: aiohttp.ClientSession,
    stable: Agent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = gateways.running
    await gateways.stop_one(other)
    await gateways.stop_one(one)

    async def still_asks(_: RuntimeSocket) -> bool:
        return False

    # HAProxy asks for five seconds, which a busy machine may need for this.
    with monkeypatch.context() as five_seconds:
        five_seconds.setattr(RuntimeSocket, "is_resynced", still_asks)
        await gateways.start_one(one)
        await gateways.intends(backend("s1", stable, 100))
        assert not await one.is_ready(http)  # another might still tell it something
    await until(lambda: one.is_ready(http), seconds=15)
    assert "resync_timeout=<PAST>" in await one.sidecar.socket.ask(["show peers"])


async def test_one_more_restarts_no_other(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Agent, canary: Agent
) -> None:
    await gateways.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    await gateways.ready(http)
    processes = {gateway.process.pid for gateway in gateways.running}
    first = await Chats(gateways.running[0], http).ask_all(names(100))
    await gateways.have(100)
    third = gateways.all[2]
    await gateways.start_one(third)
    await gateways.ready(http)
    assert await Chats(third, http).ask_all(list(first)) == first
    new = await Chats(third, http).ask_all(names(100, "new"))
    await gateways.have(200)
    for gateway in gateways.running[:2]:
        assert await Chats(gateway, http).ask_all(list(new)) == new
        assert gateway.process.pid in processes
    # And one less: those that stay know everything.
    await gateways.stop_one(gateways.all[0])
    for gateway in gateways.running:
        assert await Chats(gateway, http).ask_all(list(first | new)) == first | new


async def test_an_abort_lets_conversations_go_everywhere(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Agent, canary: Agent
) -> None:
    await gateways.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    one, other = gateways.running
    first = await Chats(one, http).ask_all(names(200))
    await gateways.have(200)
    await gateways.intends(backend("s1", stable, 100), backend("s2", canary, state="maint"))
    stays = [name for name, revision in first.items() if revision == "stable"]
    await gateways.have(len(stays))
    assert await Chats(other, http).shares(names(100)) == {"stable": 100}
    # The canary takes conversations again, but none of those.
    await gateways.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    for gateway in (one, other):
        assert await Chats(gateway, http).shares(names(200)) == {"stable": 200}


async def test_an_abort_holds_while_conversations_go_on(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Agent, canary: Agent
) -> None:
    await gateways.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    sides = [Chats(gateway, http) for gateway in gateways.running]
    await sides[0].ask_all(names(80))
    await gateways.have(80)
    answers: list[str] = []
    is_aborted, done = asyncio.Event(), asyncio.Event()

    async def client(mine: list[str]) -> None:
        for turn in itertools.count():
            for name in mine:
                after = is_aborted.is_set()
                answer = await sides[turn % 2].ask(name)
                if after:
                    answers.append(answer)
            if done.is_set():
                return

    clients = [asyncio.create_task(client(names(80)[n::8])) for n in range(8)]
    await until(lambda: canary.asked > 200)
    # Where one gateway lets them go a moment earlier, the other may tell it of them once more.
    await gateways.intends(backend("s1", stable, 100), backend("s2", canary, state="maint"))
    is_aborted.set()
    await until(lambda: len(answers) > 200)
    await gateways.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    asked = len(answers)
    await until(lambda: len(answers) > asked + 200)
    done.set()
    await asyncio.gather(*clients)
    assert set(answers) == {"stable"}


async def test_draining_keeps_conversations_everywhere(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Agent, canary: Agent
) -> None:
    await gateways.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    first = await Chats(gateways.running[0], http).ask_all(names(200))
    await gateways.have(200)
    await gateways.intends(backend("s1", stable, 100), backend("s2", canary, state="drain"))
    for number, gateway in enumerate(gateways.running):
        chats = Chats(gateway, http)
        assert await chats.ask_all(list(first)) == first
        assert await chats.shares(names(50, f"new-{number}-")) == {"stable": 50}


async def test_a_conversation_begun_while_a_gateway_ends_is_known_to_the_other(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Agent, canary: Agent
) -> None:
    await gateways.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    one, other = gateways.running
    await until(lambda: one.is_connected_to(other))
    (one.folder / ENDING_FILE).touch()
    first = asyncio.create_task(
        http.post(f"{one.url}/slow", headers={"X-Conversation-ID": "c"}),
    )
    await until(lambda: canary.asked == 1)
    ending = asyncio.create_task(Ending(one.sidecar.socket, linger_seconds=0).wait())
    await until(lambda: one.is_closed())
    await gateways.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    canary.release.set()
    async with await first as answer:
        assert (await answer.json())["revision"] == "canary"
    await asyncio.wait_for(ending, 10)
    await gateways.have(1)
    # Nothing is left to do: HAProxy ends at once, also where it has peers.
    one.process.send_signal(signal.SIGUSR1)
    assert await asyncio.wait_for(one.process.wait(), 3) == 0
    assert await Chats(other, http).ask("c") == "canary"


@pytest.mark.parametrize("gateway", [{"affinity_ttl_seconds": 60}], indirect=True)
async def test_a_gateway_without_peers_waits_for_none(
    gateway: Gateway, http: aiohttp.ClientSession, stable: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 100))
    await until(lambda: gateway.is_ready(http), seconds=2)
