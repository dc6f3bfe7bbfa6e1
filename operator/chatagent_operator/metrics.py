"""The operator's own metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chatagent_operator.core.writes import Write
from chatagent_operator.kube.errors import NotLeaderError, StaleError


class Metrics:
    """Counters and histograms of one operator."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
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
        self._leader.set(is_leader)

    def count_write(self, write: Write) -> None:
        """Count one write."""
        self._writes.labels(type(write).__name__.lower()).inc()
