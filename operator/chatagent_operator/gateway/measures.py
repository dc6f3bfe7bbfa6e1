"""The sidecar's own metrics. HAProxy has an exporter of its own, on its port 8404."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PREFIX = "chatagent_gateway"


class Measures:
    """One set of metrics in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.intended_generation = Gauge(
            f"{_PREFIX}_intended_generation",
            "Generation of the last good routes.json; -1 before there is one.",
            registry=self.registry,
        )
        self.applied_generation = Gauge(
            f"{_PREFIX}_applied_generation",
            "Generation in force in HAProxy; -1 where none is, or HAProxy is away.",
            registry=self.registry,
        )
        self.apply_seconds = Histogram(
            f"{_PREFIX}_apply_seconds",
            "From reading a new routes.json to its being in force.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self.registry,
        )
        self.errors = Counter(
            f"{_PREFIX}_errors",
            "Intents refused (intent), failures of HAProxy (haproxy) and of the watch (api).",
            ["kind"],
            registry=self.registry,
        )
        self.new_processes = Counter(
            f"{_PREFIX}_new_processes",
            "HAProxy processes that had to be given the intent from the start.",
            registry=self.registry,
        )
        self.intended_generation.set(-1)
        self.applied_generation.set(-1)
        for kind in ("intent", "haproxy", "api"):
            self.errors.labels(kind)
