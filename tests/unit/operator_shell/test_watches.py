"""What is watched where, and that each report reaches the part that needs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

from chatagent_operator.core import names
from chatagent_operator.core.kinds import (
    CHAT_AGENT,
    CHILDREN,
    CONFIG_MAP,
    EVENT,
    REGISTRY,
    SECRET,
)
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.facts import PodFacts
from chatagent_operator.kube import watches as watches_module
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.reflector import Timing
from chatagent_operator.kube.watches import OTHERS, OURS, Watches
from tests.unit.operator_shell.api_server import ApiServer

CONFIG_MAPS = CONFIG_MAP.path()
PODS = REGISTRY["Pod"].path()
OWN = {"labels": names.labels("shop", names.ROLE_GATEWAY)}


class World:
    """Two namespaces that are watched, and a third."""

    def __init__(self, *namespaces: str) -> None:
        self.server = ApiServer()
        self.marked: list[Key] = []
        timing = Timing(first_pause=0.001, last_pause=0.001)
        self.watches = Watches(
            cast(Any, self.server),
            namespaces,
            self.marked.append,
            self.marked.append,
            timing=timing,
        )
        for namespace in ("a", "b", "c"):
            sources = [{"configMap": {"name": "faq"}}]
            spec = {"knowledge": {"sources": sources}}
            metadata: dict[str, Any] = {"generation": 1}
            self.server.put(CHAT_AGENT.path(), namespace, "shop", metadata=metadata, spec=spec)
            self.server.put(CONFIG_MAPS, namespace, "faq", data={"a.md": namespace})
            self.server.put(PODS, namespace, "pod", metadata=dict(OWN))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        tasks = [asyncio.create_task(each) for each in self.watches.run()]
        try:
            async with asyncio.timeout(10):
                await self.watches.wait_until_synced()
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)

    def pods(self, namespace: str) -> set[str]:
        return {name for _, name in self.watches.store.observed((namespace, "shop")).children}


async def test_everything_is_watched_everywhere() -> None:
    world = World()
    async with world.running():
        assert set(world.watches.store.keys()) == {(each, "shop") for each in "abc"}
        assert world.pods("c") == {"pod"}
    assert len(world.server.requests) == len(CHILDREN) + 4
    selectors = {
        (request.path, request.query.get("labelSelector")): request.accept
        for request in world.server.requests
    }
    for kind in CHILDREN:
        accepted = selectors.pop((kind.path(), OURS))
        assert ("PartialObjectMetadata" in accepted) == (kind is SECRET), "no Secret is read"
    assert "PartialObjectMetadata" in selectors.pop((CONFIG_MAPS, OTHERS))
    assert set(selectors) == {(CHAT_AGENT.path(), None), (EVENT.path(), None)}
    of_events = {
        request.query["fieldSelector"]
        for request in world.server.requests
        if request.path == EVENT.path()
    }
    assert of_events == {
        "reason=FailedCreate,type=Warning",
        "involvedObject.kind=Pod,type=Warning,reason!=BackOff,reason!=Failed,"
        "reason!=FailedScheduling,reason!=Unhealthy",
    }


STATEFUL_SETS = REGISTRY["StatefulSet"].path()
WITHOUT_PODS: dict[str, Any] = {"spec": {"replicas": 2}, "status": {"replicas": 1}}
WITH_PODS: dict[str, Any] = {"spec": {"replicas": 2}, "status": {"replicas": 2}}


def put_refusal(
    world: World,
    about: dict[str, Any],
    message: str = "no quota",
    reason: str = "FailedCreate",
) -> None:
    name, since = f"e-{about['uid']}", "2026-01-01T00:00:00Z"
    said: dict[str, Any] = {"involvedObject": about, "message": message, "firstTimestamp": since}
    world.server.put(EVENT.path(), "a", name, type="Warning", reason=reason, **said)


async def test_refused_pods_are_told_until_they_are_there() -> None:
    world = World()
    refused = world.watches.store.observed

    def put_set(**body: Any) -> dict[str, Any]:
        made = world.server.put(STATEFUL_SETS, "a", "shop-redis", metadata=dict(OWN), **body)
        return {"kind": "StatefulSet", "name": "shop-redis", "uid": made["metadata"]["uid"]}

    about = put_set(**WITHOUT_PODS)
    async with world.running():
        world.marked.clear()
        put_refusal(world, about | {"uid": "of one that is gone"})
        await world.until(lambda: ("a", "shop") in world.marked)
        assert not refused(("a", "shop")).refused
        world.marked.clear()
        put_refusal(world, about)
        await world.until(lambda: ("a", "shop") in world.marked)
        (trouble,) = refused(("a", "shop")).refused.values()
        assert (trouble.reason, trouble.message) == ("PodsCannotBeMade", "no quota")
        assert not refused(("b", "shop")).refused
        put_refusal(world, about, "still no quota")
        await world.until(
            lambda: (
                [each.message for each in refused(("a", "shop")).refused.values()]
                == ["still no quota"]
            )
        )
        put_set(**WITH_PODS)
        await world.until(lambda: not refused(("a", "shop")).refused)
        world.marked.clear()
        put_set(**WITHOUT_PODS)  # one of its pods is replaced
        await world.until(lambda: ("a", "shop") in world.marked)
        assert not refused(("a", "shop")).refused, "an old Event counts no more"
        put_refusal(world, about, "no quota again")
        await world.until(lambda: bool(refused(("a", "shop")).refused))
        world.server.delete(EVENT.path(), "a", f"e-{about['uid']}")
        await world.until(lambda: not refused(("a", "shop")).refused)


async def test_what_the_kubelet_says_of_a_pod_counts_until_it_is_prepared() -> None:
    world = World()
    missing = 'MountVolume.SetUp failed for volume "ca" : secret "ca" not found'

    def put_pod(status: str, **container: Any) -> dict[str, Any]:
        condition = {"type": "PodReadyToStartContainers", "status": status}
        told = {"phase": "Pending", "conditions": [condition], "containerStatuses": [container]}
        made = world.server.put(PODS, "a", "pod", metadata=dict(OWN), status=told)
        return {"kind": "Pod", "name": "pod", "uid": made["metadata"]["uid"]}

    def told() -> str | None:
        facts = world.watches.store.observed(("a", "shop")).children["Pod", "pod"].facts
        assert isinstance(facts, PodFacts)
        return f"{facts.trouble.reason}: {facts.trouble.message}" if facts.trouble else None

    waiting: dict[str, Any] = {"name": "x", "state": {"waiting": {"reason": "ContainerCreating"}}}
    about = put_pod("False", **waiting)
    async with world.running():
        world.marked.clear()
        put_refusal(world, about | {"uid": "of its predecessor"}, missing, "FailedMount")
        await world.until(lambda: ("a", "shop") in world.marked)
        assert told() is None
        put_refusal(world, about, missing, "FailedMount")
        await world.until(lambda: told() == f"SecretNotFound: {missing}")
        put_refusal(world, about, "no IP address is left", "FailedCreatePodSandBox")
        await world.until(lambda: told() == "FailedCreatePodSandBox: no IP address is left")
        put_pod("True", **waiting)  # its image is pulled now
        await world.until(lambda: told() is None)
        put_refusal(world, about, missing, "FailedMount")  # a volume is refreshed
        world.marked.clear()
        put_pod("True", name="x", state={"running": {}})
        await world.until(lambda: ("a", "shop") in world.marked)
        assert told() is None


async def test_events_of_others_are_not_kept() -> None:
    world = World()
    put_refusal(world, {"kind": "ReplicaSet", "name": "shop", "uid": "1"})
    async with world.running():
        assert not world.watches.store.observed(("a", "shop")).refused


async def test_nothing_waits_for_events() -> None:
    world = World()
    world.server.refuse = lambda request: (
        ApiError(403, "forbidden") if request.path == EVENT.path() else None
    )
    async with world.running():
        assert world.watches.store.keys()


async def test_only_some_namespaces_are_watched() -> None:
    world = World("a", "b")
    async with world.running():
        assert set(world.watches.store.keys()) == {("a", "shop"), ("b", "shop")}
        assert (world.pods("a"), world.pods("c")) == ({"pod"}, set())
        assert len(await world.watches.sources.digests("b", ["faq"])) == 1
    assert {request.namespace for request in world.server.requests} == {"a", "b"}


async def test_a_config_map_with_the_operators_label_is_a_source_too() -> None:
    world = World()
    metadata = {"labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY}}
    world.server.put(CONFIG_MAPS, "a", "faq", metadata=metadata, data={"a.md": "one"})
    async with world.running():
        seen = world.watches.sources._find(("a", "faq"))  # pyright: ignore[reportPrivateUsage]
        assert seen
        world.marked.clear()
        world.server.put(CONFIG_MAPS, "a", "faq", metadata=metadata, data={"a.md": "two"})
        await world.until(lambda: ("a", "shop") in world.marked)


async def test_a_write_that_the_watch_went_past_is_gone() -> None:
    world = World()
    async with world.running():
        written = world.server.put(PODS, "a", "new", metadata=dict(OWN)) | {"kind": "Pod"}
        world.server.delete(PODS, "a", "new")
        world.watches.store.wrote_child(("a", "shop"), written)
        assert world.pods("a") == {"pod", "new"}
        await world.until(lambda: world.pods("a") == {"pod"})


async def test_contents_are_listed_where_there_are_many(monkeypatch: Any) -> None:
    monkeypatch.setattr(watches_module, "MOST_READ_ONE_BY_ONE", 2)
    world = World()
    async with world.running():
        watched = len(world.server.requests)
        await world.watches.read_sources()
        for namespace in "abc":
            assert await world.watches.sources.digests(namespace, ["faq"])
        (listed,) = world.server.requests[watched:]
        assert listed.accept == "application/json"
        await world.watches.read_sources()
        assert len(world.server.requests) == watched + 1, "they are known"


async def test_nothing_is_known_of_contents_after_a_restore_from_a_backup() -> None:
    world = World()
    backup = dict(world.server.objects), world.server.version
    world.server.put(CONFIG_MAPS, "a", "faq", data={"a.md": "new"})
    for _ in range(5):
        world.server.progress()
    async with world.running():
        new = await digest(world)
        world.server.restore(*backup)
        await world.until(lambda: not world.watches.sources.is_known(("a", "faq")))
        assert await digest(world) != new


async def digest(world: World) -> str:
    find = world.watches.sources._find  # pyright: ignore[reportPrivateUsage]
    assert find(("a", "faq"))
    body = world.server.objects[CONFIG_MAPS, "a", "faq"]
    return world.watches.sources.remember(("a", "faq"), body)
