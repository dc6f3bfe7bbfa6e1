"""A pod's life: what it waits for, what it survives, how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from tests.contract.runtime.processes import Agent, Chroma, Ingestion, until

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


def test_a_store_that_goes_down_is_a_503_and_its_return_needs_no_restart(
    own_chroma: Chroma, models: Path, serving: Serving, knowledge: Path, tmp_path: Path
) -> None:
    store = own_chroma.url("blinking")
    Ingestion(tmp_path, models, store, knowledge).run()
    agent = serving(store)
    agent.becomes(ready=True)
    own_chroma.stop()
    refused = agent.ask(QUESTION)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    assert refused.json()["error"]["code"] == "VectorStoreUnavailable"
    agent.becomes(code=503, reason="VectorStoreUnavailable")
    assert httpx.get(f"{agent.base}/livez").is_success
    own_chroma.start()
    agent.becomes(ready=True)
    assert "9:30" in agent.answer(QUESTION)


def test_sigterm_lets_a_stream_finish_and_exits_with_0(
    own_chroma: Chroma, models: Path, serving: Serving, knowledge: Path, tmp_path: Path
) -> None:
    store = own_chroma.url("draining")
    Ingestion(tmp_path, models, store, knowledge).run()
    agent = serving(store, drain=600)
    agent.becomes(ready=True)
    own_chroma.signal(signal.SIGSTOP)  # so that the stream is under way for as long as we like
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True}
    kind = {"Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", agent.port, timeout=60)) as asking:
        try:
            asking.request("POST", "/v1/chat/completions", json.dumps(body), kind)
            agent.signal(signal.SIGTERM)
            agent.becomes(code=503, reason="Draining")
            agent.signal(signal.SIGTERM)  # which ends the wait for those who may still come
            until(lambda: agent.ready() is None or None, "it still listens")
        finally:
            own_chroma.signal(signal.SIGCONT)
        streamed = asking.getresponse().read().decode()
    assert "9:30" in streamed
    assert streamed.endswith("data: [DONE]\n\n")
    assert agent.wait() == 0


def test_an_index_of_another_model_is_a_mismatch(
    chroma: Chroma, models: Path, serving: Serving, knowledge: Path, tmp_path: Path
) -> None:
    store = chroma.url("mismatched")
    Ingestion(tmp_path, models, store, knowledge).run()
    collections = (
        f"http://127.0.0.1:{chroma.port}/api/v2/tenants/default_tenant/databases/"
        "default_database/collections"
    )
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
