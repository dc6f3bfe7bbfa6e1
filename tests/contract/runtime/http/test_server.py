"""A real server on a real socket: clients that hang up, and SIGTERM while a stream is under way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn

from agent_runtime.config import LimitsConfig
from agent_runtime.http.server import DrainingServer
from tests.ports import free_port
from tests.unit.runtime.http.harness import CHAT, RESPONSES, Runtime

SECONDS = 30.0


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  what it waits for has no event
        await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(runtime: Runtime) -> AsyncGenerator[tuple[DrainingServer, int]]:
    port = free_port()
    config = uvicorn.Config(
        runtime.app, host="127.0.0.1", port=port, http="httptools", ws="none", log_config=None
    )
    server = DrainingServer(config, runtime.health.drain, 0.0)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(SECONDS):
        await until(lambda: server.started)
    try:
        yield server, port
    finally:
        server.should_exit = True
        async with asyncio.timeout(SECONDS):
            await task


async def send(
    port: int, path: str, stream: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    messages = [{"role": "user", "content": "How long?"}]
    body = json.dumps({"messages": messages, "input": "How long?", "stream": stream}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_hanging_up_ends_the_turn_and_frees_its_place(path: str, stream: bool) -> None:
    runtime = Runtime(limits=LimitsConfig(concurrency=1, queue=0))
    runtime.agent.hold = asyncio.Event()
    async with serving(runtime) as (_, port), asyncio.timeout(SECONDS):
        reader, writer = await send(port, path, stream)
        await runtime.agent.asked.wait()
        if stream:
            await reader.readuntil(b"data: ")
        assert runtime.agent.ended == []
        writer.close()
        await until(lambda: bool(runtime.agent.ended))
        assert runtime.agent.ended == ["cancelled"]
        runtime.agent.hold = None
        reader, writer = await send(port, path, stream=False)
        assert b" 200 " in await reader.readline()
        writer.close()


async def test_sigterm_lets_a_stream_finish() -> None:
    runtime = Runtime()
    runtime.agent.hold = asyncio.Event()
    async with serving(runtime) as (server, port), asyncio.timeout(SECONDS):
        reader, writer = await send(port, CHAT, stream=True)
        await reader.readuntil(b"data: ")
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: server.should_exit)
        assert runtime.health.readiness()[0] == 503
        runtime.agent.hold.set()
        rest = await reader.read()
        assert b"data: [DONE]" in rest
        assert runtime.agent.ended == ["finished"]
        writer.close()
