"""The whole shell on an API server in memory: kopf, the reflectors, the queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import kopf
import pytest
from prometheus_client import CollectorRegistry

from chatagent_operator import handlers
from chatagent_operator.core import names
from chatagent_operator.core.kinds import CHAT_AGENT, CHILDREN, CONFIG_MAP, EVENT, REGISTRY
from chatagent_operator.core.names import Key
from chatagent_operator.handlers import Shell
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.fence import Fence
from chatagent_operator.kube.sources import Sources
from chatagent_operator.kube.store import Store
from chatagent_operator.metrics import Metrics
from chatagent_operator.settings import from_environment
from tests.unit.operator_shell.api_server import ApiServer
from tests.unit.operator_shell.serving import connect, serving

NEEDED = ("OPERATOR_IMAGE", "HAPROXY_IMAGE", "CHROMA_IMAGE", "REDIS_IMAGE")
WATCHES = len(CHILDREN) + 4
"""One for each kind of child, ChatAgents and other people's ConfigMaps, and two for Events."""

Look = tuple[Key, set[str], dict[str, str]]


class Looks:
    """In the place of the reconciler: records what each reconciliation sees."""

    seen: asyncio.Queue[Look]
    error: Exception | None = None

    def __init__(self, store: Store, sources: Sources, *_: Any) -> None:
        self._store = store
        self._sources = sources

    async def reconcile(self, key: Key) -> None:
        children = {name for _, name in self._store.observed(key).children}
        sources = await self._sources.digests(key[0], [f"{key[1]}-faq"])
        self.seen.put_nowait((key, children, sources))

    @classmethod
    async def until(cls, met: Callable[[Look], bool]) -> Look:
        """The next reconciliation that is as it should be."""
        async with asyncio.timeout(20):
            while True:
                if met(look := await cls.seen.get()):
                    return look


class World:
    """A cluster with agents."""

    def __init__(self) -> None:
        self.server = ApiServer()
        self.ended: asyncio.Task[None]

    def add_agent(self, name: str, children: int = 2) -> None:
        spec = {"knowledge": {"sources": [{"configMap": {"name": f"{name}-faq"}}]}}
        metadata: dict[str, Any] = {"generation": 1}
        self.server.put(CHAT_AGENT.path(), "demo", name, metadata=metadata, spec=spec)
        self.put_source(name, "open at nine")
        for number in range(children):
            self.put_child(name, f"{name}-{number}")

    def put_child(self, agent: str, name: str, kind: str = "Pod") -> None:
        metadata = {"labels": names.labels(agent, names.ROLE_GATEWAY)}
        self.server.put(REGISTRY[kind].path(), "demo", name, metadata=metadata)

    def put_source(self, agent: str, text: str) -> None:
        self.server.put(CONFIG_MAP.path(), "demo", f"{agent}-faq", data={"a.md": text})

    @contextlib.asynccontextmanager
    async def running(self, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Shell]:
        """Run the operator with kopf."""
        Looks.seen = asyncio.Queue()
        monkeypatch.setattr(handlers, "Reconciler", Looks)
        settings = from_environment(dict.fromkeys(NEEDED, "image:1"))
        stopped = asyncio.Event()
        shell = Shell(settings, Metrics(CollectorRegistry()), stopped)
        async with serving(self.server.handle) as url:

            async def connected(fence: Fence | None = None) -> Kube:
                return connect(url, fence)

            def login(**_: Any) -> kopf.ConnectionInfo:
                return kopf.ConnectionInfo(server=url)

            monkeypatch.setattr(Kube, "connect", connected)
            monkeypatch.setattr(handlers, "_login", login)
            registry = kopf.OperatorRegistry()
            shell.register(registry)
            operator = kopf.operator(
                registry=registry, clusterwide=True, standalone=True, stop_flag=stopped
            )
            running = asyncio.create_task(operator)
            self.ended = running
            try:
                yield shell
            finally:
                stopped.set()
                await running
                self.server.restart()


async def test_a_restart_with_300_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    agents = [f"agent-{number}" for number in range(300)]
    for name in agents:
        world.add_agent(name, children=25)
    for number in range(10_000):
        world.server.put(REGISTRY["Pod"].path(), "demo", f"foreign-{number}")
    async with world.running(monkeypatch):
        seen: dict[str, Look] = {}
        async with asyncio.timeout(120):
            while len(seen) < len(agents):
                look = await Looks.seen.get()
                assert look[0][1] not in seen, "each is reconciled once"
                seen[look[0][1]] = look
    assert sorted(seen) == sorted(agents)
    for (_, name), children, sources in seen.values():
        assert children == {f"{name}-{number}" for number in range(25)}, "on the whole picture"
        assert list(sources) == [f"{name}-faq"]
    lists = 1  # of the contents of the ConfigMaps that agents name
    assert len(world.server.requests) == WATCHES + lists


async def test_what_changes_is_reconciled(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.add_agent("shop")
    async with world.running(monkeypatch):
        _, children, first = await Looks.until(lambda look: True)
        assert children == {"shop-0", "shop-1"}
        world.put_child("shop", "shop-2")
        _, children, _ = await Looks.until(lambda look: len(look[1]) == 3)
        world.server.delete(REGISTRY["Pod"].path(), "demo", "shop-0")
        _, children, _ = await Looks.until(lambda look: len(look[1]) == 2)
        assert children == {"shop-1", "shop-2"}
        world.put_source("shop", "open at ten")
        _, _, second = await Looks.until(lambda look: look[2] != first)
        world.server.delete(CONFIG_MAP.path(), "demo", "shop-faq")
        await Looks.until(lambda look: look[2] == {})
        world.add_agent("other", children=0)
        await Looks.until(lambda look: look[0][1] == "other")
    assert first.keys() == second.keys()
    reads = [request for request in world.server.requests if not request.is_watch]
    assert len(reads) == 3, "of the three versions that there were"


async def test_nobody_is_reconciled_on_half_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.add_agent("shop")
    jobs = REGISTRY["Job"].path()
    failed = asyncio.Event()

    def refuse(request: Any) -> ApiError | None:
        if request.path != jobs:
            return None
        failed.set()
        return ApiError(503, "not yet")

    world.server.refuse = refuse
    async with world.running(monkeypatch):
        async with asyncio.timeout(20):
            await failed.wait()
        await asyncio.sleep(0.1)  # long enough to reconcile an agent, if one were
        assert Looks.seen.empty()
        world.server.refuse = lambda request: None
        await Looks.until(lambda look: len(look[1]) == 2)


async def test_a_watch_that_dies_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.add_agent("shop")
    async with world.running(monkeypatch) as shell:
        await Looks.until(lambda look: True)
        broken: dict[str, Any] = {"labels": names.labels("shop", names.ROLE_GATEWAY)}
        # No object is like this: it stands for a bug in the projection.
        world.server.put(REGISTRY["Service"].path(), "demo", "shop", metadata=broken)
        async with asyncio.timeout(20):
            await asyncio.wait([world.ended])
    assert isinstance(shell.failure, KeyError)
    (critical,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert "the operator ends" in critical.getMessage()
    assert critical.exc_info is not None


async def test_a_missing_crd_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.server.known = {kind.path() for kind in (*CHILDREN, EVENT)}
    async with world.running(monkeypatch) as shell:
        async with asyncio.timeout(20):
            await asyncio.wait([world.ended])
    assert "the API server has no chatagents.chatagent.dev; install" in str(shell.failure)
    (critical,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert critical.exc_info is None, "it is no fault of the operator: one line, no traceback"


async def test_nothing_is_watched_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.add_agent("shop")
    before = asyncio.all_tasks()
    async with world.running(monkeypatch) as shell:
        await Looks.until(lambda look: True)
    assert shell.failure is None
    left = {task for task in asyncio.all_tasks() - before if "Reflector" in repr(task)}
    assert left == set()
