"""What the runtime counts and times, for /metrics. Every series carries the revision.

The operator compares two revisions by these names, so a name or label is part of the contract. What
it judges by is not counted of a request that is an evaluation of its own: its questions are chosen
to be hard, and nobody waits for the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0, 120.0, 300.0),
)
"""Bucket bounds. 0.2 is the target for an answer, so it has one of its own. Of what takes longer
than the last nothing can be compared, and a model on CPUs takes minutes."""
Family = TypeVar("Family", Counter, Gauge, Histogram)
Rating = Literal["up", "down"]
P = ParamSpec("P")
_CODES = (200, 500, 503, 504)
_judged: ContextVar[bool] = ContextVar("judged", default=True)


def judged() -> bool:
    """Tell whether a rollout may be judged by what happens here."""
    return _judged.get()


@contextmanager
def evaluation() -> Generator[None]:
    """Nobody judges a rollout by what happens inside."""
    token = _judged.set(False)
    try:
        yield
    finally:
        _judged.reset(token)


def _if_judged(
    count: Callable[Concatenate[Metrics, P], None],
) -> Callable[Concatenate[Metrics, P], None]:
    @wraps(count)
    def counted(metrics: Metrics, *args: P.args, **kwargs: P.kwargs) -> None:
        if judged():
            count(metrics, *args, **kwargs)

    return counted


class Metrics:
    """One registry for one process, so that two runtimes in one test stay apart."""

    def __init__(self, revision: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._revision = revision
        self._series: dict[tuple[object, ...], Any] = {}
        self._requests = self._counter("requests", "Chat requests, by status code.", "code")
        self._errors = self._counter("request_errors", "Requests that failed, by reason.", "reason")
        self._duration = self._histogram(
            "request_duration_seconds",
            "Chat requests that were not refused, to the last byte; by answer: made or known.",
            "answer",
        )
        self._first_token = self._histogram(
            "time_to_first_token_seconds", "Until the first byte of a reply's body.", "answer"
        )
        self._phases = self._histogram(
            "phase_duration_seconds", "Parts of a turn: queue, retrieval, generate, …", "phase"
        )
        self._no_answer = self._counter("no_answer", "Replies that say there is no answer.")
        self._tokens = self._counter("tokens", "Tokens read (prompt) and written.", "type")
        self._cache = self._counter("cache_requests", "Look-ups in the answer cache.", "result")
        self._feedback = self._counter("feedback", "Ratings by users: up or down.", "rating")
        self._gpu = self._counter("gpu_seconds", "GPUs times seconds of generations.")
        self._tools = self._counter("tool_calls", "Calls of tools, by outcome.", "tool", "status")
        self._tool_seconds = self._histogram("tool_duration_seconds", "Calls of tools.", "tool")
        self._turns = self._gauge("turns", "Turns in the pod: running or waiting.", "state")
        self._up = self._gauge("dependency_up", "1 while it answers.", "dependency")
        self._degraded = self._gauge("degraded", "1 while the agent does without it.", "part")
        self._version = self._gauge("index_version", "Version of the index in use.", "collection")
        # A series whose first value is not 0 has no increase that Prometheus could see.
        for code in _CODES:
            self._of(self._requests, str(code))
        for rating in ("up", "down"):
            self._of(self._feedback, rating)
        for kind in ("prompt", "completion"):
            self._of(self._tokens, kind)
        self._of(self._no_answer)
        for family in (self._duration, self._first_token):
            self._of(family, "made")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        names = ["revision", *labels]
        return Counter(f"agent_{name}", text, names, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"agent_{name}", text, ["revision", *labels], registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        names = ["revision", *labels]
        return Histogram(f"agent_{name}", text, names, buckets=SECONDS, registry=self.registry)

    def _of(self, family: Family, *labels: str) -> Family:
        """Return the series with these labels. Finding it takes the library longer than counting,
        and a turn counts a dozen times."""
        key = (family, *labels)
        if key not in self._series:
            self._series[key] = family.labels(self._revision, *labels)
        return self._series[key]

    @_if_judged
    def request(self, code: int, seconds: float, known: bool = False) -> None:
        """Count a finished chat request. One that was refused took no time worth knowing, and how
        fast a known answer is says nothing of the revision that makes answers."""
        self._of(self._requests, str(code)).inc()
        if not 400 <= code < 500:
            self._of(self._duration, "known" if known else "made").observe(seconds)

    @_if_judged
    def first_token(self, seconds: float, known: bool = False) -> None:
        """Note when a reply began to arrive."""
        self._of(self._first_token, "known" if known else "made").observe(seconds)

    @_if_judged
    def error(self, reason: str) -> None:
        """Count a failed request by its reason."""
        self._of(self._errors, reason).inc()

    @_if_judged
    def no_answer(self) -> None:
        """Count a reply that says there is no answer."""
        self._of(self._no_answer).inc()

    def phase(self, name: str, seconds: float) -> None:
        """Note how long a part of a turn took."""
        self._of(self._phases, name).observe(seconds)

    @_if_judged
    def feedback(self, rating: Rating) -> None:
        """Count what a user thinks of an answer."""
        self._of(self._feedback, rating).inc()

    def gpu_seconds(self, seconds: float) -> None:
        """Count the time of a batch on so many GPUs. Who runs it knows what is an evaluation."""
        self._of(self._gpu).inc(seconds)

    @_if_judged
    def tokens(self, prompt: int, completion: int) -> None:
        """Count the tokens of a reply."""
        self._of(self._tokens, "prompt").inc(prompt)
        self._of(self._tokens, "completion").inc(completion)

    def cache(self, result: str) -> None:
        """Count a look-up: hit, miss or error."""
        self._of(self._cache, result).inc()

    def tool_known(self, name: str) -> None:
        """Note that there is a tool, before it is called."""
        for status in ("ok", "error", "denied"):
            self._of(self._tools, name, status)

    @_if_judged
    def tool(self, name: str, status: str, seconds: float) -> None:
        """Count a call of a tool."""
        self._of(self._tools, name, status).inc()
        self._of(self._tool_seconds, name).observe(seconds)

    def turns(self, running: int, waiting: int) -> None:
        """Note how many turns are worked on and how many wait."""
        self._of(self._turns, "running").set(running)
        self._of(self._turns, "waiting").set(waiting)

    def up(self, dependency: str, answers: bool) -> None:
        """Note whether something that the agent needs answers."""
        self._of(self._up, dependency).set(answers)

    def degraded(self, part: str, does_without: bool) -> None:
        """Note whether the agent does without a part of itself."""
        self._of(self._degraded, part).set(does_without)

    def index_version(self, collection: str, version: int) -> None:
        """Note which index is in use."""
        self._of(self._version, collection).set(version)

    def text(self) -> bytes:
        """Return all series in Prometheus' text format."""
        return generate_latest(self.registry)
