"""A real HAProxy on loopback, small real agents behind it, and the real synchroniser beside it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from chatagent_operator.core.routing.haproxy import (
    CONFIG_FILE,
    GatewaySettings,
    Peer,
    render_config_files,
)
from chatagent_operator.core.routing.routes import Backend, BackendState, Routes, Slot
from chatagent_operator.gateway.haproxy_state import HAProxyState
from chatagent_operator.gateway.measures import Measures
from chatagent_operator.gateway.runtime_socket import RuntimeSocket
from chatagent_operator.gateway.synchroniser import Synchroniser
from tests.ports import free_port

CLIENTS = 16


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10) -> None:
    """Wait for a condition; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.005)


@dataclass
class Agent:
    """A revision's Service: it says which revision it is, and does as the query asks."""

    revision: str
    host: str
    port: int
    asked: int = 0
    given_up: int = 0
    connections: set[str] = field(default_factory=set[str])
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends what waits in /stream and /slow."""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        assert request.transport is not None
        self.connections.add(str(request.transport.get_extra_info("peername")))
        body = await request.read()
        answer = {
            "revision": self.revision,
            "bytes": len(body),
            "headers": {
                name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers
            },
        }
        headers = {"X-Conversation-ID": name} if (name := request.query.get("names")) else {}
        try:
            if request.path == "/slow":
                await self.release.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return web.json_response(answer, headers=headers)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await self.release.wait()
        await response.write(b"data: [DONE]\n\n")
        return response


@contextlib.asynccontextmanager
async def serving(
    revision: str, host: str = "127.0.0.1", port: int | None = None
) -> AsyncGenerator[Agent]:
    agent = Agent(revision, host, port or free_port())
    application = web.Application(client_max_size=2**24)
    application.router.add_route("*", "/stream", agent.stream)
    application.router.add_route("*", "/{path:.*}", agent.chat)
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    await web.TCPSite(runner, host, agent.port).start()
    try:
        yield agent
    finally:
        agent.release.set()
        await runner.cleanup()


def backend(
    slot: Slot, agent: Agent, weight: int = 0, state: BackendState = "ready", revision: str = ""
) -> Backend:
    return Backend(
        slot=slot,
        revision=revision or agent.revision,
        address=agent.host,
        port=agent.port,
        weight=weight,
        state=state,
    )


class RecordingSocket(RuntimeSocket):
    """The real socket; it remembers what was sent."""

    @property
    def sent(self) -> list[str]:
        return self.__dict__.setdefault("_sent", [])

    async def ask(self, commands: Sequence[str]) -> str:
        """What HAProxy answers, as it is."""
        return await self._send(commands)

    async def execute(self, commands: Sequence[str]) -> None:
        self.sent.extend(commands)
        await super().execute(commands)


class Sidecar:
    """The synchroniser as the sidecar runs it, given its texts by the test and not by a watch."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.socket = RecordingSocket(settings.socket, settings.slots_map)
        self.synchroniser = Synchroniser(self.socket, Measures())
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.synchroniser.run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def applies(self, intent: Routes) -> None:
        self.synchroniser.set_intent(intent.to_json())
        await until(lambda: self.synchroniser.applied)


class Gateway:
    """One HAProxy process and its sidecar."""

    def __init__(self, folder: Path, name: str = "gateway-0", **settings: Any) -> None:
        self.name = name
        self.settings = GatewaySettings(
            http_port=free_port(),
            ops_port=free_port(),
            bind_address="127.0.0.1",
            socket=str(folder / "admin.sock"),
            config_dir=str(folder),
            **settings,
        )
        for name, text in render_config_files(self.settings).items():
            (folder / name).write_text(text, encoding="utf-8")
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.settings.http_port}"
        self.ops = f"http://127.0.0.1:{self.settings.ops_port}"
        self.sidecar = Sidecar(self.settings)
        self._generation = 0

    async def start(self) -> None:
        # To a file: a pipe that nobody reads would stop HAProxy when it is full.
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *("haproxy", "-db", "-L", self.name, "-f", str(self.folder / CONFIG_FILE)),
                stdout=log,
                stderr=log,
            )

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def intends(self, *backends: Backend, stable: str | None = None) -> None:
        """Apply an intent and wait until it is applied."""
        self._generation += 1
        intent = Routes(generation=self._generation, backends=backends, stable=stable)
        await self.sidecar.applies(intent)

    async def read_state(self) -> HAProxyState:
        return await self.sidecar.socket.read_state()

    async def is_ready(self, http: aiohttp.ClientSession) -> bool:
        """As its readiness probe sees it."""
        try:
            async with http.get(f"{self.ops}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def is_closed(self) -> bool:
        """It takes no connections."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.settings.http_port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    async def is_connected_to(self, other: Gateway) -> bool:
        """It tells the other what it learns."""
        peers = await self.sidecar.socket.ask(["show peers"])
        return f"id={other.name}(remote,active)" in peers and "last_status=ESTA" in peers


class Gateways:
    """Gateways that tell each other their conversations, as the pods of a StatefulSet do."""

    def __init__(self, folder: Path, count: int, known: int = 3, **settings: Any) -> None:
        ports = [free_port() for _ in range(known)]
        peers = tuple(Peer(f"gateway-{n}", f"127.0.0.1:{port}") for n, port in enumerate(ports))
        self.all: list[Gateway] = []
        for peer, port in itertools.islice(zip(peers, ports, strict=True), known):
            (folder / peer.name).mkdir()
            self.all.append(
                Gateway(folder / peer.name, peer.name, peers=peers, peer_port=port, **settings)
            )
        self.running = self.all[:count]
        self._generation = 0
        self._intent: Routes | None = None

    async def start(self) -> None:
        await asyncio.gather(*(self.start_one(gateway) for gateway in self.running))

    async def start_one(self, gateway: Gateway) -> None:
        if gateway not in self.running:
            self.running.append(gateway)
        await gateway.start()
        gateway.sidecar = Sidecar(gateway.settings)
        gateway.sidecar.start()
        if self._intent:
            gateway.sidecar.synchroniser.set_intent(self._intent.to_json())

    async def stop(self) -> None:
        await asyncio.gather(*(self.stop_one(gateway) for gateway in list(self.running)))

    async def stop_one(self, gateway: Gateway) -> None:
        await gateway.sidecar.stop()
        await gateway.stop()
        self.running.remove(gateway)

    async def intends(self, *backends: Backend, stable: str | None = None) -> None:
        """Apply an intent everywhere and wait until it is applied."""
        self._generation += 1
        intent = Routes(generation=self._generation, backends=backends, stable=stable)
        self._intent = intent
        await asyncio.gather(*(gateway.sidecar.applies(intent) for gateway in self.running))

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Wait until all that run are."""
        for gateway in self.running:
            await until(lambda gateway=gateway: gateway.is_ready(http), seconds=20)

    async def have(self, pins: int) -> None:
        """Wait until all that run remember so many conversations."""

        async def arrived() -> bool:
            return {(await gateway.read_state()).pins for gateway in self.running} == {pins}

        await until(arrived)


class Chats:
    """A client with some connections, as patient as a user."""

    def __init__(self, gateway: Gateway, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.http = http

    async def ask(self, conversation: str | None = None, **request: Any) -> str:
        """One request; which revision answered, or the status."""
        headers = {} if conversation is None else {"X-Conversation-ID": conversation}
        async with self.http.post(f"{self.gateway.url}/chat", headers=headers, **request) as answer:
            return (await answer.json())["revision"] if answer.ok else str(answer.status)

    async def ask_all(self, conversations: Sequence[str]) -> dict[str, str]:
        """One request each, some at a time; conversation → revision."""
        answers: dict[str, str] = {}
        waiting = iter(conversations)

        async def client() -> None:
            for conversation in waiting:
                answers[conversation] = await self.ask(conversation)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return answers

    async def shares(self, conversations: Sequence[str]) -> Counter[str]:
        return Counter((await self.ask_all(conversations)).values())
