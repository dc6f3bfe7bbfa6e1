"""Servers on loopback: `transformers serve`, and small ones that misbehave in one way each."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.contract.runtime.processes import DEADLINE, Program
from tests.ports import free_port

Handler = Callable[["Exchange"], Awaitable[None]]


class TransformersServe(Program):
    """OpenAI's API as transformers serves it, for one model of a folder."""

    def __init__(self, model: Path, logs: Path) -> None:
        self.port = free_port()
        self.model = str(model)
        command = Path(sys.executable).with_name("transformers")
        flags = ["--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu"]
        super().__init__(
            [str(command), "serve", self.model, *flags],
            logs / "serve.log",
            {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        super().start()
        self.until(self._healthy, 2 * DEADLINE)  # its imports take a minute on a busy machine

    def _healthy(self) -> bool | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).is_success or None
        except httpx.TransportError:
            return None


class Exchange:
    """A request that was read, and the connection for its answer."""

    def __init__(
        self, headers: dict[str, str], body: Any, reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        self.headers, self.body = headers, body
        self._reader, self._writer = reader, writer

    async def answer(self, status: int, body: Any, **headers: str) -> None:
        content = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(content)}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += ["content-type: application/json", "", ""]
        self._writer.write("\r\n".join(lines).encode() + content)
        await self._writer.drain()

    async def refuse(self, status: int, message: str, **headers: str) -> None:
        await self.answer(status, {"error": {"message": message, "type": "x"}}, **headers)

    async def stream(self, *texts: str, finish: str | None = "stop") -> None:
        """Send chunks of a completion; without a finish, the stream stays open."""
        head = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "connection: close", "", ""]
        self._writer.write("\r\n".join(head).encode())
        for text in texts:
            await self.send({"content": text})
        if finish is not None:
            await self.send({}, finish)
            self._writer.write(b"data: [DONE]\n\n")
            await self._writer.drain()

    async def send(self, delta: Any, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {
            "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "system_fingerprint": "", "choices": [choice],
        }  # fmt: skip
        self._writer.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await self._writer.drain()

    async def gone(self) -> None:
        """Wait until the client hangs up."""
        while await self._reader.read(1024):
            pass


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[str]:
    """Serve every request by a handler, and close the connection after it. Yields the URL."""
    open_now: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            pairs = (line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            await handler(Exchange(headers, json.loads(body or b"null"), reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            open_now.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in tuple(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
