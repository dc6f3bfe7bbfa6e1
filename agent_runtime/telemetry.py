"""What the runtime counts and times, for /metrics. Every series carries the revision.

The operator compares two revisions by these names, so a name or label is part of the contract.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bucket bounds. 0.2 is the target for an answer, so it has one of its own."""


class Telemetry:
    """One registry for one process, so that two runtimes in one test stay apart."""

    def __init__(self, revision: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._revision = revision
        self._requests = Counter(
            "agent_requests", "Chat requests, by status code.", ["revision", "code"],
            registry=self.registry,
        )  # fmt: skip
        self._errors = Counter(
            "agent_request_errors", "Chat requests that failed, by reason.", ["revision", "reason"],
            registry=self.registry,
        )  # fmt: skip
        self._duration = self._histogram(
            "agent_request_duration_seconds", "Chat requests, from first to last byte."
        )
        self._first_token = self._histogram(
            "agent_time_to_first_token_seconds", "Until the first byte of a reply's body."
        )
        self._retrieval = self._histogram(
            "agent_retrieval_duration_seconds", "Embedding and both searches."
        )
        self._no_answer = Counter(
            "agent_no_answer", "Replies that say there is no answer.", ["revision"],
            registry=self.registry,
        ).labels(revision)  # fmt: skip
        self._version = Gauge(
            "agent_index_version", "Version of the index in use.", ["revision", "collection"],
            registry=self.registry,
        )  # fmt: skip

    def _histogram(self, name: str, text: str) -> Histogram:
        labels = ["revision"]
        family = Histogram(name, text, labels, buckets=SECONDS, registry=self.registry)
        return family.labels(self._revision)

    def request(self, code: int, seconds: float) -> None:
        """Count a finished chat request."""
        self._requests.labels(self._revision, str(code)).inc()
        self._duration.observe(seconds)

    def first_token(self, seconds: float) -> None:
        """Note when a reply began to arrive."""
        self._first_token.observe(seconds)

    def error(self, reason: str) -> None:
        """Count a failed chat request by its reason."""
        self._errors.labels(self._revision, reason).inc()

    def no_answer(self) -> None:
        """Count a reply that says there is no answer."""
        self._no_answer.inc()

    def index_version(self, collection: str, version: int) -> None:
        """Note which index is in use."""
        self._version.labels(self._revision, collection).set(version)

    @contextmanager
    def retrieval(self) -> Generator[None]:
        """Time what happens inside."""
        with self._retrieval.time():
            yield

    def text(self) -> bytes:
        """Return all series in Prometheus' text format."""
        return generate_latest(self.registry)
