"""Whether conversations stay on their revision: 20,000 of them, two gateways, nothing left out.

`python -m bench.pins` has two real HAProxy on loopback, which tell each other their conversations,
and two revisions behind them. The conversations are begun at both gateways, and the second turn of
each follows the first answer at once, at the other gateway, which may not have been told of it.
Then they go on, at one gateway and the other, while the weights change, and while one gateway after
the other is stopped and started again. Each answer that comes from another revision than the first
is a flip. Then an abort, which must let the canary's conversations go everywhere at once, to the
stable revision.

All of it twice: with names that the revisions give, as the runtime does, and with clients' own, of
which the gateways know nothing but what they have seen. And how soon the other gateway is told.

It also fills a table, to see what it takes of HAProxy's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import aiohttp

from tests.contract.gateway.behaviour import (
    CANARY,
    CLIENTS,
    STABLE,
    Clients,
    Revision,
    running,
)
from tests.contract.gateway.loopback import Gateway, Gateways

WEIGHTS = (0, 100, 5, 50)
BATCH = 500
LAGS = 1000
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Turn:
    """All conversations went on once."""

    what: str
    answered: Counter[str]
    flips: int
    failed: int

    def row(self) -> str:
        stable, canary = self.answered[STABLE], self.answered[CANARY]
        return f"| {self.what} | {stable} | {canary} | {self.failed} | {self.flips} |"


def turn(what: str, answers: dict[str, str], first: dict[str, str]) -> Turn:
    """What became of conversations that began where `first` says."""
    revisions = {STABLE, CANARY}
    failed = sum(answer not in revisions for answer in answers.values())
    flips = sum(answer in revisions and answer != first[name] for name, answer in answers.items())
    return Turn(what, Counter(answers.values()), flips, failed)


@dataclass
class Story:
    """One run."""

    gateways: Gateways
    http: aiohttp.ClientSession
    stable: Revision
    canary: Revision
    first: dict[str, str]
    turns: list[Turn]

    def at(self, gateway: Gateway) -> Clients:
        return Clients(gateway.url, "agent.example", self.http)

    async def weigh(self, weight: int) -> None:
        await self.gateways.intends(
            self.stable.takes("s1", 100 - weight), self.canary.takes("s2", weight), stable=STABLE
        )

    async def close(self) -> None:
        """An abort."""
        await self.gateways.intends(
            self.stable.takes("s1", 100), self.canary.takes("s2", 0, "maint"), stable=STABLE
        )

    async def at_once(self, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Two turns each, the second at the other gateway as soon as the first is answered. An
        empty name is one that the runtime is to give."""
        sides = [self.at(gateway) for gateway in self.gateways.running]
        first: dict[str, str] = {}
        second: dict[str, str] = {}
        waiting = iter(names)

        async def client(number: int) -> None:
            for given in waiting:
                name, first_revision = await sides[number % 2].ask(given)
                _, second[name] = await sides[1 - number % 2].ask(name)
                first[name] = first_revision

        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
        return first, second

    async def begin(self, names: Iterable[str]) -> None:
        await self.weigh(30)
        await self.gateways.ready(self.http)
        self.first, second = await self.at_once(names)
        self.turns.append(turn("begun at both, 30 % canary", self.first, self.first))
        self.turns.append(turn("at once, at the other one", second, self.first))
        await self.gateways.have(len(self.first))

    async def go_on(self, what: str, *gateways: Gateway) -> None:
        """All conversations, shared out over the gateways, and another way each time."""
        everyone = list(self.first)
        begin = len(self.turns)
        shares = {
            gateway: everyone[(begin + n) % len(gateways) :: len(gateways)]
            for n, gateway in enumerate(gateways)
        }
        answers: dict[str, str] = {}
        for part in await asyncio.gather(
            *(self.at(gateway).ask_all(some) for gateway, some in shares.items())
        ):
            answers |= part
        self.turns.append(turn(what, answers, self.first))


async def tell(story: Story, names: Iterable[str]) -> tuple[list[float], int]:
    """The whole story; how long restarted gateways took to be ready, and canary pins left."""
    await story.begin(names)
    both = list(story.gateways.running)
    for weight in WEIGHTS:
        await story.weigh(weight)
        await story.go_on(f"{weight} % canary", *both)
    readiness: list[float] = []
    for restarting, staying in ((both[0], both[1]), (both[1], both[0])):
        await story.gateways.stop_one(restarting)
        await story.weigh(len(readiness) * 90)
        await story.go_on(f"{restarting.name} is away", staying)
        started = time.perf_counter()
        await story.gateways.start_one(restarting)
        await story.gateways.ready(story.http)
        readiness.append(time.perf_counter() - started)
        await story.go_on(f"{restarting.name} is back", restarting)
    await story.go_on("both", *story.gateways.running)
    await story.close()
    left = max([(await gateway.read_state()).pins for gateway in story.gateways.running])
    left -= Counter(story.first.values())[STABLE]
    taken_over = {name: STABLE for name, revision in story.first.items() if revision == CANARY}
    for gateway in story.gateways.running:
        answers = await story.at(gateway).ask_all(taken_over)
        what = f"the canary's, after the abort, at {gateway.name}"
        story.turns.append(turn(what, answers, taken_over))
    return readiness, left


async def lag(story: Story) -> list[float]:
    """Milliseconds from an answer until the other gateway's table has its conversation, sorted;
    the shortest are how long it takes to look."""
    one, other = story.gateways.running
    times: list[float] = []
    for number in range(LAGS):
        name = f"lag-{number}"
        await story.at(one).ask(name)
        started = time.perf_counter()
        while name not in await other.sidecar.socket.ask([f"show table agent key {name}"]):
            pass
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times)


def memory(process: int) -> float:
    """Resident MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def filled(folder: Path, entries: int) -> tuple[float, float, float]:
    """MiB of an empty HAProxy, and of two with `entries`: the one that learnt them and its peer."""
    gateways = Gateways(folder, 2)
    await gateways.start()
    try:
        async with aiohttp.ClientSession() as http, running(STABLE, "127.0.0.2") as stable:
            await gateways.intends(stable.takes("s1", 100))
            await gateways.ready(http)
            one, other = gateways.running
            empty = memory(one.process.pid)
            for start in range(0, entries, BATCH):
                keys = [f"conv_{n:032x}-1234567890" for n in range(start, start + BATCH)]
                await one.sidecar.socket.execute(
                    [f"set table agent key {key} data.server_id 1" for key in keys]
                )
            await gateways.have(entries)
            return empty, memory(one.process.pid), memory(other.process.pid)
    finally:
        await gateways.stop()


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a story."""

    turns: list[Turn]
    readiness: list[float]
    left: int
    lags: list[float]
    seconds: float

    def section(self, title: str) -> str:
        flips = sum(each.flips for each in self.turns)
        failed = sum(each.failed for each in self.turns)
        requests = sum(sum(each.answered.values()) for each in self.turns)
        ready = " and ".join(f"{each:.1f}" for each in self.readiness)
        return f"""## {title}

**{flips} flips, {failed} failed requests** of {requests}, in {self.seconds:.0f} s. After an abort
{self.left} conversations of the canary were left in the tables. A gateway that came back was ready,
with all conversations, after {ready} s.

| | stable | canary | failed | flips |
|---|---|---|---|---|
{chr(10).join(each.row() for each in self.turns)}
"""


async def told(folder: Path, names: Iterable[str]) -> Told:
    """One story, with gateways of its own. Empty names are given by the revisions."""
    async with contextlib.AsyncExitStack() as stack:
        stable = await stack.enter_async_context(running(STABLE, "127.0.0.2"))
        canary = await stack.enter_async_context(running(CANARY, "127.0.0.3"))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        gateways = Gateways(folder, 2)
        await gateways.start()
        stack.push_async_callback(gateways.stop)
        story = Story(gateways, http, stable, canary, {}, [])
        started = time.perf_counter()
        readiness, left = await tell(story, names)
        seconds = time.perf_counter() - started
        await story.weigh(50)
        return Told(story.turns, readiness, left, await lag(story), seconds)


async def measured(count: int, entries: int) -> str:
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        folders = [Path(name) / kind for kind in ("given", "own", "full")]
        for folder in folders:
            folder.mkdir()
        given = await told(folders[0], [""] * count)
        own = await told(folders[1], [f"c{number}" for number in range(count)])
        empty, teller, listener = await filled(folders[2], entries)
    lags = own.lags
    return f"""# Conversations that stay on their revision

{date.today()}, `python -m bench.pins --conversations {count}`, {platform.machine()},
{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end. Two HAProxy that tell each
other their conversations, all on loopback. The second turn follows the first answer at once, at the
other gateway.

{given.section("The runtime names the conversations")}
{own.section("Clients name them")}
A conversation was in the other gateway's table {statistics.median(lags):.1f} ms after the
first answer in the median of {LAGS}, {lags[int(LAGS * 0.99)]:.1f} ms at p99, {lags[-1]:.1f} ms at
most. They began one at a time; {lags[0]:.1f} ms is as short as a look takes.

HAProxy took {empty:.0f} MiB when it started, and with {entries} conversations {teller:.0f} MiB
where they were learnt and {listener:.0f} MiB in its peer.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=20_000)
    parser.add_argument("--entries", type=int, default=100_000, help="of the table that is filled")
    arguments = parser.parse_args()
    report = asyncio.run(measured(arguments.conversations, arguments.entries))
    file = REPOSITORY / "bench" / "results" / f"pins-{date.today()}.md"
    file.write_text(report)
    print(report)


if __name__ == "__main__":
    main()
