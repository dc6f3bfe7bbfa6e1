"""What the operator tells Prometheus of itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chatagent_operator.core.plan import Write
from chatagent_operator.kube.errors import NotLeaderError, StaleError


class Metrics:
    """Counters and histograms of one operator."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._seconds = Histogram(
            "chatagent_operator_reconcile_seconds",
            "Time of one look at one agent",
            registry=registry,
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
        )
        self._failures = Counter(
            "chatagent_operator_reconcile_failures",
            "Looks that ended with an error and are tried again",
            registry=registry,
        )
        self._leader = Gauge(
            "chatagent_operator_leader",
            "1 where this replica reconciles, 0 where it is a standby",
            registry=registry,
        )
        self._writes = Counter(
            "chatagent_operator_writes", "Writes to children", ["action"], registry=registry
        )

    @contextmanager
    def reconciling(self) -> Generator[None]:
        """Measures one look."""
        with self._seconds.time():
            try:
                yield
            except (NotLeaderError, StaleError):
                raise  # the leader reconciles it, or this one does from what is there now
            except Exception:
                self._failures.inc()
                raise

    def lead(self, leads: bool) -> None:
        """Says whether this replica reconciles."""
        self._leader.set(leads)

    def write(self, action: Write) -> None:
        """Counts one write."""
        self._writes.labels(type(action).__name__.lower()).inc()
