"""Whether conversations stay on their revision: 20,000 of them, two gateways, nothing left out.

`python -m bench.pins` has two real HAProxy on loopback, which tell each other their conversations,
and two revisions behind them. The conversations are begun at both gateways; then they go on, at
one gateway and the other, while the weights change, and while one gateway after the other is
stopped and started again. Each answer that comes from another revision than the first is a flip.
Then an abort, which must let the canary's conversations go everywhere at once.

It also fills a table, to see what it takes of HAProxy's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import aiohttp

from tests.contract.gateway.loopback import Agent, Chats, Gateway, Gateways, backend, serving

WEIGHTS = (0, 100, 5, 50)
BATCH = 500
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Turn:
    """All conversations went on once."""

    what: str
    answered: Counter[str]
    flips: int
    failed: int

    def row(self) -> str:
        stable, canary = self.answered["stable"], self.answered["canary"]
        return f"| {self.what} | {stable} | {canary} | {self.failed} | {self.flips} |"


@dataclass
class Story:
    """One run."""

    gateways: Gateways
    http: aiohttp.ClientSession
    stable: Agent
    canary: Agent
    first: dict[str, str]
    turns: list[Turn]

    async def weigh(self, weight: int) -> None:
        await self.gateways.intends(
            backend("s1", self.stable, 100 - weight), backend("s2", self.canary, weight)
        )

    async def begin(self, count: int) -> None:
        await self.weigh(30)
        await self.gateways.ready(self.http)
        for number, gateway in enumerate(self.gateways.running):
            some = [f"c{number}-{n}" for n in range(count // 2)]
            self.first |= await Chats(gateway, self.http).ask_all(some)
        await self.gateways.have(len(self.first))
        self.turns.append(self._turn("begun at both, 30 % canary", self.first))

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
            *(Chats(gateway, self.http).ask_all(some) for gateway, some in shares.items())
        ):
            answers |= part
        self.turns.append(self._turn(what, answers))

    def _turn(self, what: str, answers: dict[str, str]) -> Turn:
        revisions = {"stable", "canary"}
        failed = sum(answer not in revisions for answer in answers.values())
        flips = sum(
            answer in revisions and answer != self.first[name] for name, answer in answers.items()
        )
        return Turn(what, Counter(answers.values()), flips, failed)


async def told(story: Story, count: int) -> tuple[list[float], int]:
    """The whole story; how long restarted gateways took to be ready, and canary pins left."""
    await story.begin(count)
    both = story.gateways.running
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
    await story.gateways.intends(
        backend("s1", story.stable, 100), backend("s2", story.canary, state="maint")
    )
    left = max([(await gateway.in_force()).pins for gateway in story.gateways.running])
    return readiness, left - Counter(story.first.values())["stable"]


def memory(process: int) -> float:
    """Resident MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def filled(folder: Path, entries: int) -> tuple[float, float, float]:
    """MiB of an empty HAProxy, and of two with `entries`: the one that learnt them and its peer."""
    gateways = Gateways(folder, 2)
    await gateways.start()
    try:
        async with aiohttp.ClientSession() as http, serving("stable", "127.0.0.2") as stable:
            await gateways.intends(backend("s1", stable, 100))
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


async def measured(count: int, entries: int) -> str:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
        for name in ("story", "full"):
            (folder / name).mkdir()
        stable = await stack.enter_async_context(serving("stable", "127.0.0.2"))
        canary = await stack.enter_async_context(serving("canary", "127.0.0.3"))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        gateways = Gateways(folder / "story", 2)
        await gateways.start()
        stack.push_async_callback(gateways.stop)
        story = Story(gateways, http, stable, canary, {}, [])
        started = time.perf_counter()
        readiness, left = await told(story, count)
        seconds = time.perf_counter() - started
        empty, teller, listener = await filled(folder / "full", entries)
    requests = sum(sum(turn.answered.values()) for turn in story.turns)
    flips = sum(turn.flips for turn in story.turns)
    failed = sum(turn.failed for turn in story.turns)
    ready = " and ".join(f"{each:.1f}" for each in readiness)
    return f"""# Conversations that stay on their revision

{date.today()}, `python -m bench.pins --conversations {count}`, {platform.machine()},
{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end. Two HAProxy that tell each
other their conversations, all on loopback; {requests} requests in {seconds:.0f} s.

**{flips} flips, {failed} failed requests.** After an abort {left} conversations of the canary were
left in the tables. A gateway that came back was ready, with all conversations, after {ready} s.

| | stable | canary | failed | flips |
|---|---|---|---|---|
{chr(10).join(turn.row() for turn in story.turns)}

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
