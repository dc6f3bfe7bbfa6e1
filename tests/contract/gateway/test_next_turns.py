"""Next turns that come to another gateway at once, before it can have heard of the conversation.

Where the revisions name the conversations, as the runtime does, every gateway knows where they
belong. Clients' own names are drawn, by all gateways alike.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from chatagent_operator.core.routing.routes import SLOTS, BackendState, Slot
from tests.contract.gateway.behaviour import (
    CANARY,
    NEXT,
    STABLE,
    Clients,
    Revision,
    only,
    running,
)
from tests.contract.gateway.loopback import Gateway, Gateways
from tests.ports import free_port

CONVERSATIONS = 2000
"""bench/pins.py does the same with 20,000."""


@pytest.fixture
async def stable() -> AsyncIterator[Revision]:
    async with running(STABLE, "127.0.0.2") as revision:
        yield revision


@pytest.fixture
async def canary() -> AsyncIterator[Revision]:
    async with running(CANARY, "127.0.0.3") as revision:
        yield revision


@pytest.fixture
async def strangers(folder: Path) -> AsyncIterator[list[Gateway]]:
    """Two gateways that tell each other nothing: as if every turn came before the news of it."""
    gateways = [Gateway(folder / name) for name in ("one", "other")]
    for gateway in gateways:
        await gateway.start()
        gateway.sidecar.start()
    yield gateways
    for gateway in gateways:
        await gateway.sidecar.stop()
        await gateway.stop()


@pytest.fixture
def folder(folder: Path) -> Path:
    for name in ("one", "other"):
        (folder / name).mkdir()
    return folder


def at(gateway: Gateway, http: aiohttp.ClientSession) -> Clients:
    return Clients(gateway.url, "agent.example", http)


async def begin_and_go_on(first: Clients, second: Clients, count: int) -> dict[str, str]:
    """New conversations, some at a time. The second turn follows the first answer at once, at the
    other gateway. Fails on a turn that another revision answers."""
    waiting = iter(range(count))
    answers: dict[str, str] = {}
    flips: list[str] = []

    async def client() -> None:
        for _ in waiting:
            name, began = await first.ask()
            _, went_on = await second.ask(name)
            answers[name] = began
            if went_on != began:
                flips.append(f"{name}: {went_on}")

    await asyncio.gather(*(client() for _ in range(8)))
    assert not flips, f"{len(flips)} of {count}: {flips[:5]}"
    return answers


async def test_they_stay_through_weights_and_restarts(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    await gateways.intends(stable.takes("s1", 70), canary.takes("s2", 30), stable=STABLE)
    await gateways.ready(http)
    one, other = gateways.running
    known: dict[str, str] = {}
    for weight in (30, 0, 100, 5, 50):
        backends = stable.takes("s1", 100 - weight), canary.takes("s2", weight)
        # While it comes into force, here a moment before there.
        applied = asyncio.create_task(gateways.intends(*backends, stable=STABLE))
        for first, second in ((one, other), (other, one)):
            begun = begin_and_go_on(at(first, http), at(second, http), CONVERSATIONS // 10)
            known |= await begun
        await applied
    assert len(known) == CONVERSATIONS
    assert set(known.values()) == {STABLE, CANARY}
    for restarting, staying in ((one, other), (other, one)):
        await gateways.stop_one(restarting)
        assert await at(staying, http).ask_all(known) == known
        await gateways.start_one(restarting)
        await gateways.ready(http)
        known |= await begin_and_go_on(at(staying, http), at(restarting, http), 100)
        assert await at(restarting, http).ask_all(known) == known


async def test_a_gateway_needs_no_news_of_them(
    strangers: list[Gateway], http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    states: list[tuple[int, BackendState]] = [(50, "ready"), (1, "ready"), (0, "drain")]
    one, other = (at(gateway, http) for gateway in strangers)
    known: dict[str, str] = {}
    for weight, state in states:
        for gateway in strangers:
            canary_backend = canary.takes("s2", weight, state)
            await gateway.intends(stable.takes("s1", 100 - weight), canary_backend)
        known |= await begin_and_go_on(one, other, 200)
        assert await other.ask_all(known) == known
    assert len(only(known, CANARY)) >= 100


async def test_a_canary_that_drains_first_loses_none_while_its_weight_comes_into_force(
    strangers: list[Gateway], http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    for gateway in strangers:
        await gateway.intends(
            stable.takes("s1", 100), canary.takes("s2", 0, "drain"), stable=STABLE
        )
    one, other = (at(gateway, http) for gateway in strangers)
    assert set((await begin_and_go_on(one, other, 50)).values()) == {STABLE}
    # Here and not yet there.
    await strangers[0].intends(stable.takes("s1", 50), canary.takes("s2", 50), stable=STABLE)
    assert set((await begin_and_go_on(one, other, 50)).values()) == {STABLE, CANARY}


@pytest.mark.parametrize("by_header", [True, False])
async def test_the_body_names_them_as_well(
    strangers: list[Gateway],
    http: aiohttp.ClientSession,
    stable: Revision,
    canary: Revision,
    by_header: bool,
) -> None:
    one, other = strangers
    await one.intends(stable.takes("s1", 0), canary.takes("s2", 100))
    await other.intends(stable.takes("s1", 100), canary.takes("s2", 0))
    name, began = await at(one, http).ask()
    assert began == CANARY
    body = {"conversation_id": "x" if by_header else name}
    headers = {"X-Conversation-ID": name} if by_header else {}
    for _ in range(3):
        async with http.post(f"{other.url}/v1/responses", json=body, headers=headers) as answer:
            assert answer.headers["X-Agent-Revision"] == CANARY


async def test_where_their_revision_is_gone_the_stable_one_takes_over_everywhere(
    strangers: list[Gateway], http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    for gateway in strangers:
        await gateway.intends(stable.takes("s1", 50), canary.takes("s2", 50), stable=STABLE)
    one, other = (at(gateway, http) for gateway in strangers)
    began = only(await begin_and_go_on(one, other, 200), CANARY)
    async with running(NEXT, "127.0.0.4") as following:
        for gateway in strangers:
            aborted = [stable.takes("s1", 50), canary.takes("s2", 0, "maint")]
            await gateway.intends(*aborted, following.takes("s3", 50), stable=STABLE)
        # Neither gateway knows what the other one did with them.
        for side in (one, other):
            assert Counter((await side.ask_all(began)).values()) == {STABLE: len(began)}
        assert Counter((await one.begin(100)).values()) == {STABLE: 50, NEXT: 50}
        # They stay there when the next one is promoted, and go along when that ends.
        for gateway in strangers:
            kept = stable.takes("s1", 0, "drain"), following.takes("s3", 100)
            await gateway.intends(*kept, stable=NEXT)
        assert Counter((await one.ask_all(began)).values()) == {STABLE: len(began)}
        for gateway in strangers:
            await gateway.intends(following.takes("s3", 100), stable=NEXT)
        for side in (one, other):
            assert Counter((await side.ask_all(began)).values()) == {NEXT: len(began)}


async def test_those_taken_over_do_not_go_back(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    await gateways.intends(stable.takes("s1", 0), canary.takes("s2", 100), stable=STABLE)
    await gateways.ready(http)
    one, other = (at(gateway, http) for gateway in gateways.running)
    began = await one.begin(50)
    await gateways.intends(stable.takes("s1", 100), canary.takes("s2", 0, "maint"), stable=STABLE)
    assert set((await one.ask_all(began)).values()) == {STABLE}
    await gateways.have(50)
    # The same revision is tried again.
    await gateways.intends(stable.takes("s1", 0), canary.takes("s2", 100), stable=STABLE)
    for side in (one, other):
        assert set((await side.ask_all(began)).values()) == {STABLE}


async def test_without_a_stable_revision_the_table_keeps_them(
    gateways: Gateways, http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    await gateways.intends(stable.takes("s1", 50), canary.takes("s2", 50))
    await gateways.ready(http)
    one, other = (at(gateway, http) for gateway in gateways.running)
    gone = [f"conv_{number:032x}-gone" for number in range(100)]
    took = await one.ask_all(gone)
    assert Counter(took.values()) == {STABLE: 50, CANARY: 50}
    await gateways.have(100)
    await gateways.intends(stable.takes("s1", 0), canary.takes("s2", 100))
    assert await other.ask_all(gone) == took


@pytest.mark.parametrize("is_gone", [False, True])
async def test_one_that_cannot_be_reached_loses_none(
    gateway: Gateway, http: aiohttp.ClientSession, canary: Revision, is_gone: bool
) -> None:
    port = free_port()
    stable = Revision(STABLE, "127.0.0.2", port)
    await gateway.intends(stable.takes("s1", 50), canary.takes("s2", 50), stable=STABLE)
    name = f"conv_{0:032x}-{NEXT if is_gone else STABLE}"
    clients = at(gateway, http)
    for _ in range(3):
        assert await clients.ask(name) == (name, CANARY)
    async with running(STABLE, "127.0.0.2", port):
        for _ in range(3):
            assert await clients.ask(name) == (name, STABLE)


async def test_names_that_only_look_alike_are_remembered(
    gateway: Gateway, http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    await gateway.intends(stable.takes("s1", 100), canary.takes("s2", 0), stable=STABLE)
    alike = [f"conv_{1:031x}-{CANARY}", f"x-conv_{1:032x}-{CANARY}", f"conv_{1:032x}{CANARY}"]
    alike += [f"conv_{1:032X}-{CANARY.upper()}", f"resp_{1:032x}-{CANARY}", CANARY]
    clients = at(gateway, http)
    assert set((await clients.ask_all(alike)).values()) == {STABLE}
    await gateway.intends(stable.takes("s1", 0), canary.takes("s2", 100), stable=CANARY)
    assert set((await clients.ask_all(alike)).values()) == {STABLE}


OWN = [f"customer-{number}" for number in range(CONVERSATIONS)]


async def test_gateways_draw_alike_for_clients_own_names(
    strangers: list[Gateway], http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    for gateway in strangers:
        await gateway.intends(stable.takes("s1", 70), canary.takes("s2", 30))
    first, second = [await at(gateway, http).ask_all(OWN) for gateway in strangers]
    assert first == second
    deviation = math.sqrt(CONVERSATIONS * 0.3 * 0.7)
    assert abs(len(only(first, CANARY)) - CONVERSATIONS * 0.3) <= 3.29 * deviation


async def test_not_the_same_names_try_every_revision(
    strangers: list[Gateway], http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    drawn: list[set[str]] = []
    for gateway, before in zip(strangers, (STABLE, NEXT), strict=True):
        await gateway.intends(stable.takes("s1", 70), canary.takes("s2", 30), stable=before)
        drawn.append(set(only(await at(gateway, http).ask_all(OWN), CANARY)))
    both = len(drawn[0] & drawn[1])
    deviation = math.sqrt(CONVERSATIONS * 0.09 * 0.91)
    assert abs(both - CONVERSATIONS * 0.09) <= 3.29 * deviation, (
        "one does not follow from the other"
    )


@pytest.mark.parametrize("slots", list(itertools.permutations(SLOTS[:3])))
async def test_who_was_drawn_for_a_canary_is_drawn_for_it_while_its_weight_rises(
    strangers: list[Gateway],
    http: aiohttp.ClientSession,
    stable: Revision,
    canary: Revision,
    slots: tuple[Slot, Slot, Slot],
) -> None:
    # Who only holds conversations is drawn by nobody, whatever its weight was.
    former, now, coming = slots
    async with running(NEXT, "127.0.0.4") as ending:
        drawn: list[set[str]] = []
        for gateway, weight in zip(strangers, (5, 50), strict=True):
            await gateway.intends(ending.takes(former, 100))
            drains = ending.takes(former, 0, "drain")
            await gateway.intends(
                drains, stable.takes(now, 100 - weight), canary.takes(coming, weight)
            )
            answers = await at(gateway, http).ask_all(OWN)
            assert set(answers.values()) == {STABLE, CANARY}
            drawn.append(set(only(answers, CANARY)))
    assert drawn[0] < drawn[1]


async def test_an_abort_draws_nobody_for_the_canary(
    gateway: Gateway, http: aiohttp.ClientSession, stable: Revision, canary: Revision
) -> None:
    await gateway.intends(stable.takes("s1", 50), canary.takes("s2", 50))
    await gateway.intends(stable.takes("s1", 100), canary.takes("s2", 0, "maint"))
    assert set((await at(gateway, http).ask_all(OWN)).values()) == {STABLE}
    assert canary.asked == []
