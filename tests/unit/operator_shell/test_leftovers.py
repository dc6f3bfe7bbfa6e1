"""After a ChatAgent is deleted nothing of it remains in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from chatagent_operator.core import names
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.rivals import Rivals
from chatagent_operator.kube.sources import Sources
from chatagent_operator.kube.store import Source, Store, labelled, record
from chatagent_operator.metrics import Metrics
from chatagent_operator.observe import Observer
from chatagent_operator.queue import KeyedQueue
from chatagent_operator.reconcile import Reconciler
from chatagent_operator.signals.analyst import Analyst
from chatagent_operator.signals.gateway import Gateways
from chatagent_operator.signals.readiness import Readiness
from tests.unit.core.simulation import PLATFORM, Cluster, spec
from tests.unit.operator_shell.test_reconcile import KEY, NEW, ROUTED, WATCHED, Kube

GATEWAY_POD = {
    "metadata": {
        "namespace": "demo",
        "name": "shop-gateway-1",
        "labels": names.labels("shop", names.ROLE_GATEWAY),
        "resourceVersion": "1",
    },
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"},
}


class Pods:
    """A gateway that does what it is told, and pods of agents that do not answer. A fake."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def fetch(self, url: str, *_: Any) -> tuple[int, bytes]:
        applied = self._cluster.observed().applied
        body = {"generation": applied.generation, "reached": sorted(applied.reached)}
        return (200, json.dumps(body).encode()) if url.endswith("/applied") else (503, b"")


class Operator:
    """Everything that the operator knows, with an API server in memory."""

    def __init__(self, **changes: Any) -> None:
        self.cluster = Cluster(spec(**changes))
        self.kube = Kube(self.cluster)
        self.cluster.objects["Pod", "shop-gateway-1"] = dict(GATEWAY_POD)
        kube, pods = cast(Any, self.kube), cast(Any, Pods(self.cluster))
        self.sources = Sources(lambda key: Source("uid", 1), self._read_source)
        self.store = Store(
            self._mark, self._mark, lambda kind, namespace: 10**9, self.sources.forget
        )
        self.gateways = Gateways(pods)
        registry = CollectorRegistry()
        self.analyst = Analyst(pods, pods, self._mark, cast(Any, None), registry=registry)
        self.observer = Observer(self.store, kube, Readiness(pods), self.gateways, self.analyst)
        self.reconciler = Reconciler(
            self.store, self.sources, kube, self.observer, self.analyst, PLATFORM,
            Metrics(registry), Rivals(kube, None), self._now,
        )  # fmt: skip
        self.queue = KeyedQueue(self.reconciler.reconcile)
        self._agent = self._children = cast(Any, None)

    async def look(self) -> None:
        """Report everything to the store, and reconcile."""
        agent = record(self.kube.agent)
        self.store.agent_changed(KEY, self._agent, agent)
        self._agent = agent
        children = {
            key: labelled(key[0], {**body, "metadata": NEW | body["metadata"]})
            for key, body in self.cluster.objects.items()
            if key[0] in WATCHED
        }
        for key, child in children.items():
            self.store.child_changed((KEY[0], key[1]), (self._children or {}).get(key), child)
        self._children = children
        self.queue.mark(KEY)
        await self.idle()
        self.cluster.controllers()

    async def delete(self) -> None:
        """Delete the agent, and all that it owned."""
        self.store.agent_changed(KEY, self._agent, None)
        for key, child in self._children.items():
            self.store.child_changed((KEY[0], key[1]), child, None)
        await self.idle()
        await asyncio.sleep(0)  # for the callbacks of tasks that ended

    async def idle(self) -> None:
        """Wait until no work is in progress."""
        async with asyncio.timeout(20):
            while tasks := list(vars(self.queue)["_tasks"].values()):
                await asyncio.wait(tasks)

    def remains(self) -> list[str]:
        """Where the agent, its namespace or its objects are named."""
        parts = ("store", "sources", "gateways", "analyst", "observer", "reconciler", "queue")
        seen = {id(self.kube), id(self.cluster)}
        return [at for part in parts for at in _find(getattr(self, part), part, seen)]

    async def _read_source(self, method: str, path: str) -> Mapping[str, Any]:
        return {"metadata": {"uid": "uid", "resourceVersion": "1"}, "data": {}}

    def _mark(self, key: tuple[str, str]) -> None:
        self.queue.mark(key)

    def _now(self) -> str:
        self.cluster.clock += 1
        return self.cluster.now()


def _find(value: object, at: str, seen: set[int]) -> Iterator[str]:
    if isinstance(value, str):
        if value in KEY or "shop" in value:
            yield at
        return
    ignored = (bytes, int, float, type, ModuleType, FunctionType, MethodType, CollectorRegistry)
    if value is None or isinstance(value, ignored) or id(value) in seen:
        return
    if not isinstance(value, tuple):  # a key is one object in many places
        seen.add(id(value))
    if isinstance(value, Mapping):
        for key, inside in list(cast(Mapping[object, object], value).items()):
            yield from _find(key, f"{at}, key", seen)
            yield from _find(inside, f"{at}[{key!r}]", seen)
    elif isinstance(value, list | tuple | set | frozenset):
        for inside in cast(list[object], value):
            yield from _find(inside, f"{at}[…]", seen)
    elif hasattr(value, "__dict__"):
        for name, inside in vars(value).items():
            yield from _find(inside, f"{at}.{name}", seen)
    elif is_dataclass(value):
        for name in value.__dataclass_fields__:
            yield from _find(getattr(value, name), f"{at}.{name}", seen)


@pytest.mark.parametrize("gateway", [{}, ROUTED], ids=["haproxy", "gateway-api"])
async def test_nothing_is_left_of_a_deleted_agent(gateway: dict[str, Any]) -> None:
    steps: list[Any] = [{"setWeight": 50}, {"analysis": {}}]
    operator = Operator(gateway=gateway, rollout={"steps": steps})
    for _ in range(6):
        await operator.look()
    operator.cluster.spec["image"] = "runtime:2"
    operator.kube.agent["metadata"]["generation"] += 1
    for _ in range(12):
        await operator.look()
    remains = operator.remains()
    # Another one, which fails.
    operator.cluster.spec["image"] = "runtime:3"
    operator.kube.agent["metadata"]["generation"] += 1
    operator.kube.refuse = lambda verb, kind: ApiError(0, "no answer")
    await operator.look()
    remains += operator.remains()
    known = [
        "store._agents", "store._children", "store._readers", "sources._digests", "queue._failures",
        "queue._timers", "reconciler._agents", "reconciler._executor._shares",
        "reconciler._executor._failed",
        "reconciler._reporter._reported",
        *(("observer._routed",) if gateway else ("gateways._behind", "analyst._watches")),
    ]  # fmt: skip
    unused = [each for each in known if not any(at.startswith(each) for at in remains)]
    assert unused == []
    await operator.delete()
    assert operator.remains() == []
    await operator.analyst.close()
    await operator.queue.close()
