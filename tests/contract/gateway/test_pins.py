"""Who goes where: the share of new conversations, and that the others stay where they are."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from tests.contract.gateway.loopback import (
    Agent,
    Chats,
    Gateway,
    backend,
    serving,
    until,
)
from tests.ports import free_port

CONVERSATIONS = 4000


def names(count: int, prefix: str = "c") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def test_share_of_new_conversations(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 95), backend("s2", canary, 5))
    shares = await chats.shares(names(CONVERSATIONS))
    expected, deviation = CONVERSATIONS * 0.05, math.sqrt(CONVERSATIONS * 0.05 * 0.95)
    assert abs(shares["canary"] - expected) <= 2.576 * deviation  # 99 % of binomial draws
    assert shares["stable"] + shares["canary"] == CONVERSATIONS


async def test_weights_move_no_conversation(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 70), backend("s2", canary, 30))
    first = await chats.ask_all(names(300))
    assert set(first.values()) == {"stable", "canary"}
    for weight in (0, 100, 50):
        await gateway.intends(backend("s1", stable, 100 - weight), backend("s2", canary, weight))
        assert await chats.ask_all(names(300)) == first
    assert not [c for c in gateway.sidecar.socket.sent[-6:] if "clear" in c]


async def test_a_body_names_the_conversation(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    bodies = [{"messages": ["x" * 40_000], "conversation_id": name} for name in names(20)]
    first = [await chats.ask(json=body) for body in bodies]
    assert set(first) == {"stable", "canary"}
    await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    assert [await chats.ask(json=body) for body in bodies] == first
    # The header and the body name the same conversation.
    assert [await chats.ask(name) for name in names(20)] == first
    # Where they differ, the header counts.
    assert await chats.ask("other", json=bodies[first.index("stable")]) == "canary"


async def test_a_body_larger_than_the_buffer_passes(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    large = "x" * 1_000_000
    early = json.dumps({"conversation_id": "early", "messages": [large]})
    assert len({await chats.ask(data=early) for _ in range(4)}) == 1
    late = json.dumps({"messages": [large], "conversation_id": "late"})
    assert len({await chats.ask(data=late) for _ in range(4)}) == 2  # as documented


async def test_an_answer_names_the_conversation(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    assert await chats.ask(params={"names": "new"}) == "canary"
    await gateway.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    assert await chats.ask("new") == "canary"
    assert await chats.ask("another") == "stable"


async def test_requests_without_a_name_are_spread(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    answers = [await chats.ask() for _ in range(10)]
    answers += [await chats.ask("") for _ in range(10)]
    assert answers.count("canary") == 10
    assert (await gateway.read_state()).pins == 0


async def test_drain_keeps_conversations_and_takes_no_new_ones(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    first = await chats.ask_all(names(100))
    await gateway.intends(backend("s1", stable, 100), backend("s2", canary, state="drain"))
    assert await chats.ask_all(names(100)) == first
    assert await chats.shares(names(100, "new")) == {"stable": 100}


async def test_maint_lets_conversations_go(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    pinned = [c for c, to in (await chats.ask_all(names(100))).items() if to == "canary"]
    await gateway.intends(backend("s1", stable, 100), backend("s2", canary, state="maint"))
    assert (await gateway.read_state()).pins == 100 - len(pinned)
    assert await chats.shares(pinned[:25]) == {"stable": 25}
    # And they stay away: both those who asked in between and those who did not.
    await gateway.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    assert await chats.shares(pinned) == {"stable": len(pinned)}


async def test_a_slot_is_reused_without_its_conversations(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 50), backend("s2", canary, 50))
    pinned = [c for c, to in (await chats.ask_all(names(60))).items() if to == "canary"]
    async with serving("next", "127.0.0.4") as following:
        # In one step, which `assign_slots` never does; it is the harder case.
        await gateway.intends(backend("s1", stable, 100), backend("s2", following, 0))
        assert await chats.shares(pinned) == {"stable": len(pinned)}
        # The same address for another revision: its Service was deleted and the IP given again.
        await gateway.intends(backend("s1", stable, 0), backend("s2", following, 100))
        moved = names(20, "moved")
        assert await chats.shares(moved) == {"next": 20}
        await gateway.intends(
            backend("s1", stable, 100), backend("s2", following, 0, revision="last")
        )
        assert await chats.shares(moved) == {"stable": 20}


async def test_an_answer_under_way_pins_nothing_to_what_comes_after(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    url, header = f"{gateway.url}/slow", {"X-Conversation-ID": "slow"}
    slow = asyncio.create_task(chats.http.post(url, headers=header))
    await until(lambda: canary.asked == 1)
    await gateway.intends(backend("s1", stable, 100), backend("s2", canary, state="maint"))
    # An abort lets answers that are under way end well, and lets their conversations go.
    canary.release.set()
    async with await slow as answer:
        assert (answer.status, answer.headers["X-Agent-Revision"]) == (200, "canary")
    assert (await gateway.read_state()).pins == 0
    await gateway.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    assert await chats.ask("slow") == "stable"


async def test_an_answer_under_way_outlives_its_slot(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    url, header = f"{gateway.url}/slow", {"X-Conversation-ID": "slow"}
    slow = asyncio.create_task(chats.http.post(url, headers=header))
    stream = await chats.http.post(f"{gateway.url}/stream", headers={"X-Conversation-ID": "c"})
    assert await stream.content.readline() == b"data: first\n"
    await until(lambda: canary.asked == 1)
    async with serving("next", "127.0.0.4") as following:
        await gateway.intends(backend("s1", stable, 100), backend("s2", canary, state="maint"))
        await gateway.intends(backend("s1", stable, 100), backend("s2", following, 0))
        canary.release.set()
        assert (await stream.content.read()).endswith(b"[DONE]\n\n")
        async with await slow as answer:
            assert (answer.status, answer.headers["X-Agent-Revision"]) == (200, "canary")
        # They are not the next revision's, and a slot that took one would go on serving it.
        assert (await gateway.read_state()).pins == 0
        assert await chats.shares(["slow", "c"]) == {"stable": 2}


async def test_a_revision_out_of_reach_loses_no_conversation(
    gateway: Gateway, chats: Chats, stable: Agent
) -> None:
    port = free_port()
    async with serving("canary", "127.0.0.3", port) as canary:
        await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
        assert await chats.ask("mine") == "canary"
        await gateway.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    assert await chats.ask("mine") == "stable"
    async with serving("canary", "127.0.0.3", port):
        assert await chats.ask("mine") == "canary"


@pytest.mark.parametrize("gateway", [{"table_entries": 50}], indirect=True)
async def test_a_full_table_forgets_the_oldest(
    gateway: Gateway, chats: Chats, stable: Agent, canary: Agent
) -> None:
    await gateway.intends(backend("s1", stable, 0), backend("s2", canary, 100))
    assert {await chats.ask(name) for name in names(200)} == {"canary"}
    await gateway.intends(backend("s1", stable, 100), backend("s2", canary, 0))
    assert (await gateway.read_state()).pins <= 50
    # Not to the last one: HAProxy looks for the oldest only so far, and then remembers no new one.
    newest = [await chats.ask(name) for name in reversed(names(200)[-20:])]
    assert newest.count("canary") > 10
    assert await chats.ask("c0") == "stable"
