"""What the runtime tells about itself: metrics, traces, Server-Timing.

`phase` is the one way to time something; it serves all three.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from agent_runtime.telemetry.metrics import Metrics, Rating, evaluation, judged
from agent_runtime.telemetry.tracing import OPERATIONS, span_name

__all__ = ["Metrics", "Phase", "Rating", "Telemetry", "Timings", "evaluation", "judged"]

EVALUATION = "x-agent-evaluation"
"""Header of requests that an evaluation sends. Gateways take it away from those of users."""

Attribute = str | int | float | bool
_KINDS = {"turn": SpanKind.SERVER, "generate": SpanKind.CLIENT, "embed": SpanKind.CLIENT}
_ERROR = "error.type"
_SUBJECTS = {"tool": "gen_ai.tool.name", "turn": "gen_ai.agent.name"}


@dataclass(slots=True)
class Timings:
    """How long the parts of one request took, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])
    known: bool = False
    """The answer was known from before."""

    def add(self, phase: str, seconds: float) -> None:
        """Add to a phase, which may happen several times in a turn."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    def header(self) -> str:
        """Return the value of Server-Timing, in milliseconds."""
        return ", ".join(f"{name};dur={took * 1000:.1f}" for name, took in self.seconds.items())


log = logging.getLogger(__name__)
_timings: ContextVar[Timings | None] = ContextVar("timings", default=None)


class Phase:
    """A part of a turn while it lasts; `note` adds an attribute to its span."""

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        self.attributes: dict[str, Attribute] = {}

    def note(self, name: str, value: Attribute) -> None:
        """Add an attribute."""
        self.attributes[name] = value

    def fail(self, kind: str) -> None:
        """Note that it failed although nothing is raised. `kind` is from a fixed set."""
        self.attributes[_ERROR] = kind


class Telemetry:
    """Metrics of one process, and traces where there is a tracer."""

    def __init__(
        self,
        revision: str,
        tracer: Tracer | None = None,
        agent: str = "agent",
        log_messages: bool = False,
    ) -> None:
        self.metrics = Metrics(revision)
        self._log_messages = log_messages
        self._tracer = tracer
        self._agent = agent

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Generator[Timings]:
        """Collect the timings of a request, in a span that goes on with its caller's trace."""
        timings = Timings()
        token = _timings.set(timings)
        try:
            with evaluation() if EVALUATION in headers else nullcontext():
                if self._tracer is None:
                    yield timings
                else:
                    parent = extract(headers)
                    with self._span(self._tracer, "turn", self._agent, Phase(), parent):
                        yield timings
        finally:
            _timings.reset(token)

    def known(self) -> None:
        """Note that the answer of this request was known from before."""
        if (timings := _timings.get()) is not None:
            timings.known = True

    def said(self, question: str, answer: str) -> None:
        """Log what was asked and answered, if that is wished."""
        if self._log_messages:
            log.info("turn", extra={"fields": {"question": question, "answer": answer}})

    def rated(self, rating: Rating, comment: str | None) -> None:
        """Count a user's rating, and log what the user says of it, if that is wished."""
        self.metrics.feedback(rating)
        if comment and self._log_messages:
            log.info("feedback", extra={"fields": {"rating": rating, "comment": comment}})

    @contextmanager
    def phase(self, name: str, subject: str | None = None) -> Generator[Phase]:
        """Time what happens inside, a failure included.

        Args:
            name: of the phase, from a fixed set: it is a label.
            subject: the model, tool or collection that it is about.
        """
        phase = Phase()
        began = time.perf_counter()
        try:
            if self._tracer is None:
                yield phase
            else:
                with self._span(self._tracer, name, subject, phase):
                    yield phase
        finally:
            took = time.perf_counter() - began
            self.metrics.phase(name, took)
            if (timings := _timings.get()) is not None:
                timings.add(name, took)

    @contextmanager
    def _span(
        self,
        tracer: Tracer,
        name: str,
        subject: str | None,
        phase: Phase,
        parent: Context | None = None,
    ) -> Generator[None]:
        with tracer.start_as_current_span(
            span_name(name, subject),
            context=parent,
            kind=_KINDS.get(name, SpanKind.INTERNAL),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if name in OPERATIONS:
                span.set_attribute("gen_ai.operation.name", OPERATIONS[name])
                span.set_attribute(_SUBJECTS.get(name, "gen_ai.request.model"), subject or "")
            try:
                yield
            except BaseException as error:
                # The message may hold a text of the conversation: only the type is told.
                phase.fail(type(error).__qualname__)
                raise
            finally:
                span.set_attributes(phase.attributes)
                if _ERROR in phase.attributes:
                    span.set_status(Status(StatusCode.ERROR))
