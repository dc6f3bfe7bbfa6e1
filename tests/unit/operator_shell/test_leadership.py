"""What a replica does while it leads, while it does not, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from chatagent_operator import leadership
from chatagent_operator.core.names import Key
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.election import Election, Timing
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.fence import Fence, read_clock
from chatagent_operator.kube.lease import Lease
from chatagent_operator.leadership import Leadership
from chatagent_operator.metrics import Metrics
from chatagent_operator.queue import KeyedQueue
from tests.unit.operator_shell.election_world import Server
from tests.unit.operator_shell.serving import connect, serving

TIMING = Timing(duration=2, renew_deadline=1, retry=0.02, poll=0.02)
KNOWN = [("demo", "shop"), ("demo", "help")]


class ApiServer:
    """A real server with the Lease of the simulated one."""

    def __init__(self) -> None:
        self.server = Server()
        self.refuses = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        if self.refuses:
            return web.json_response({"message": "not now"}, status=503)
        body = await request.json() if request.body_exists else None
        try:
            return web.json_response(self.server.handle(request.method, body))
        except ApiError as error:
            return web.json_response({"message": error.message}, status=error.status)


class Replica:
    """One replica of the operator, without kopf."""

    def __init__(self, kube: Kube | None, fence: Fence, identity: str) -> None:
        self.fence = fence
        self.registry = CollectorRegistry()
        self.looks: asyncio.Queue[Key] = asyncio.Queue()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.measures_no_more = asyncio.Event()
        self.failed = asyncio.Event()
        self.lists = 0
        self.list_errors: list[ApiError] = []
        self.queue: KeyedQueue[Key] = KeyedQueue(self._reconcile, paused=True)
        election = None
        if kube:
            lease = Lease(kube, "system", "operator", read_clock)
            election = Election(lease, "system/operator", identity, fence, TIMING)
        self.leadership = Leadership(
            election, self.queue, self, self._list_agents, Metrics(self.registry)
        )
        self.complete = asyncio.Event()

    def begin(self) -> None:
        """Compete."""
        self.complete.set()
        self.leadership.begin(self.complete, self.fail)

    def fail(self, error: BaseException) -> None:
        """In the place of what ends the process."""
        self.failed.set()

    async def _list_agents(self) -> list[Key]:
        self.lists += 1
        if self.list_errors:
            raise self.list_errors.pop()
        return KNOWN

    @property
    def leads(self) -> bool:
        """What it tells Prometheus."""
        return self.registry.get_sample_value("chatagent_operator_leader") == 1

    async def close(self) -> None:
        """In the place of what measures."""
        self.measures_no_more.set()

    async def _reconcile(self, key: Key) -> None:
        self.looks.put_nowait(key)
        await self.may_finish.wait()


@pytest.fixture
def api_server() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def pair(api_server: ApiServer) -> AsyncGenerator[tuple[Replica, Replica]]:
    """Two replicas, the first of which leads."""
    async with serving(api_server.answer) as url:
        fences = Fence(), Fence()
        kubes = [connect(url, fence) for fence in fences]
        first, second = (
            Replica(kube, fence, name)
            for kube, fence, name in zip(kubes, fences, "ab", strict=True)
        )
        first.begin()
        async with asyncio.timeout(20):
            assert sorted([await first.looks.get(), await first.looks.get()]) == sorted(KNOWN)
            second.begin()
            yield first, second
        for replica in (first, second):
            replica.may_finish.set()
            await replica.leadership.resign()
            await replica.queue.close()
        for kube in kubes:
            await kube.close()


async def test_a_new_leader_reconciles_every_agent_once(pair: tuple[Replica, Replica]) -> None:
    first, second = pair
    second.queue.mark(KNOWN[0])
    second.queue.mark(("demo", "new"))
    assert (first.leads, second.leads) == (True, False)
    await first.leadership.resign()
    looked = [await second.looks.get() for _ in range(3)]
    assert sorted(looked) == sorted([*KNOWN, ("demo", "new")])
    assert first.looks.empty()
    assert (first.leads, second.leads) == (False, True)
    assert first.measures_no_more.is_set()


async def test_the_lease_is_released_after_the_writes_in_progress(
    pair: tuple[Replica, Replica], api_server: ApiServer
) -> None:
    first, _ = pair
    first.may_finish.clear()
    first.queue.mark(("demo", "slow"))
    await first.looks.get()
    resigning = asyncio.create_task(first.leadership.resign())
    await asyncio.sleep(0.1)
    assert api_server.server.holder == "a", "it is still the leader, and may write"
    assert first.fence.left
    first.may_finish.set()
    await resigning
    assert not first.fence.left
    assert api_server.server.holder != "a"


async def test_work_that_does_not_end_holds_no_standby_up(pair: tuple[Replica, Replica]) -> None:
    first, second = pair
    first.may_finish.clear()
    first.queue.mark(("demo", "hangs"))
    await first.looks.get()
    async with asyncio.timeout(2):
        await first.leadership.resign()
        await second.looks.get()


async def test_a_leader_that_cannot_renew_becomes_standby_and_leads_again(
    pair: tuple[Replica, Replica], api_server: ApiServer
) -> None:
    first, second = pair
    await second.leadership.resign()
    api_server.refuses = True
    await first.measures_no_more.wait()
    assert not first.leads
    first.queue.mark(("demo", "later"))
    await asyncio.sleep(0.05)
    assert first.looks.empty()
    api_server.refuses = False
    looked = [await first.looks.get() for _ in range(3)]
    assert sorted(looked) == sorted([*KNOWN, ("demo", "later")])
    assert first.leads


async def test_a_replica_does_not_compete_before_its_view_is_complete(
    api_server: ApiServer,
) -> None:
    async with serving(api_server.answer) as url, asyncio.timeout(10):
        fence = Fence()
        kube = connect(url, fence)
        replica = Replica(kube, fence, "a")
        replica.leadership.begin(replica.complete, replica.fail)
        await asyncio.sleep(0.1)
        assert api_server.server.lease is None
        replica.complete.set()
        await replica.looks.get()
        await replica.leadership.resign()
        await kube.close()


async def test_a_new_leader_begins_with_a_list_however_often_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leadership, "LIST_RETRY_SECONDS", 0)
    replica = Replica(None, Fence(), "a")
    replica.list_errors = [ApiError(0, "no answer"), ApiError(500, "later")]
    replica.begin()
    assert sorted([await replica.looks.get() for _ in KNOWN]) == sorted(KNOWN)
    assert replica.lists == 3
    await replica.leadership.resign()


async def test_a_single_replica_leads_without_a_lease() -> None:
    replica = Replica(None, Fence(), "a")
    replica.begin()
    async with asyncio.timeout(5):
        assert await replica.looks.get() in KNOWN
        await replica.leadership.resign()
    assert not replica.leads


async def test_an_internal_error_ends_the_process() -> None:
    replica = Replica(None, Fence(), "a")
    broken: Any = replica.queue
    broken.start = None
    replica.begin()
    async with asyncio.timeout(5):
        await replica.failed.wait()
