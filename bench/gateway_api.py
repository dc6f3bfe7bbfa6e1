"""How soon an HTTPRoute's change is in force in Contour and Envoy, and whether conversations stay.

`python -m bench.gateway_api` needs the cluster on this machine (`python3 -m dev up`). It takes a
canary back and lets it in again; each time a client of a conversation that began there asks until
its turns go where they should. Then many conversations take turns while the weight moves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import cycle
from pathlib import Path

import aiohttp

from agent_runtime.http.fields import issued_conversation
from chatagent_operator.core.routing.routes import Backend
from chatagent_operator.kube.client import Kube
from tests.cluster.contour import HOST, ContourFront, agent, host_of
from tests.cluster.kubectl import Kubectl, dev
from tests.contract.gateway.behaviour import CANARY, STABLE, Clients, Revision, running

STEADY = 20
"""Turns in a row at the right revision that show that no connection leads to the other one."""
TURNS = 2
WEIGHTS = (5, 25, 50, 0, 75, 100, 5)


@dataclass
class Changes:
    """Seconds from the start of the write."""

    written: list[float] = field(default_factory=list[float])
    said: list[float] = field(default_factory=list[float])
    followed: list[float] = field(default_factory=list[float])
    failed: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True)
class Talk:
    """Turns taken while the weight moved."""

    conversations: int
    turns: int
    moves: int
    wrong: Counter[str]
    """`moved`, or the status of a turn that failed."""


async def change(
    front: ContourFront, clients: Clients, backends: Sequence[Backend], wanted: str, into: Changes
) -> None:
    """Write an intent and note when the status says so and when turns follow it."""
    conversation = issued_conversation(CANARY)
    began = time.monotonic()

    async def follow() -> float:
        since, steady = began, 0
        while steady < STEADY:
            _, answered = await clients.ask(conversation)
            if answered == wanted:
                since, steady = (since, steady + 1) if steady else (time.monotonic(), 1)
            else:
                steady = 0
                if answered not in (STABLE, CANARY):
                    into.failed[answered] += 1
        return since

    following = asyncio.create_task(follow())
    await front.writes(*backends, stable=STABLE)
    into.written.append(time.monotonic() - began)
    await front.until(lambda report: report.accepted_generation == front.generation)
    into.said.append(time.monotonic() - began)
    into.followed.append(await following - began)


async def changes(
    front: ContourFront, clients: Clients, stable: Revision, canary: Revision, count: int
) -> Changes:
    result = Changes()
    for _ in range(count // 2):
        back = (stable.takes("s1", 100), canary.takes("s2", 0, "maint"))
        await change(front, clients, back, STABLE, result)
        again = (stable.takes("s1", 95), canary.takes("s2", 5))
        await change(front, clients, again, CANARY, result)
    return result


async def turns(
    front: ContourFront, clients: Clients, stable: Revision, canary: Revision, count: int
) -> Talk:
    """Many conversations at once while the weight moves."""
    await front.intends(stable.takes("s1", 50), canary.takes("s2", 50))
    began = await clients.begin(count)
    wrong: Counter[str] = Counter()
    taken, over = 0, asyncio.Event()

    async def talk() -> None:
        nonlocal taken
        while not over.is_set():
            for name, answered in (await clients.ask_all(began)).items():
                taken += 1
                if answered != began[name]:
                    wrong["moved" if answered in (STABLE, CANARY) else answered] += 1

    talking = asyncio.create_task(talk())
    moves = 0
    for weight in cycle(WEIGHTS):
        await front.intends(stable.takes("s1", 100 - weight), canary.takes("s2", weight))
        moves += 1
        if taken >= TURNS * count:
            break
    over.set()
    await talking
    return Talk(len(began), taken, moves, wrong)


def row(name: str, seconds: Sequence[float]) -> str:
    in_order = sorted(each * 1000 for each in seconds)
    p50, p99 = in_order[len(in_order) // 2], in_order[int(len(in_order) * 0.99)]
    return f"| {name} | {p50:.0f} | {p99:.0f} | {in_order[-1]:.0f} |"


async def measured(count: int, conversations: int) -> str:
    url = dev("gateway-api", "on").rpartition(" ")[2]
    kubectl = Kubectl(f"bench-{uuid.uuid4().hex[:8]}")
    kubectl.run("create", "namespace", kubectl.namespace)
    kube = await Kube.connect(kubectl.kubeconfig)
    front = ContourFront(kube, kubectl, agent(kubectl.namespace), url, host_of(kubectl.namespace))
    try:
        async with (
            running(STABLE, HOST) as stable,
            running(CANARY, HOST) as canary,
            aiohttp.ClientSession() as http,
        ):
            clients = Clients(url, front.host, http)
            await front.intends(stable.takes("s1", 95), canary.takes("s2", 5))
            found = await changes(front, clients, stable, canary, count)
            talk = await turns(front, clients, stable, canary, conversations)
    finally:
        await kube.close()
        with suppress(AssertionError):
            kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")
    return f"""# A change of an HTTPRoute until it is in force

{date.today()}, `python -m bench.gateway_api --changes {count} --conversations {conversations}`:
Contour 1.33.8, Gateway API 1.3, Envoy 1.40 and all else on one machine: {platform.machine()},
{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end. {count} changes, half of
them aborts. From the start of the write, in ms:

| | p50 | p99 | max |
|---|---|---|---|
{row("the API server has it", found.written)}
{row("the route's status says that it is taken", found.said)}
{row("turns of a conversation go by it", found.followed)}

Turns that failed meanwhile: {found.failed.total()}. Contour itself waits 100 ms for more to come.

{talk.conversations} conversations took {talk.turns} turns while the weight moved {talk.moves}
times. Turns that another revision answered: {talk.wrong["moved"]}; that failed:
{talk.wrong.total() - talk.wrong["moved"]}.
"""


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--conversations", type=int, default=20000)
    options = parser.parse_args()
    text = asyncio.run(measured(options.changes, options.conversations))
    path = Path(__file__).parent / "results" / f"gateway-api-{date.today()}.md"
    path.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
