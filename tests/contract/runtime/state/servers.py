"""Redis as a real process, and a listener that accepts and never answers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.contract.runtime.processes import Program
from tests.ports import free_port


class RedisServer(Program):
    """It stores nothing on disk unless it is told to, and ends by its id."""

    def __init__(self, folder: Path, *flags: str, port: int | None = None) -> None:
        self.port = port or free_port()
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: `python3 -m dev up` installs it"
        basic = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--dir"]
        super().__init__([program, *basic, str(folder), *flags], folder / f"redis-{self.port}.log")
        self.flags = flags

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> redis.Redis:
        password = self.flags[1] if self.flags[:1] == ("--requirepass",) else None
        return redis.Redis(port=self.port, password=password)

    def start(self) -> None:
        super().start()
        self.until(self._answers)

    def ask(self, *command: str | int) -> object:
        """Have it execute a command."""
        with self.client() as client:
            return client.execute_command(*command)

    def _answers(self) -> bool | None:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return None


@dataclass(frozen=True)
class HalfOpen:
    """Who never says a word."""

    port: int
    connections: list[asyncio.StreamWriter]
    """All that were ever made."""


@asynccontextmanager
async def half_open() -> AsyncGenerator[HalfOpen]:
    """A port where somebody accepts connections and never says a word."""
    connections: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield HalfOpen(server.sockets[0].getsockname()[1], connections)
    finally:
        server.close()
        for writer in connections:
            writer.close()
        await server.wait_closed()


async def eventually(met: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Ask again and again until it is so."""
    async with asyncio.timeout(seconds):
        for _ in range(int(seconds * 100)):
            if await met():
                return
            await asyncio.sleep(0.01)
    raise TimeoutError
