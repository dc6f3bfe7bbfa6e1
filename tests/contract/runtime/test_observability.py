"""What an agent tells about itself: traces, metrics, logs without anybody's words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.contract.runtime.processes import Agent, until

QUESTION = "How long does a refund to PayPal take?"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """Stands in for an OpenTelemetry collector: it takes spans in OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str) -> Any:
        return until(
            lambda: next((span for span in self.spans if span.name == name), None),
            f"span {name!r} among {[span.name for span in self.spans]}",
        )


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


@pytest.fixture(scope="module")
def agent(
    collector: Collector,
    models: Path,
    help_index: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Agent]:
    running = Agent(tmp_path_factory.mktemp("observed"), models, help_index)
    running.environment = {
        **running.environment,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    running.start()
    running.becomes(ready=True)
    yield running
    running.stop()


def attributes(span: Any) -> dict[str, Any]:
    values = {each.key: each.value for each in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


def test_a_turn_is_one_trace_by_the_conventions(agent: Agent, collector: Collector) -> None:
    reply = httpx.post(
        f"{agent.base}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": QUESTION}]},
        headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        timeout=30,
    )
    reply.raise_for_status()
    turn, chat = collector.named("invoke_agent agent"), collector.named("chat extractive")
    embedding = collector.named("embeddings sentence-transformers/all-MiniLM-L6-v2")
    retrieval = collector.named("retrieval")
    assert {span.trace_id.hex() for span in (turn, chat, embedding, retrieval)} == {TRACE}
    assert chat.parent_span_id == turn.span_id
    assert embedding.parent_span_id == retrieval.span_id
    assert attributes(chat)["gen_ai.operation.name"] == "chat"
    assert attributes(chat)["gen_ai.request.model"] == "extractive"
    assert attributes(chat)["gen_ai.usage.output_tokens"] > 0
    told = json.dumps([str(span) for span in collector.spans])
    assert "PayPal" not in told


def test_phases_are_told_to_the_client(agent: Agent) -> None:
    timing = agent.ask("Do you ship to Norway?").headers["server-timing"]
    assert {"queue", "embed", "search", "retrieval", "generate", "total"} <= {
        part.split(";")[0].strip() for part in timing.split(",")
    }


def test_logs_are_lines_of_json_without_questions_and_answers(agent: Agent) -> None:
    answer = agent.answer(QUESTION)
    lines = [json.loads(line) for line in agent.log.read_text().splitlines()]
    logged = [line for line in lines if line.get("path") == "/v1/chat/completions"]
    assert logged
    assert logged[-1]["code"] == 200
    assert logged[-1]["conversation_id"].startswith("conv_")
    assert "PayPal" not in agent.log.read_text()
    assert answer[:30] not in agent.log.read_text()


def test_metrics_tell_the_parts_of_turns(agent: Agent) -> None:
    agent.answer(QUESTION)
    text = httpx.get(f"{agent.base}/metrics", timeout=10).text
    for series in (
        'agent_requests_total{code="200",revision="rev-1"}',
        'agent_phase_duration_seconds_count{phase="retrieval",revision="rev-1"}',
        'agent_phase_duration_seconds_count{phase="generate",revision="rev-1"}',
        'agent_tokens_total{revision="rev-1",type="completion"}',
        'agent_cache_requests_total{result="hit",revision="rev-1"}',
        'agent_time_to_first_token_seconds_bucket{answer="made",le="0.005",revision="rev-1"}',
        'agent_time_to_first_token_seconds_bucket{answer="known",le="0.005",revision="rev-1"}',
        'agent_request_duration_seconds_count{answer="known",revision="rev-1"}',
        'agent_turns{revision="rev-1",state="waiting"} 0.0',
        'agent_index_version{collection="help",revision="rev-1"} 1',
    ):
        assert series in text
