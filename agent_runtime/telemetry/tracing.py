"""OpenTelemetry traces, by the conventions for generative AI (semantic conventions 1.37).

Off unless the environment names where they go (OTEL_EXPORTER_OTLP_ENDPOINT or its twin for
traces); then OTEL_* says all the rest. No text of a message is ever an attribute.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

OPERATIONS = {
    "generate": "chat",
    "embed": "embeddings",
    "retrieval": "retrieval",
    "turn": "invoke_agent",
    "tool": "execute_tool",
}
"""`gen_ai.operation.name` of a phase; others are plain spans."""


def tracer(environ: Mapping[str, str], revision: str) -> Tracer | None:
    """Return a tracer that exports, or None where nobody asked for traces."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not any(environ.get(name) for name in ENDPOINTS):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": "agent-runtime", "service.version": revision}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # Clients of other services find it there and carry the trace on.
    trace.set_tracer_provider(provider)
    return provider.get_tracer("agent_runtime")


def span_name(phase: str, subject: str | None) -> str:
    """Return `chat MODEL`, `execute_tool NAME`, … as the conventions have it."""
    operation = OPERATIONS.get(phase, phase)
    return f"{operation} {subject}" if subject else operation
