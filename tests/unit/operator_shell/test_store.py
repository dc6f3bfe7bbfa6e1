"""A write is known before its watch reports it, and a report wins once it is newer."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import project
from chatagent_operator.kube import store as store_module
from chatagent_operator.kube.store import AgentRecord, Labelled, Store, labelled, record

KEY = ("demo", "shop")
FAQ = ("demo", "faq")


def service(version: int, applied: str, uid: str = "s", agent: str = "shop") -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {
            "name": "shop",
            "namespace": "demo",
            "uid": uid,
            "resourceVersion": str(version),
            "labels": names.labels(agent, names.ROLE_GATEWAY),
            "annotations": {names.APPLIED_ANNOTATION: applied},
        },
        "spec": {"clusterIP": "10.96.0.1"},
    }


def agent(version: int, stable: str | None = None, uid: str = "u", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "shop",
            "uid": uid,
            "generation": 1,
            "resourceVersion": str(version),
        },
        "spec": {"knowledge": {"sources": [{"configMap": {"name": "faq"}}]}} | spec,
        "status": {"stableRevision": stable},
    }


def leaving(version: int) -> dict[str, Any]:
    body = service(version, "old")
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return body


class Cluster:
    """The reports of two reflectors: of ChatAgents and of Services."""

    def __init__(self) -> None:
        self.marked: list[Key] = []
        self.position = 0
        self.store = Store(self.marked.append, self.marked.append, self._position)
        self._agents: dict[Key, AgentRecord] = {}
        self._service: Labelled | None = None
        self.report_agent(agent(1))

    def report_agent(self, body: dict[str, Any] | None, key: Key = KEY) -> None:
        old, new = self._agents.pop(key, None), record(body) if body else None
        self.marked.clear()
        self.store.agent_changed(key, old, new)
        if new:
            self._agents[key] = new

    def report(self, body: dict[str, Any] | None, position: int = 0) -> None:
        new = labelled("Service", body) if body else None
        self.position = new.resource_version if new else position
        self.marked.clear()
        self.store.child_changed(KEY, self._service, new)
        self._service = new

    def applied(self, key: Key = KEY) -> str | None:
        child = self.store.observed(key).get("Service", "shop")
        return child.applied if child else None

    def stable(self) -> str | None:
        seen = self.store.agent(KEY)
        assert seen is not None
        return seen.status["stableRevision"]

    def _position(self, kind: str, namespace: str) -> int | None:
        return self.position if kind == "Service" else None


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_write_is_seen_at_once_until_the_watch_is_newer(cluster: Cluster) -> None:
    cluster.report(service(3, "old"))
    cluster.store.wrote_child(KEY, service(5, "new"))
    assert cluster.applied() == "new"
    cluster.report(service(4, "between"))
    assert cluster.applied() == "new"
    cluster.report(service(6, "later"))
    assert cluster.applied() == "later"


def test_a_written_object_that_the_watch_does_not_have_is_deleted(cluster: Cluster) -> None:
    cluster.store.wrote_child(KEY, service(5, "new"))
    cluster.position = 4
    assert cluster.applied() == "new", "the watch has not come to it yet, however long it takes"
    cluster.position = 7
    assert cluster.applied() is None


def test_a_written_object_that_was_deleted_is_not_believed_in(cluster: Cluster) -> None:
    cluster.store.wrote_child(KEY, service(5, "new"))
    cluster.store.deleted_child(KEY, "Service", "shop")
    assert cluster.applied() is None


def test_a_write_of_a_kind_that_is_not_watched_is_believed_for_a_while(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = service(5, "new") | {"kind": "HTTPRoute"}
    cluster.store.wrote_child(KEY, route)
    assert cluster.store.observed(KEY).get("HTTPRoute", "shop")
    monkeypatch.setattr(store_module, "WATCH_LAG_SECONDS", -1)
    assert not cluster.store.observed(KEY).get("HTTPRoute", "shop")


def test_a_status_is_known_before_the_watch_reports_it(cluster: Cluster) -> None:
    cluster.store.wrote_agent(KEY, agent(2, "a"))
    assert cluster.stable() == "a"
    cluster.report_agent(agent(3, "b"))
    assert cluster.stable() == "b"
    cluster.report_agent(None)
    assert cluster.store.agent(KEY) is None


def test_an_agent_that_was_recreated_has_nothing_of_the_status_that_was_written(
    cluster: Cluster,
) -> None:
    cluster.store.wrote_agent(KEY, agent(9, "a"))
    cluster.report_agent(None)
    cluster.report_agent(agent(8, "b", uid="v"))
    assert cluster.stable() == "b"
    cluster.store.wrote_agent(KEY, agent(9, "a"))
    assert cluster.stable() == "b"


def test_objects_of_others_are_not_ours() -> None:
    foreign = service(1, "x")
    foreign["metadata"]["labels"][names.MANAGED_BY_LABEL] = "Helm"
    assert project("Service", foreign) is None
    assert project("Service", leaving(1)) is None


def test_a_deletion_is_known_and_marks_the_agent_each_time(cluster: Cluster) -> None:
    cluster.report(service(3, "old"))
    assert cluster.marked == [KEY]
    cluster.report(leaving(4))
    assert cluster.applied() is None
    assert cluster.marked == [KEY]
    cluster.report(leaving(5))
    assert cluster.marked == [], "nothing that matters has changed"
    cluster.report(None, position=6)
    assert cluster.marked == [KEY], "now it can be created again"


def test_a_change_that_no_decision_depends_on_marks_no_agent(cluster: Cluster) -> None:
    cluster.report(service(3, "old"))
    cluster.report(service(4, "old"))
    assert cluster.marked == []
    cluster.report(service(5, "new"))
    assert cluster.marked == [KEY]
    cluster.report_agent(agent(2))
    assert cluster.marked == []
    cluster.report_agent(agent(3, "a"))
    assert cluster.marked == [KEY]


def test_of_two_with_one_name_the_newer_one_counts(cluster: Cluster) -> None:
    cluster.report(service(3, "old", uid="old"))
    cluster.report(None, position=6)
    cluster.report(service(7, "new", uid="new"))
    assert cluster.applied() == "new"
    assert cluster.marked == [KEY]
    cluster.store.wrote_child(KEY, service(5, "between", uid="old"))
    assert cluster.applied() == "new"


def test_an_object_that_changes_its_agent_marks_both(cluster: Cluster) -> None:
    other = ("demo", "other")
    cluster.report(service(3, "x"))
    cluster.report(service(4, "x", agent="other"))
    assert sorted(cluster.marked) == sorted([KEY, other])
    assert (cluster.applied(), cluster.applied(other)) == (None, "x")


def test_an_object_that_lost_the_label_of_its_agent_belongs_to_none(cluster: Cluster) -> None:
    cluster.report(service(3, "x"))
    body = service(4, "x")
    del body["metadata"]["labels"][names.AGENT_LABEL]
    cluster.report(body)
    assert cluster.marked == [KEY]
    assert cluster.applied() is None


def test_a_list_shows_which_written_objects_are_deleted(cluster: Cluster) -> None:
    cluster.store.wrote_child(KEY, service(5, "new"))
    cluster.position = 9
    cluster.marked.clear()
    cluster.store.listed("Pod", None, went_back=False)
    cluster.store.listed("Service", "other", went_back=False)
    assert cluster.marked == [], "of another kind, or another namespace"
    cluster.store.listed("Service", None, went_back=False)
    assert cluster.marked == [KEY]
    assert cluster.applied() is None


def test_a_write_is_known_although_its_list_is_older(cluster: Cluster) -> None:
    cluster.position = 4
    cluster.store.wrote_child(KEY, service(5, "new"))
    cluster.store.listed("Service", "demo", went_back=False)
    assert cluster.applied() == "new"


def test_nothing_that_was_written_counts_in_a_cluster_restored_from_a_backup(
    cluster: Cluster,
) -> None:
    cluster.store.wrote_child(KEY, service(50, "new"))
    cluster.store.wrote_agent(KEY, agent(51, "a"))
    cluster.position = 9
    cluster.store.listed("Service", None, went_back=True)
    cluster.store.listed("ChatAgent", None, went_back=True)
    assert cluster.applied() is None
    assert cluster.stable() is None


def test_the_agents_that_read_a_config_map_are_marked(cluster: Cluster) -> None:
    evaluation = {"analysis": {"evaluation": {"configMap": {"name": "questions"}}}}
    cluster.report_agent(agent(2, rollout=evaluation))
    cluster.report_agent(agent(2, uid="v"), ("other", "shop"))
    cluster.marked.clear()
    for name in ("faq", "questions", "unknown"):
        cluster.store.source_changed(("demo", name))
    assert cluster.marked == [KEY, KEY]
    cluster.report_agent(agent(3, knowledge={"sources": []}))
    cluster.marked.clear()
    for name in ("faq", "questions"):
        cluster.store.source_changed(("demo", name))
    assert cluster.marked == [], "it is not read any more"
    assert cluster.store.sources() == [("other", "faq")]
    cluster.report_agent(None, ("other", "shop"))
    assert cluster.store.sources() == []


@pytest.mark.parametrize(
    "spec",
    [
        {"knowledge": "all of it"},
        {"knowledge": {"sources": {"configMap": {"name": "faq"}}}},
        {"knowledge": {"sources": ["faq", None, {"configMap": "faq"}]}},
        {"knowledge": None, "rollout": {"analysis": []}},
    ],
)
def test_a_spec_of_another_version_breaks_no_index(cluster: Cluster, spec: dict[str, Any]) -> None:
    cluster.report_agent(agent(2, **spec))
    assert cluster.store.sources() == []
