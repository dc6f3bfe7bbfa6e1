"""Looks at one agent, with an API server in memory that fails when a test says so."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from chatagent_operator.core import names
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.kinds import CHILDREN, Kind
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.routes_in_force import Applied
from chatagent_operator.core.requeue import ROUTE_SECONDS
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.core.writes import Apply, Create, Delete, DesiredObject, Scale
from chatagent_operator.execute import MAX_WRITES, Executor
from chatagent_operator.kube import store
from chatagent_operator.kube.errors import ApiError, NotLeaderError, RejectedError, StaleError
from chatagent_operator.kube.rivals import Rivals
from chatagent_operator.kube.store import (
    AgentRecord,
    Labelled,
    Store,
    labelled,
    live_record,
    record,
)
from chatagent_operator.metrics import Metrics
from chatagent_operator.observe import Observer
from chatagent_operator.reconcile import Reconciler
from chatagent_operator.report import STATUS_SECONDS
from tests.unit.core.simulation import PLATFORM, Cluster, spec

KEY = ("demo", "shop")
NEW = {"uid": "", "resourceVersion": "0"}
WATCHED = {kind.name for kind in CHILDREN}
ROUTED = {"provider": "gateway-api", "parentRefs": [{"name": "public"}]}


class Kube:
    """The API server: the objects of a `Cluster`. A fake."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.agent: dict[str, Any] = {
            "metadata": {"name": "shop", "uid": "uid-1", "generation": 1, "resourceVersion": "1"},
            "spec": cluster.spec,
        }
        self.events: list[str] = []
        self.lease: Manifest = {}
        """That of another operator."""
        self.refuse: Callable[[str, str], ApiError | None] = lambda verb, kind: None
        """What it answers instead of doing what it is asked for, by verb and kind."""

    async def apply(self, manifest: Manifest, digest: str) -> Manifest:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self._may("apply", kind)
        assert (kind, name) in self.cluster.objects, "it is created first"
        self.cluster.write(Apply(DesiredObject(kind, name, digest, lambda: manifest), True))
        return self.cluster.objects[kind, name]

    async def create(self, manifest: Manifest, digest: str | None = None) -> Manifest | None:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self._may("apply", kind)
        if (kind, name) in self.cluster.objects:
            return None
        if digest:
            self.cluster.write(Apply(DesiredObject(kind, name, digest, lambda: manifest), False))
        else:
            self.cluster.write(Create(kind, name, lambda _: manifest))
        return self.cluster.objects[kind, name]

    async def find_metadata(self, kind: str, namespace: str, name: str) -> Manifest | None:
        self._may("list", kind)
        found = self.agent if kind == "ChatAgent" else self.cluster.objects.get((kind, name))
        return NEW | found["metadata"] if found else None

    async def patch_metadata(
        self, kind: str, namespace: str, name: str, metadata: Manifest
    ) -> Manifest:
        self._may("patch", kind)
        found = self.cluster.objects[kind, name]["metadata"]
        labels = found["labels"] | metadata["labels"]
        self.cluster.objects[kind, name]["metadata"] = found | metadata | {"labels": labels}
        return self.cluster.objects[kind, name]

    async def scale(self, namespace: str, name: str, replicas: int) -> Manifest:
        self.cluster.write(Scale(name, replicas))
        return self.cluster.objects["Deployment", name]

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        self._may("delete", kind)
        self._may("delete", f"{kind} {name}")
        self.cluster.write(Delete(kind, name, uid))

    async def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        self._may("find", kind)
        return self.cluster.objects.get((kind, name))

    async def list_labels(
        self, kind: Kind, namespaces: Sequence[str]
    ) -> dict[Key, Mapping[str, str]]:
        self._may("list", kind.name)
        bodies = [body for key, body in self.cluster.objects.items() if key[0] == kind.name]
        return {("demo", b["metadata"]["name"]): b["metadata"]["labels"] for b in bodies}

    async def request(self, method: str, path: str, *, limit: float = 0) -> Manifest:
        return self.lease if "/leases/" in path else {"groups": []}

    async def write_status(
        self, namespace: str, name: str, status: Manifest, uid: str, resource_version: int
    ) -> Manifest:
        metadata = self.agent["metadata"]
        if (uid, str(resource_version)) != (metadata["uid"], metadata["resourceVersion"]):
            raise StaleError(409, "the object has been modified")
        version = str(int(self.agent["metadata"]["resourceVersion"]) + 1)
        metadata = self.agent["metadata"] | {"resourceVersion": version}
        self.agent |= {"metadata": metadata, "status": status}
        return self.agent

    async def create_event(self, namespace: str, name: str, uid: str, event: EventRecord) -> None:
        self.events.append(event.reason)

    def _may(self, verb: str, kind: str) -> None:
        if error := self.refuse(verb, kind):
            raise error


class Pods:
    """Pods and gateways, which answer as the cluster says, and nothing that is measured."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def ask(self, key: Key, observed: object) -> Mapping[str, Any]:
        return {}

    async def in_force(self, key: Key, pods: object, newest: int) -> Applied:
        return self._cluster.observed().applied

    def forget(self, key: Key) -> None:
        pass

    def want(self, key: Key, wanted: object) -> None:
        pass

    def reading(self, key: Key) -> None:
        return None

    def window(self, key: Key, window: str | None) -> None:
        return None


class Documents:
    """The ConfigMap that the agent reads."""

    def __init__(self) -> None:
        self.error: ApiError | None = None
        self.last = "c0ffee"

    async def digests(self, namespace: str, wanted: Iterable[str]) -> dict[str, str]:
        if self.error:
            raise self.error
        return self.last_digests(namespace, wanted)

    def last_digests(self, namespace: str, wanted: Iterable[str]) -> dict[str, str]:
        return {name: self.last for name in wanted if name == "help"}


class World:
    """One agent, its operator, and what both see."""

    def __init__(self, operator: str | None = None, **changes: Any) -> None:
        self.cluster = Cluster(spec(**changes))
        self.kube = Kube(self.cluster)
        self.marked: set[Key] = set()
        self.seconds = 0.0
        """What the clock that times writes of details shows."""
        self.view = Store(self.marked.add, self.marked.add, self._position)
        self.documents = Documents()
        fake = cast(Any, Pods(self.cluster))
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        kube = cast(Any, self.kube)
        self._reconciler = Reconciler(
            self.view,
            cast(Any, self.documents),
            kube,
            Observer(self.view, kube, fake, fake, fake, clock=lambda: self.seconds),
            fake,
            PLATFORM,
            metrics,
            Rivals(kube, operator),
            self._now,
            lambda: self.seconds,
        )
        self._agent: AgentRecord | None = None
        self._reported: dict[tuple[str, str], Labelled] = {}

    def report(self) -> None:
        """Let the watches report everything."""
        agent = live_record(self.kube.agent)
        if agent != self._agent:
            self.view.agent_changed(KEY, self._agent, agent)
            self._agent = agent
        there = {
            key: labelled(key[0], {**body, "metadata": NEW | body["metadata"]})
            for key, body in self.cluster.objects.items()
            if key[0] in WATCHED
        }
        for key in self._reported.keys() | there.keys():
            old, new = self._reported.get(key), there.get(key)
            if old != new:
                self.view.child_changed((KEY[0], key[1]), old, new)
        self._reported = there

    def _position(self, kind: str, namespace: str) -> int | None:
        return sys.maxsize if kind in WATCHED else None

    async def settle(self) -> float | None:
        """Look until nothing changes. Returns when the next look is due."""
        for _ in range(60):
            before = str((self.kube.agent, self.cluster.objects))
            try:
                due = await self.look()
            except ApiError:
                due = 1.0
            self.cluster.controllers()
            if str((self.kube.agent, self.cluster.objects)) == before:
                return due
        raise AssertionError("it never settles")

    async def reconcile(self) -> float | None:
        """Reconcile once, at the same time."""
        return await self._reconciler.reconcile(KEY)

    async def look(self) -> float | None:
        """Reconcile once, a while later, after the watches have reported everything."""
        self.seconds += STATUS_SECONDS
        self.report()
        return await self._reconciler.reconcile(KEY)

    async def reconcile_changed(self, **changes: Any) -> float | None:
        """Change the spec, then reconcile once."""
        if {**self.cluster.spec, **changes} != self.cluster.spec:
            self.cluster.spec |= changes
            self.kube.agent["metadata"]["generation"] += 1
        return await self.look()

    async def change(self, **changes: Any) -> float | None:
        """Change the spec, then settle."""
        self.cluster.spec |= changes
        self.kube.agent["metadata"]["generation"] += 1
        return await self.settle()

    def once(self, verb: str, kind: str, error: ApiError) -> None:
        """Fail the next call of this kind."""
        left = [error]
        self.kube.refuse = lambda v, k: left.pop() if left and (v, k) == (verb, kind) else None

    def named(self, revision: str) -> list[str]:
        """Kinds of the objects of a revision that serves."""
        return sorted(kind for kind, name in self.cluster.objects if name == f"shop-{revision}")

    def _now(self) -> str:
        self.cluster.clock += 1
        return self.cluster.now()


async def test_what_is_left_of_a_revision_goes_at_the_next_try(world: World) -> None:
    one = world.kube.agent["status"]["stableRevision"]
    world.once("delete", "Service", ApiError(504, "timeout"))
    assert await world.change(image="runtime:2") is None, "nothing is left to look for"
    assert world.kube.agent["status"]["stableRevision"] != one
    assert world.named(one) == ["ControllerRevision"]


async def test_a_restart_reaches_the_pods_of_every_revision_and_creates_none() -> None:
    world = World(rollout={"steps": [{"setWeight": 5}, {"pause": {}}]})
    await world.settle()
    await world.change(image="runtime:2")
    before, status = dict(world.cluster.objects), dict(world.kube.agent["status"])
    assert status["canaryRevision"]
    at = "2026-01-01T00:10:00Z"
    world.kube.agent["metadata"]["annotations"] = {names.RESTARTED_ANNOTATION: at}
    await world.settle()
    after = world.cluster.objects
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    revisions = status["stableRevision"], status["canaryRevision"]
    assert changed == {("Deployment", f"shop-{each}") for each in revisions}
    for key in changed:
        template = after[key]["spec"]["template"]
        assert template["metadata"].pop("annotations") == {names.RESTARTED_ANNOTATION: at}
        assert after[key]["spec"] == before[key]["spec"], "nothing but the annotation differs"
    for name in ("stableRevision", "canaryRevision", "phase", "history"):
        assert world.kube.agent["status"].get(name) == status.get(name)
    assert world.kube.agent["status"]["rollout"]["weight"] == 5


async def test_a_revision_that_was_refused_leaves_nothing(world: World) -> None:
    error = RejectedError(403, "this image is not allowed")
    world.kube.refuse = lambda verb, kind: (
        error if (verb, kind) == ("apply", "Deployment") else None
    )
    await world.change(image="elsewhere:2")
    two = world.kube.agent["status"]["canaryRevision"]
    assert "Service" in world.named(two)
    assert await world.change(image="runtime:1") is None
    assert world.named(two) == ["ControllerRevision"]


async def test_a_route_of_before_that_cannot_be_read_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "WATCH_LAG_SECONDS", -1)  # as long after it was written
    world = World(gateway=ROUTED)
    await world.settle()
    error = ApiError(0, "no answer")
    world.kube.refuse = lambda verb, kind: error if (verb, kind) == ("find", "HTTPRoute") else None
    assert await world.change(gateway={}) == ROUTE_SECONDS
    assert ("HTTPRoute", "shop") in world.cluster.objects
    world.kube.refuse = lambda verb, kind: None
    assert await world.settle() is None
    assert ("HTTPRoute", "shop") not in world.cluster.objects


async def test_documents_that_cannot_be_read_are_not_missing(world: World) -> None:
    job = [name for kind, name in world.cluster.objects if kind == "Job"]
    world.documents.error = RejectedError(403, "you may not read configmaps")
    await world.change(image="runtime:2")
    assert [name for kind, name in world.cluster.objects if kind == "Job"] == job
    assert not str(world.kube.agent["status"]).count("there is no ConfigMap")
    assert world.kube.agent["status"]["observedGeneration"] == 1, "nothing was decided"
    world.documents.error = None
    await world.settle()
    assert world.kube.agent["status"]["observedGeneration"] == 2


async def test_a_status_that_was_written_since_is_not_replaced_by_an_older_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new leader's watch may be behind: the previous one counted a measurement last."""
    seen = dict(world.kube.agent)
    world.kube.agent["metadata"] = seen["metadata"] | {"resourceVersion": "999", "generation": 2}
    behind = record(seen | {"metadata": seen["metadata"] | {"generation": 2}})

    def seen_late(view: Store, key: Key) -> store.AgentRecord:
        return behind

    monkeypatch.setattr(Store, "agent", seen_late)
    world.kube.agent["status"] = newer = seen["status"] | {"replicas": 7}
    with pytest.raises(StaleError):
        await world.look()
    assert world.kube.agent["status"] == newer


@pytest.mark.parametrize("error", [NotLeaderError("PATCH", "/a"), StaleError(409, "modified")])
async def test_a_refused_write_is_not_counted_as_a_failure(world: World, error: ApiError) -> None:
    world.kube.agent["metadata"]["generation"] += 1
    world.cluster.spec["image"] = "runtime:2"
    world.kube.refuse = lambda verb, kind: error if verb == "apply" else None
    with pytest.raises(type(error)):
        await world.look()
    assert world.registry.get_sample_value("chatagent_operator_reconcile_failures_total") == 0


async def test_a_status_of_a_later_operator_stops_nothing(world: World) -> None:
    one = world.kube.agent["status"]["stableRevision"]
    world.kube.agent["status"] |= {"phase": "Migrating", "analysis": {"verdict": "Skipped"}}
    world.kube.agent["status"]["rollout"] |= {"paused": "Maintenance"}
    await world.change(image="runtime:2")
    status = world.kube.agent["status"]
    assert status["phase"] == "Ready"
    assert status["stableRevision"] != one


async def test_an_abort_does_not_wait_for_documents_and_decides_nothing_else() -> None:
    world = World()
    await world.settle()
    await world.change(image="runtime:2")
    two = world.kube.agent["status"]["canaryRevision"]
    world.documents.error = ApiError(0, "no answer")
    world.documents.last = "stale"
    objects = set(world.cluster.objects)
    command = {"id": "1", "action": "abort"}
    world.kube.agent["metadata"]["annotations"] = {names.COMMAND_ANNOTATION: json.dumps(command)}
    assert await world.look() == 0, "the rest is decided on a whole picture, which comes next"
    assert world.kube.agent["status"]["failedRevision"] == two
    assert two not in world.cluster.weights()
    assert set(world.cluster.objects) == objects, "no Job for what the documents held before"
    world.documents.error, world.documents.last = None, "c0ffee"
    await world.settle()
    assert "Deployment" not in world.named(two)


async def test_an_invalid_spec_is_reported_once(world: World) -> None:
    world.kube.events.clear()
    world.kube.agent["metadata"]["generation"] += 1
    world.cluster.spec["rollout"] = {"steps": "all"}
    for _ in range(3):
        await world.look()
    assert world.kube.events == ["InvalidSpec"]


async def test_a_new_leader_goes_by_the_status_that_was_written_last(world: World) -> None:
    """Its watch is behind: without a list it would take back what another leader decided."""
    await world.change(image="runtime:2", rollout={"steps": [{"setWeight": 50}, {"pause": {}}]})
    stale = record(world.kube.agent | {"status": {}})
    world.view.agent_changed(KEY, world.view.agent(KEY), replace(stale, resource_version=1))
    world.view.wrote_agent(KEY, world.kube.agent)  # as after the list with which it begins
    weights = world.cluster.weights()
    await world.reconcile()
    assert world.cluster.weights() == weights
    assert sorted(weights.values()) == [50, 50]


async def test_details_of_a_status_are_written_together(world: World) -> None:
    redis = world.cluster.objects["StatefulSet", "shop-redis"]["status"]

    async def report(available: int) -> float | None:
        redis["availableReplicas"] = available
        world.report()
        return await world.reconcile()

    ready = world.kube.agent["status"]
    assert await report(0) is None
    starting = world.kube.agent["status"]
    assert starting != ready, "the first one is written at once"
    world.seconds += 1
    assert await report(1) == STATUS_SECONDS - 1
    assert world.kube.agent["status"] == starting
    world.seconds += STATUS_SECONDS - 1
    assert await world.reconcile() is None
    assert world.kube.agent["status"] != starting


async def test_a_decision_is_written_at_once(world: World) -> None:
    world.cluster.spec["image"] = "runtime:2"
    world.kube.agent["metadata"]["generation"] += 1
    world.report()
    await world.reconcile()
    assert world.kube.agent["status"]["canaryRevision"]


async def test_one_list_says_which_agents_have_a_route() -> None:
    world = World()
    asked: list[tuple[str, str]] = []
    world.kube.refuse = lambda verb, kind: asked.append((verb, kind))
    await world.settle()
    await world.settle()
    assert asked.count(("list", "HTTPRoute")) == 1
    assert ("find", "HTTPRoute") not in asked


async def test_routes_that_cannot_be_listed_are_asked_for_again() -> None:
    world = World()
    error = ApiError(0, "no answer")
    world.kube.refuse = lambda verb, kind: error if verb == "list" else None
    assert await world.settle() == ROUTE_SECONDS
    assert world.kube.agent["status"]["phase"] == "Ready", "nothing waits for it"
    world.kube.refuse = lambda verb, kind: None
    world.seconds += ROUTE_SECONDS
    assert await world.settle() is None


async def let_tasks_run() -> None:
    """Let every task run until it waits for something outside of this process."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_weights_do_not_wait_for_objects_of_other_agents() -> None:
    started: list[str] = []
    may_end = asyncio.Event()

    class Slow:
        async def apply(self, manifest: Manifest, digest: str) -> Manifest:
            started.append(manifest["metadata"]["name"])
            await may_end.wait()
            return manifest

    def desired(name: str, is_weight: bool) -> Apply:
        body = {"kind": "ConfigMap", "metadata": {"name": name}}
        return Apply(DesiredObject("ConfigMap", name, "", lambda: body, is_weight=is_weight), True)

    executor = Executor(Store(), cast(Any, Slow()), Metrics(CollectorRegistry()))
    many = tuple(desired(f"object-{n}", is_weight=False) for n in range(MAX_WRITES))
    bulk = [asyncio.create_task(executor.execute((name, "other"), many)) for name in ("a", "b")]
    await let_tasks_run()
    assert len(started) == MAX_WRITES, "more writes only wait in the API server"
    weights = asyncio.create_task(executor.execute(KEY, (desired("weights", is_weight=True),)))
    await let_tasks_run()
    assert started[MAX_WRITES:] == ["weights"]
    may_end.set()
    await asyncio.gather(*bulk, weights)
    assert len(started) == 2 * MAX_WRITES + 1
