"""The agents of one run: made, changed and followed until they are what they should be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.operator_scale.client import MERGE, Client
from bench.operator_scale.contestants import Contestant

SOONEST = 0.05


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one agent."""

    is_ready: bool
    serving: str | None


class Fleet:
    """Follows all agents by one watch."""

    def __init__(self, client: Client, contestant: Contestant) -> None:
        self._client = client
        self._contestant = contestant
        self._states: dict[str, State] = {}
        self._made = 0
        self._version = 1

    async def follow(self) -> None:
        """Follow them until the task is cancelled."""
        async for kind, body in self._client.watch(self._contestant.path):
            name = body["metadata"]["name"]
            if kind == "DELETED":
                self._states.pop(name, None)
                continue
            is_ready = self._contestant.is_ready(body)
            self._states[name] = State(is_ready, self._contestant.serving(body))

    async def prepare(self, count: int) -> list[str]:
        """Make what the next agents need. Returns the agents' names."""
        names = [_name(number) for number in range(self._made, self._made + count)]
        objects = [each for name in names for each in self._contestant.before(name)]
        await asyncio.gather(*(self._client.request("POST", *each) for each in objects))
        self._made += count
        return names

    async def create(self, names: Iterable[str]) -> None:
        """Make agents, all at once."""
        path, make = self._contestant.path, self._contestant.agent
        await asyncio.gather(*(self._client.request("POST", path, make(name)) for name in names))

    async def change(self, names: Sequence[str]) -> dict[str, str | None]:
        """Change their images, all at once. Returns which revision each served before."""
        self._version += 1
        patch = self._contestant.change(self._version)
        before = {name: self._states[name].serving for name in names}
        paths = (f"{self._contestant.path}/{name}" for name in names)
        await asyncio.gather(*(self._client.request("PATCH", path, patch, MERGE) for path in paths))
        return before

    def ready(self, names: Iterable[str]) -> int:
        """How many of them are ready."""
        return sum(name in self._states and self._states[name].is_ready for name in names)

    def rolled_out(self, before: dict[str, str | None]) -> int:
        """How many of them are ready with another revision than before."""
        return sum(
            self._states[name].is_ready and self._states[name].serving != revision
            for name, revision in before.items()
        )


async def until(holds: Callable[[], bool], patience: float, every: float = SOONEST) -> float | None:
    """Wait until it holds. Returns the seconds that it took; None: it did not come to hold."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > patience:
            return None
        await asyncio.sleep(every)
    return time.monotonic() - began


def _name(number: int) -> str:
    return f"agent-{number:05d}"
