"""The state of each agent as Prometheus sees it."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from chatagent_operator.api.group import API_VERSION, KIND
from chatagent_operator.kube.store import Store, record
from chatagent_operator.metrics import Metrics

CONDITIONS = [
    {"type": "Ready", "status": "True"},
    {"type": "Degraded", "status": "False"},
    {"type": "IndexReady", "status": "Unknown"},
]


def body(name: str = "shop", version: int = 1, **status: Any) -> dict[str, Any]:
    metadata = {"namespace": "demo", "name": name, "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata | {"generation": 1},
            "spec": {}, "status": status}  # fmt: skip


class Scraped:
    """An operator that knows some agents."""

    def __init__(self, *bodies: dict[str, Any]) -> None:
        self.store = Store()
        self.registry = CollectorRegistry(auto_describe=True)
        self.metrics = Metrics(self.registry)
        self.metrics.export_agents(self.store.statuses)
        self.metrics.set_leader(True)
        for each in bodies:
            self.store.agent_changed(("demo", each["metadata"]["name"]), None, record(each))

    def series(self) -> dict[tuple[str, ...], float]:
        """Series of agents by name and values of their labels."""
        return {
            (sample.name.removeprefix("chatagent_"), *sample.labels.values()): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if "namespace" in sample.labels
        }

    def of(self, name: str) -> float:
        return self.series()[name, "demo", "shop"]


def test_an_agent_in_a_rollout() -> None:
    found = Scraped(body(phase="Canary", conditions=CONDITIONS, rollout={"weight": 20})).series()
    assert found == {
        ("phase", "demo", "shop", "Canary"): 1,
        ("condition", "demo", "shop", "Ready", "true"): 1,
        ("condition", "demo", "shop", "Degraded", "false"): 1,
        ("condition", "demo", "shop", "IndexReady", "unknown"): 1,
        ("canary_weight", "demo", "shop"): 20,
        ("paused", "demo", "shop"): 0,
        ("rollout_failed", "demo", "shop"): 0,
    }


def test_a_new_agent_has_no_phase() -> None:
    found = Scraped(body()).series()
    assert {key[0] for key in found} == {"canary_weight", "paused", "rollout_failed"}
    assert set(found.values()) == {0}


def test_a_rollout_that_is_paused() -> None:
    assert Scraped(body(conditions=[{"type": "Paused", "status": "True"}])).of("paused") == 1


def test_a_rollout_that_the_operator_rolled_back_has_failed_and_one_aborted_has_not() -> None:
    for reason, failed in (("AnalysisFailed", 1), ("Aborted", 0)):
        scraped = Scraped(body(failedRevision="a", failedReason=reason))
        assert scraped.of("rollout_failed") == failed


def test_a_status_is_seen_as_soon_as_it_is_written() -> None:
    scraped = Scraped(body(phase="Ready", rollout={"weight": 20}))
    scraped.store.wrote_agent(("demo", "shop"), body(version=2, rollout={"weight": 50}))
    assert scraped.of("canary_weight") == 50


def test_nothing_is_left_of_an_agent_that_is_deleted() -> None:
    one, other = body(phase="Ready"), body("other", phase="Ready")
    scraped = Scraped(one, other)
    scraped.store.agent_changed(("demo", "shop"), record(one), None)
    assert {key[2] for key in scraped.series()} == {"other"}


def test_a_standby_has_no_metrics_of_agents() -> None:
    scraped = Scraped(body(phase="Ready"))
    scraped.metrics.set_leader(False)
    assert scraped.series() == {}
