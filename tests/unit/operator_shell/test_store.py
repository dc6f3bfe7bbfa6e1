"""A write is known before the watch reports it, and a report wins once it is newer.

And what no watch reported to be gone is hidden once an audit says so.
"""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.observed.objects import project
from chatagent_operator.kube import store as store_module
from chatagent_operator.kube.store import Listing, Source, Store, record

KEY = ("demo", "shop")


def service(version: int, applied: str, uid: str = "s") -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {
            "name": "shop",
            "uid": uid,
            "resourceVersion": str(version),
            "labels": names.labels("shop", names.ROLE_GATEWAY),
            "annotations": {names.APPLIED_ANNOTATION: applied},
        },
        "spec": {"clusterIP": "10.96.0.1"},
    }


def agent(version: int, stable: str | None, uid: str = "u") -> dict[str, Any]:
    return {
        "metadata": {
            "name": "shop",
            "uid": uid,
            "generation": 1,
            "resourceVersion": str(version),
        },
        "spec": {"knowledge": {"sources": [{"configMap": {"name": "faq"}}]}},
        "status": {"stableRevision": stable},
    }


class Cluster:
    """The indices as kopf fills them."""

    def __init__(self) -> None:
        self.agents: dict[Any, list[Any]] = {KEY: [record(agent(1, None))]}
        self.services: dict[Any, list[Any]] = {}
        self.config_maps: dict[Any, list[Any]] = {}
        self.sources: dict[Any, list[Any]] = {}
        children = {"Service": self.services, "ConfigMap": self.config_maps}
        self.store = Store(self.agents, self.sources, children)

    def applied(self) -> str | None:
        child = self.store.observed(KEY).get("Service", "shop")
        return child.applied if child else None

    def audit(
        self, kind: str, version: int, *uids: str, namespace: str | None = None
    ) -> set[tuple[Any, str]]:
        return self.store.audit(Listing(kind, namespace, version, frozenset(uids)))

    def gone(self) -> set[str]:
        return set(self.store._gone)  # pyright: ignore[reportPrivateUsage]


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


def test_what_a_list_lacks_is_gone_and_is_told_once() -> None:
    cluster = Cluster()
    cluster.services[KEY] = [project("Service", service(3, "old"))]
    assert cluster.audit("Service", 9, "s") == set()
    assert cluster.applied() == "old"
    assert cluster.audit("Service", 9) == {(KEY, "shop")}
    assert cluster.applied() is None
    assert cluster.audit("Service", 11) == set(), "it is known by now"
    assert cluster.applied() is None


def test_what_is_younger_than_a_list_is_there() -> None:
    cluster = Cluster()
    cluster.services[KEY] = [project("Service", service(9, "new"))]
    assert cluster.audit("Service", 8) == set()
    assert cluster.applied() == "new"


def test_a_list_says_nothing_of_other_kinds_and_namespaces() -> None:
    cluster = Cluster()
    cluster.services[KEY] = [project("Service", service(3, "old"))]
    cluster.audit("ConfigMap", 9)
    cluster.audit("Service", 9, namespace="other")
    assert cluster.applied() == "old"
    cluster.audit("Service", 9, namespace="demo")
    assert cluster.applied() is None


def test_a_write_is_known_though_its_list_came_before_it() -> None:
    cluster = Cluster()
    cluster.store.wrote_child(KEY, service(5, "new"))
    cluster.audit("Service", 9)
    assert cluster.applied() == "new"


def test_what_is_given_its_labels_back_is_there_again() -> None:
    cluster = Cluster()
    cluster.services[KEY] = [project("Service", service(3, "old"))]
    cluster.audit("Service", 9)
    cluster.services[KEY] = [project("Service", service(10, "again"))]
    assert cluster.applied() == "again"


@pytest.mark.parametrize("uids", [("old", "new"), ("new", "old")])
def test_of_two_with_one_name_the_newer_one_counts(uids: tuple[str, str]) -> None:
    cluster = Cluster()
    versions = {"old": 3, "new": 7}
    cluster.services[KEY] = [
        project("Service", service(versions[uid], uid, uid=uid)) for uid in uids
    ]
    cluster.agents[KEY] = [record(agent(versions[uid], uid, uid=uid)) for uid in uids]
    cluster.sources["demo"] = [Source("faq", uid, versions[uid], uid) for uid in uids]
    for _ in range(2):
        assert cluster.applied() == "new"
        seen = cluster.store.agent(KEY)
        assert seen is not None
        assert seen.uid == "new"
        assert cluster.store.observed(KEY).sources == {"faq": "new"}
        for kind in ("Service", "ChatAgent", "ConfigMap"):
            cluster.audit(kind, 9, "new")  # nothing changes


def test_a_ghost_agent_is_none() -> None:
    cluster = Cluster()
    assert cluster.audit("ChatAgent", 9) == {(KEY, "shop")}
    assert cluster.store.agent(KEY) is None


def test_who_reads_a_source_is_told_that_it_is_gone() -> None:
    cluster = Cluster()
    cluster.sources["demo"] = [Source("faq", "a", 3, "x"), Source("other", "b", 3, "y")]
    assert cluster.audit("ConfigMap", 9) == {(KEY, "faq")}
    assert cluster.store.observed(KEY).sources == {}


def test_what_the_indices_have_dropped_is_forgotten() -> None:
    cluster = Cluster()
    cluster.store.lost_agent("u")
    cluster.services[KEY] = [project("Service", service(3, "old"))]
    cluster.audit("Service", 9)
    assert cluster.gone() == {"u", "s"}
    cluster.services.clear()
    cluster.audit("Service", 10)
    assert cluster.gone() == {"u"}, "a watch may yet bring the agent's last state"
    cluster.agents.clear()
    cluster.audit("Service", 11)
    assert cluster.gone() == set()
