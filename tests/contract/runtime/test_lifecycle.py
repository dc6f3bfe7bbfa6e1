"""A pod's life: what it waits for, what it survives, how it ends."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.contract.runtime.processes import DEADLINE, Agent, Chroma, Ingestion, until

Serving = Callable[..., Agent]


@pytest.fixture
def own_chroma(tmp_path: Path) -> Iterator[Chroma]:
    """A server that a test may stop."""
    server = Chroma(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def knowledge(tmp_path: Path) -> Path:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "opening.md").write_text("# Opening hours\n\nThe shop in Kunshan opens at 9:30.\n")
    return folder


def _collections(chroma: Chroma) -> str:
    server = f"http://127.0.0.1:{chroma.port}"
    return f"{server}/api/v2/tenants/default_tenant/databases/default_database/collections"


QUESTION = "When does the shop in Kunshan open?"


def test_an_agent_gets_ready_once_its_index_is_there_and_follows_it(
    chroma: Chroma, models: Path, serving: Serving, knowledge: Path, tmp_path: Path
) -> None:
    store = chroma.url("followed")
    agent = serving(store)
    agent.becomes(code=503, ready=False, reason="IndexMissing")
    assert agent.ask(QUESTION).status_code == 503
    first = Ingestion(tmp_path, models, store, knowledge).run()["indexVersion"]
    agent.becomes(
        code=200, revision="rev-1", collection="followed", documents=1, indexVersion=first
    )
    assert "9:30" in agent.answer(QUESTION)
    (knowledge / "opening.md").write_text(
        "# Opening hours\n\nThe shop in Kunshan opens at 10:15.\n"
    )
    second = Ingestion(tmp_path, models, store, knowledge).run()["indexVersion"]
    agent.becomes(ready=True, indexVersion=second)
    assert "10:15" in agent.answer(QUESTION)


def test_a_store_that_goes_down_costs_no_answer_and_its_return_needs_no_restart(
    own_chroma: Chroma, models: Path, serving: Serving, knowledge: Path, tmp_path: Path
) -> None:
    store = own_chroma.url("blinking")
    Ingestion(tmp_path, models, store, knowledge).run()
    agent = serving(store)
    agent.becomes(code=200, degraded=[])
    own_chroma.stop()
    said = agent.becomes(code=200, degraded=["retrieval"])
    assert "VectorStoreUnavailable" in str(said["reasons"])
    assert "9:30" in agent.answer(QUESTION)
    late = serving(store)
    late.becomes(code=503, reason="VectorStoreUnavailable")
    refused = late.ask(QUESTION)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    assert refused.json()["error"]["code"] == "VectorStoreUnavailable"
    assert httpx.get(f"{late.base}/livez").is_success
    own_chroma.start()
    for each in (agent, late):
        each.becomes(code=200, degraded=[])
        assert "9:30" in each.answer(QUESTION)


def test_a_collection_that_is_lost_is_missing_until_it_is_indexed_again(
    chroma: Chroma, models: Path, serving: Serving, knowledge: Path, tmp_path: Path
) -> None:
    store = chroma.url("lost")
    Ingestion(tmp_path, models, store, knowledge).run()
    agent = serving(store)
    agent.becomes(code=200, degraded=[])
    httpx.delete(f"{_collections(chroma)}/lost").raise_for_status()
    said = agent.becomes(code=200, degraded=["retrieval"])
    assert "IndexMissing" in str(said["reasons"])
    assert "9:30" in agent.answer(QUESTION)
    version = Ingestion(tmp_path, models, store, knowledge).run()["indexVersion"]
    agent.becomes(code=200, degraded=[], indexVersion=version)


class Held(BaseHTTPRequestHandler):
    """A model that answers when it is let."""

    go_on = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.go_on.wait(DEADLINE)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for choice in (
            {"delta": {"content": "At 9:30."}},
            {"delta": {}, "finish_reason": "stop"},
        ):
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "held"}
            told = json.dumps({**chunk, "choices": [{"index": 0, **choice}]})
            self.wfile.write(f"data: {told}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


@pytest.fixture
def held_model(tmp_path: Path) -> Iterator[threading.Event]:
    """Configure an agent's model to wait for an event."""
    Held.go_on = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Held) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        llm = {"model": "openai/held", "baseURL": url}
        (tmp_path / "agent.yaml").write_text(json.dumps({"llm": llm}))
        try:
            yield Held.go_on
        finally:
            Held.go_on.set()
            server.shutdown()


def test_sigterm_lets_a_stream_finish_and_exits_with_0(
    chroma: Chroma,
    models: Path,
    serving: Serving,
    knowledge: Path,
    tmp_path: Path,
    held_model: threading.Event,
) -> None:
    store = chroma.url("draining")
    Ingestion(tmp_path, models, store, knowledge).run()
    agent = serving(store, drain=600)
    agent.becomes(ready=True)
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True}
    kind = {"Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", agent.port, timeout=60)) as asking:
        asking.request("POST", "/v1/chat/completions", json.dumps(body), kind)
        agent.signal(signal.SIGTERM)
        agent.becomes(code=503, reason="Draining")
        agent.signal(signal.SIGTERM)  # which ends the wait for those who may still come
        until(lambda: agent.ready() is None or None, "it still listens")
        held_model.set()
        streamed = asking.getresponse().read().decode()
    assert "9:30" in streamed
    assert streamed.endswith("data: [DONE]\n\n")
    assert agent.wait() == 0


def test_an_index_of_another_model_is_a_mismatch(
    chroma: Chroma, models: Path, serving: Serving, knowledge: Path, tmp_path: Path
) -> None:
    store = chroma.url("mismatched")
    Ingestion(tmp_path, models, store, knowledge).run()
    collections = _collections(chroma)
    found = httpx.get(f"{collections}/mismatched").json()
    changed = {**found["metadata"], "embedding_model": "org/other"}
    httpx.put(f"{collections}/{found['id']}", json={"new_metadata": changed}).raise_for_status()
    agent = serving(store)
    said = agent.becomes(code=503, reason="IndexMismatch")
    assert "org/other" in str(said["message"])


def test_a_model_that_is_not_in_the_image_ends_the_process_with_its_reason(
    chroma: Chroma, models: Path, serving: Serving, tmp_path: Path
) -> None:
    (tmp_path / "agent.yaml").write_text("retrieval: {embeddingModel: org/absent}")
    agent = serving(chroma.url("any"))
    assert agent.wait() == 1
    words = json.loads(agent.termination.read_text())
    assert words["reason"] == "ModelNotFound"
    assert "all-MiniLM-L6-v2" in words["message"]
