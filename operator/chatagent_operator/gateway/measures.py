"""The metrics of the sidecar. HAProxy exports its own metrics on port 8404."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PREFIX = "chatagent_gateway"


class Measures:
    """The metrics of one sidecar, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.intended_generation = Gauge(
            f"{_PREFIX}_intended_generation",
            "Generation of the last valid routes.json; -1 before the first.",
            registry=self.registry,
        )
        self.applied_generation = Gauge(
            f"{_PREFIX}_applied_generation",
            "Generation applied in HAProxy; -1 if none is, or HAProxy is unavailable.",
            registry=self.registry,
        )
        self.apply_seconds = Histogram(
            f"{_PREFIX}_apply_seconds",
            "Seconds from reading a new routes.json until it is applied.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self.registry,
        )
        self.errors = Counter(
            f"{_PREFIX}_errors",
            "Rejected intents (intent), failures of HAProxy (haproxy) and of the watch (api).",
            ["kind"],
            registry=self.registry,
        )
        self.new_processes = Counter(
            f"{_PREFIX}_new_processes",
            "HAProxy processes that were started and got the complete intent.",
            registry=self.registry,
        )
        self.intended_generation.set(-1)
        self.applied_generation.set(-1)
        for kind in ("intent", "haproxy", "api"):
            self.errors.labels(kind)
