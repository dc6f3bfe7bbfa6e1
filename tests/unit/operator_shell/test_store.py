"""A write is known before the watch reports it, and a report wins once it is newer."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.observed import project
from chatagent_operator.kube import store as store_module
from chatagent_operator.kube.store import Store, record

KEY = ("demo", "shop")


def service(version: int, applied: str) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {
            "name": "shop",
            "resourceVersion": str(version),
            "labels": names.labels("shop", names.ROLE_GATEWAY),
            "annotations": {names.APPLIED_ANNOTATION: applied},
        },
        "spec": {"clusterIP": "10.96.0.1"},
    }


def agent(version: int, stable: str | None) -> dict[str, Any]:
    return {
        "metadata": {"uid": "u", "generation": 1, "resourceVersion": str(version)},
        "spec": {},
        "status": {"stableRevision": stable},
    }


class Cluster:
    """The indices as kopf fills them."""

    def __init__(self) -> None:
        self.agents: dict[Any, list[Any]] = {KEY: [record(agent(1, None))]}
        self.services: dict[Any, list[Any]] = {}
        self.store = Store(self.agents, {}, {"Service": self.services})

    def applied(self) -> str | None:
        child = self.store.observed(KEY).get("Service", "shop")
        return child.applied if child else None


def test_a_write_is_seen_at_once_until_the_watch_is_newer() -> None:
    cluster = Cluster()
    cluster.services[KEY] = [project("Service", service(3, "old"))]
    cluster.store.wrote_child(KEY, service(5, "new"))
    assert cluster.applied() == "new"
    cluster.services[KEY] = [project("Service", service(4, "between"))]
    assert cluster.applied() == "new"
    cluster.services[KEY] = [project("Service", service(6, "later"))]
    assert cluster.applied() == "later"


def test_a_written_object_that_is_gone_is_not_believed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    cluster.store.wrote_child(KEY, service(5, "new"))
    cluster.store.deleted_child(KEY, "Service", "shop")
    assert cluster.applied() is None
    cluster.store.wrote_child(KEY, service(7, "again"))
    monkeypatch.setattr(store_module, "WATCH_LAG_SECONDS", -1)
    assert cluster.applied() is None, "no watch has ever seen it"


def test_a_status_is_known_before_the_watch_brings_it() -> None:
    cluster = Cluster()
    cluster.store.wrote_agent(KEY, agent(2, "a"))
    seen = cluster.store.agent(KEY)
    assert seen is not None
    assert seen.status["stableRevision"] == "a"
    cluster.agents[KEY] = [record(agent(3, "b"))]
    seen = cluster.store.agent(KEY)
    assert seen is not None
    assert seen.status["stableRevision"] == "b"
    del cluster.agents[KEY]
    assert cluster.store.agent(KEY) is None


def test_objects_of_others_are_not_ours() -> None:
    foreign = service(1, "x")
    foreign["metadata"]["labels"][names.MANAGED_BY_LABEL] = "Helm"
    assert project("Service", foreign) is None
    leaving = service(1, "x")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert project("Service", leaving) is None
