"""The reflector's cache equals a fresh list, whatever happened to its watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from chatagent_operator.core.kinds import REGISTRY
from chatagent_operator.core.names import Key
from chatagent_operator.kube import paging
from chatagent_operator.kube.errors import ApiError, UnknownKindError
from chatagent_operator.kube.events import Body
from chatagent_operator.kube.reflector import Reflector, Timing
from tests.unit.operator_shell.api_server import (
    ApiServer,
    Faults,
    Request,
    build_bookmark,
    build_event,
)

SEQUENCES = 10_000
POD = REGISTRY["Pod"]
PODS = POD.path()
NAMES = ("a", "b", "c")
OURS = {"team": "ours"}
FAULTS = (
    *("refused", "410", "429", "500", "503"),
    *("break", "silence", "repeat", "garbage", "cut", "error", "skip"),
)
STEPS = (
    *("put", "put", "put", "delete", "recreate", "foreign", "hidden", "bookmark"),
    *("fault", "fault", "fault", "compact", "restart", "restore", "run", "run"),
)


@dataclass(frozen=True)
class Seen:
    """A projection."""

    uid: str
    resource_version: int
    value: int


def project(body: Body) -> Seen | None:
    """Objects with a negative value are not there."""
    metadata = body["metadata"]
    value = body.get("value", 0)
    return Seen(metadata["uid"], int(metadata["resourceVersion"]), value) if value >= 0 else None


@dataclass
class World:
    """An API server, a reflector of it, and time that passes only where somebody sleeps."""

    server: ApiServer = field(default_factory=ApiServer)
    now: float = 0.0
    slept: list[float] = field(default_factory=list[float])
    changes: list[tuple[Key, Seen | None, Seen | None]] = field(
        default_factory=list[tuple[Key, Seen | None, Seen | None]]
    )
    lists: list[bool] = field(default_factory=list[bool])
    failures: int = 0

    def __post_init__(self) -> None:
        self.faults = Faults(self.server)
        self.reflector = self.reflect()
        self._last: dict[Key, Seen | None] = {}

    def reflect(self, **options: Any) -> Reflector[Seen]:
        timing = Timing(sleep=self._sleep, clock=lambda: self.now)
        options = {"labels": "team=ours", "timing": timing, "on_list": self.lists.append} | options
        self.reflector = Reflector(
            self.server, POD, project, self._change, on_failure=self._failed, **options
        )
        return self.reflector

    def put(self, name: str, value: int = 0, labels: dict[str, str] = OURS) -> None:
        self.server.put(PODS, "demo", name, value=value, metadata={"labels": labels})

    def delete(self, name: str) -> None:
        self.server.delete(PODS, "demo", name)

    def expected(self) -> dict[Key, Seen]:
        """What a fresh list has."""
        request = Request(PODS, {"labelSelector": "team=ours"}, "")
        found = {
            (body["metadata"]["namespace"], body["metadata"]["name"]): project(body)
            for body in self.server.select(request)
        }
        return {key: seen for key, seen in found.items() if seen}

    async def relist(self) -> None:
        """Let the time come at which everything is listed again."""
        lists = len(self.lists)
        self.now += Timing().relist_seconds + 1
        self.server.restart()
        await self.until(lambda: len(self.lists) > lists)

    async def settle(self) -> None:
        """Until the reflector has seen all that happened."""
        began = self.now
        self.server.progress()
        await self.until(lambda: self.reflector.position == self.server.version)
        assert self.now - began < 120, "it was only repaired by the hourly list"

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(5000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came")

    def watches(self) -> list[Request]:
        return [request for request in self.server.requests if request.is_watch]

    def _failed(self) -> None:
        self.failures += 1

    def _change(self, key: Key, old: Seen | None, new: Seen | None) -> None:
        assert old == self._last.get(key), "the old of a change is the new of the previous"
        assert old != new
        assert not (old and new and old.uid != new.uid), "two objects in one change"
        assert self.reflector.get(key) == new, "the cache shows what is reported"
        self._last[key] = new
        self.changes.append((key, old, new))

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncGenerator[World]:
    task = asyncio.create_task(world.reflector.run())
    try:
        yield world
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def run_sequence(seed: int) -> set[str]:
    """One sequence of events and faults. Returns what happened in it."""
    choose = random.Random(seed)  # noqa: S311
    world = World()
    server = world.server
    server.has_streams = choose.random() < 0.7
    happened: set[str] = set() if server.has_streams else {"no streams"}
    for name in choose.sample(NAMES, choose.randrange(len(NAMES) + 1)):
        world.put(name)
    backup = dict(server.objects), server.version
    async with running(world):
        for _ in range(choose.randrange(3, 13)):
            name = choose.choice(NAMES)
            step = choose.choice(STEPS)
            match step:
                case "put":
                    world.put(name, choose.randrange(9))
                case "hidden":
                    world.put(name, -1)
                case "foreign":
                    world.put(name, labels={"team": "theirs"})
                case "delete":
                    world.delete(name)
                case "recreate":
                    world.delete(name)
                    world.put(name)
                case "fault":
                    step = choose.choice(FAULTS)
                    world.faults.due.append(step)
                case "compact":
                    server.compact()
                case "restart":
                    server.restart()
                case "restore" if choose.random() < 0.3:
                    server.restore(*backup)
                case "bookmark":
                    server.progress()
                case _:
                    for _ in range(choose.randrange(30)):
                        await asyncio.sleep(0)
            happened.add(step)
        world.faults.due.clear()
        if happened & {"skip", "restore"}:
            await world.relist()  # what no watch can show
        await world.settle()
        assert dict(world.reflector) == world.expected(), f"seed {seed}: {happened}"
    return happened


async def test_the_cache_equals_a_fresh_list_after_any_sequence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    happened: set[str] = set()
    for seed in range(SEQUENCES):
        happened |= await run_sequence(seed)
    assert happened >= {*FAULTS, "no streams", "compact", "restore", "recreate"}


async def test_one_request_is_list_and_watch_and_selects() -> None:
    world = World()
    for number in range(10_000):
        world.server.put(PODS, "demo", f"foreign-{number}", metadata={"labels": {"team": "x"}})
    world.put("a")
    async with running(world):
        await world.settle()
        world.put("b")
        await world.settle()
    assert set(world.reflector) == {("demo", "a"), ("demo", "b")}
    (request,) = world.server.requests
    assert request.query["labelSelector"] == "team=ours", "others' pods cost nothing"
    assert 240 <= int(request.query["timeoutSeconds"]) <= 480
    assert request.accept == "application/json"


async def test_metadata_only_in_one_namespace() -> None:
    world = World()
    world.put("a", 7)
    world.server.put(PODS, "other", "b", metadata={"labels": OURS})
    reflector = world.reflect(namespace="demo", metadata_only=True, fields="metadata.name=a")
    async with running(world):
        await world.settle()
        assert {key: seen.value for key, seen in reflector.items()} == {("demo", "a"): 0}
    (request,) = world.server.requests
    assert request.path == "/api/v1/namespaces/demo/pods"
    assert request.query["fieldSelector"] == "metadata.name=a"
    assert request.accept.startswith("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")


async def test_a_server_without_streams_is_listed_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 2)
    world = World(ApiServer(has_streams=False))
    for name in "abcde":
        world.put(name)
    async with running(world):
        await world.settle()
        assert dict(world.reflector) == world.expected()
        world.put("f")
        await world.settle()
        assert dict(world.reflector) == world.expected()
    stream, *pages, watch = world.server.requests
    assert stream.is_streamed_list
    assert [page.query["limit"] for page in pages] == ["2"] * 3
    assert int(watch.query["resourceVersion"]) >= 105, "from where the list was"
    assert world.failures == 0


async def test_a_list_that_breaks_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 1)
    world = World(ApiServer(has_streams=False))
    for name in "abc":
        world.put(name)
    async with running(world):
        await world.settle()
        world.server.refuse = lambda request: (
            ApiError(410, "too old") if "continue" in request.query else None
        )
        world.server.restart()
        world.delete("a")
        world.server.compact()
        await world.until(lambda: world.failures > 3)
        assert len(world.reflector) == 3, "what one page lacks may be in another"
        world.server.refuse = lambda request: None
        await world.settle()
        assert dict(world.reflector) == world.expected()


async def test_a_stream_that_breaks_off_before_it_is_complete_deletes_nothing() -> None:
    world = World()
    world.put("a")
    world.put("b")
    async with running(world):
        await world.settle()
        world.server.restart()
        world.delete("a")
        world.server.compact()
        world.faults.due += ["break", "garbage", "cut"]
        await world.until(lambda: not world.faults.due)
        assert len(world.reflector) == 2
        await world.settle()
        assert set(world.reflector) == {("demo", "b")}


async def test_a_deletion_during_an_expired_watch_is_reported_once() -> None:
    world = World()
    world.put("a")
    world.put("b")
    async with running(world):
        await world.settle()
        world.changes.clear()
        world.faults.due.append("refused")
        world.server.restart()
        world.delete("a")
        world.server.compact()
        await world.settle()
        ((key, old, new),) = world.changes
        assert (key, new) == (("demo", "a"), None)
        assert old
        assert not any(world.lists), "no version went back"


@pytest.mark.parametrize("is_seen", [True, False])
async def test_an_object_recreated_under_its_name_is_two_changes(is_seen: bool) -> None:
    world = World()
    world.put("a", 1)
    async with running(world):
        await world.settle()
        world.changes.clear()
        if not is_seen:
            world.server.compact()
            world.server.restart()
            world.faults.due.append("410")
        world.delete("a")
        world.put("a", 2)
        await world.settle()
    values = [(old and old.value, new and new.value) for _, old, new in world.changes]
    assert values == [(1, None), (None, 2)]


async def test_a_repeated_event_brings_nothing_back() -> None:
    world = World()
    async with running(world):
        await world.settle()
        world.put("a", 1)
        world.put("a", 2)
        world.delete("a")
        await world.until(lambda: len(world.changes) == 3)
        world.faults.due.append("repeat")
        world.put("b", 1)
        await world.settle()
    assert not world.faults.due
    assert set(world.reflector) == {("demo", "b")}
    assert [new and new.value for _, _, new in world.changes] == [1, 2, None, 1]


async def test_a_skipped_event_is_repaired_within_the_hour() -> None:
    world = World()
    world.put("a")
    async with running(world):
        await world.settle()
        world.faults.due.append("skip")
        world.delete("a")
        await world.settle()
        assert set(world.reflector) == {("demo", "a")}, "so this test proves nothing"
        await world.relist()
        assert dict(world.reflector) == {}


async def test_a_cluster_restored_from_a_backup() -> None:
    world = World()
    world.put("a", 1)
    world.put("b", 1)
    backup = dict(world.server.objects), world.server.version
    world.put("a", 2)
    world.put("c", 1)
    for _ in range(5):
        world.server.progress()
    async with running(world):
        await world.settle()
        world.server.restore(*backup)
        await world.until(lambda: len(world.lists) == 2)
        assert dict(world.reflector) == world.expected()
        assert world.lists == [False, True]
        assert world.reflector.position == backup[1]
        world.put("a", 3)
        await world.settle()
        assert dict(world.reflector) == world.expected(), "it follows the new history"


async def test_an_api_server_that_is_unavailable_for_five_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    world.put("a")
    async with running(world):
        await world.settle()
        requests = len(world.server.requests)
        world.server.refuse = lambda request: (
            ApiError(0, "connection refused") if world.now < 300 else None
        )
        world.server.restart()
        world.put("b")
        world.delete("a")
        await world.until(lambda: world.now >= 300)
        assert len(world.server.requests) - requests < 45, "with back-off"
        await world.settle()
        assert set(world.reflector) == {("demo", "b")}
    assert world.now < 300 + 20, "it is back at once"
    assert max(world.slept) <= 20
    assert len(set(world.slept)) == len(world.slept), "with jitter"
    assert len(world.lists) == 1, "it went on from where it was"
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1, "once in an outage"
    assert "are watched again" in caplog.records[-1].getMessage()


async def test_back_off_is_reset_after_an_outage() -> None:
    world = World()
    async with running(world):
        await world.settle()
        for _ in range(2):
            world.slept.clear()
            world.faults.due += ["refused", "500", "503", "429"]
            world.server.restart()
            await world.until(lambda: not world.faults.due)
            await world.settle()
            assert world.slept[0] <= 0.25
            assert world.slept[2] >= 1, "as the server asked by Retry-After"


@pytest.mark.parametrize("ends", ["list", "watch"])
async def test_a_server_that_ends_every_watch_at_once_is_retried_with_back_off(ends: str) -> None:
    world = World()

    async def watch(request: Request) -> AsyncGenerator[bytes]:
        await asyncio.sleep(0)
        if request.is_streamed_list and ends == "watch":
            yield build_bookmark(world.server.version, ends_list=True)

    world.server.watch = watch
    async with running(world):
        await world.until(lambda: world.now > 60)
    assert len(world.server.requests) < 30


async def test_a_stream_may_report_changes_before_its_list_is_complete() -> None:
    world = World()
    version = world.server.version
    world.put("a", 1)
    world.put("b", 1)
    old = dict(world.server.objects)
    world.delete("a")
    world.put("b", 2)
    objects = world.server.objects
    new, gone = objects[PODS, "demo", "b"], {"resourceVersion": str(version + 3)}
    deleted = old[PODS, "demo", "a"]
    deleted = deleted | {"metadata": deleted["metadata"] | gone}
    lines = [
        build_event("ADDED", old[PODS, "demo", "a"]),
        build_event("ADDED", old[PODS, "demo", "b"]),
        build_event("DELETED", deleted),
        build_event("MODIFIED", new),
        build_event("ADDED", old[PODS, "demo", "a"]),  # once more
        build_bookmark(world.server.version, ends_list=True),
    ]

    async def watch(request: Request) -> AsyncGenerator[bytes]:
        for line in lines:
            yield line
        await asyncio.sleep(3600)

    world.server.watch = watch
    async with running(world):
        await world.until(world.reflector.synced.is_set)
    assert dict(world.reflector) == world.expected()
    assert [new and new.value for _, _, new in world.changes] == [2]


async def test_a_list_that_ends_in_time_but_is_not_complete_is_a_failure() -> None:
    world = World()

    async def watch(request: Request) -> AsyncGenerator[bytes]:
        world.now += 300
        await asyncio.sleep(0)
        return
        yield b""

    world.server.watch = watch
    async with running(world):
        await world.until(lambda: world.failures > 3)
    assert not world.reflector.synced.is_set()


async def test_a_kind_that_is_not_installed_is_a_clear_error() -> None:
    world = World(ApiServer(known=set()))
    with pytest.raises(UnknownKindError, match="the API server has no pods; install"):
        async with asyncio.timeout(1):
            await world.reflector.run()


async def test_a_kind_that_is_removed_for_a_while_is_waited_for() -> None:
    world = World()
    world.put("a")
    async with running(world):
        await world.settle()
        world.server.known = set()
        world.server.restart()
        await world.until(lambda: world.failures > 3)
        world.server.known = None
        await world.settle()
        assert dict(world.reflector) == world.expected()


async def test_a_connection_that_died_silently_is_left_without_an_error() -> None:
    world = World()
    world.put("a")
    async with running(world):
        await world.settle()
        world.faults.due.append("silence")
        world.put("b")
        await world.settle()
        assert dict(world.reflector) == world.expected()
    assert world.failures == 0
    assert [request.is_streamed_list for request in world.watches()] == [True, False]
    assert Timing().silence_seconds <= 75


async def test_a_server_that_streams_no_end_of_the_list_is_listed_in_pages() -> None:
    world = World()
    world.put("a")
    world.faults.due.append("silence")
    async with running(world):
        await world.settle()
        assert dict(world.reflector) == world.expected()
    assert world.failures == 0
    assert [request.is_watch for request in world.server.requests] == [True, False, True]


async def test_garbage_that_is_sent_again_and_again_is_skipped_by_a_list() -> None:
    world = World()
    async with running(world):
        await world.settle()
        world.server.garble = lambda request, line: (
            [line] if request.is_streamed_list else [b"\xff"]
        )
        world.server.restart()
        world.put("a")
        await world.settle()
        assert dict(world.reflector) == world.expected()


async def test_a_bug_ends_it() -> None:
    world = World()
    world.put("a")
    reflector = Reflector(world.server, POD, lambda body: 1 / 0, world.lists.append)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ZeroDivisionError):
        await reflector.run()
