"""The operator's metrics for Prometheus: its own, and the state of each ChatAgent."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chatagent_operator.core.names import Key
from chatagent_operator.core.writes import Write
from chatagent_operator.kube.errors import NotLeaderError, StaleError

Statuses = Callable[[], Iterable[tuple[Key, Mapping[str, Any]]]]
"""Returns the key and the status of each ChatAgent. It is called in a thread."""


class Metrics:
    """Counters and histograms of one operator."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._is_leader = False
        self._seconds = Histogram(
            "chatagent_operator_reconcile_seconds",
            "Time of one reconciliation of one agent",
            registry=registry,
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
        )
        self._failures = Counter(
            "chatagent_operator_reconcile_failures",
            "Reconciliations that failed and are retried",
            registry=registry,
        )
        self._leader = Gauge(
            "chatagent_operator_leader",
            "1 where this replica reconciles, 0 where it is a standby",
            registry=registry,
        )
        self._writes = Counter(
            "chatagent_operator_writes", "Writes of children", ["action"], registry=registry
        )

    @contextmanager
    def time_reconciliation(self) -> Generator[None]:
        """Measure one reconciliation."""
        with self._seconds.time():
            try:
                yield
            except (NotLeaderError, StaleError):
                raise  # reconciled by the leader, or again from the current state
            except Exception:
                self._failures.inc()
                raise

    def set_leader(self, is_leader: bool) -> None:
        """Report whether this replica reconciles."""
        self._is_leader = is_leader
        self._leader.set(is_leader)

    def export_agents(self, statuses: Statuses) -> None:
        """Report the state of each ChatAgent, while this replica leads."""
        self.registry.register(AgentCollector(lambda: statuses() if self._is_leader else ()))

    def count_write(self, write: Write) -> None:
        """Count one write."""
        self._writes.labels(type(write).__name__.lower()).inc()


class AgentCollector(Collector):
    """Reads the state of each ChatAgent from its status when it is scraped: nothing is kept, so
    that nothing is left of an agent that is deleted."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return at most 17 series for each agent."""
        agent = ("namespace", "name")
        phase = GaugeMetricFamily(
            "chatagent_phase", "1 for the phase of the agent", labels=(*agent, "phase")
        )
        condition = GaugeMetricFamily(
            "chatagent_condition",
            "1 for the status of each condition of the agent: true, false or unknown",
            labels=(*agent, "type", "status"),
        )
        weight = GaugeMetricFamily(
            "chatagent_canary_weight",
            "Share of the new conversations that the canary gets, in percent",
            labels=agent,
        )
        paused = GaugeMetricFamily(
            "chatagent_paused", "1 while the rollout is paused or waits for approval", labels=agent
        )
        failed = GaugeMetricFamily(
            "chatagent_rollout_failed",
            "1 while the desired revision is not served, since the operator has rolled it back",
            labels=agent,
        )
        for key, status in self._statuses():
            conditions = _read_conditions(status)
            rollout = status.get("rollout") or {}
            if status.get("phase"):
                phase.add_metric((*key, status["phase"]), 1)
            for type_, value in conditions.items():
                condition.add_metric((*key, type_, value.lower()), 1)
            weight.add_metric(key, rollout.get("weight") or 0)
            paused.add_metric(key, int(conditions.get("Paused") == "True"))
            is_failed = status.get("failedRevision") and status.get("failedReason") != "Aborted"
            failed.add_metric(key, int(bool(is_failed)))
        yield from (phase, condition, weight, paused, failed)


def _read_conditions(status: Mapping[str, Any]) -> dict[str, str]:
    """Return the status of each condition, by type."""
    found = cast(Iterable[Mapping[str, str]], status.get("conditions") or ())
    return {each["type"]: each["status"] for each in found}
