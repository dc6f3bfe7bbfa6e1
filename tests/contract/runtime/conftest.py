"""A real Chroma server and the real model, converted once for a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.runtime.images import converted
from tests.contract.runtime.processes import KNOWLEDGE, Agent, Chroma, Ingestion


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whoever needs the model may be the first, and waits until it is converted and the
    quickstart's documents are indexed."""
    needed: list[str] = getattr(item, "fixturenames", [])
    if "models" in needed and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of a CPU image's models."""
    return converted()


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroma]:
    """One server for the tests that do not stop it; they differ in the collection."""
    server = Chroma(tmp_path_factory.mktemp("chroma"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def quickstart(
    chroma: Chroma, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agent]:
    """An agent that knows the quickstart's documents."""
    folder = tmp_path_factory.mktemp("quickstart")
    Ingestion(folder, models, chroma.url("quickstart"), KNOWLEDGE).run()
    agent = Agent(folder, models, chroma.url("quickstart"))
    agent.start()
    agent.becomes(ready=True)
    yield agent
    agent.stop()


@pytest.fixture(scope="session")
def help_index(models: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The quickstart's documents in an embedded store, for those who only read."""
    folder = tmp_path_factory.mktemp("help")
    url = f"faiss://{folder}/index/help"
    assert "reason" not in Ingestion(folder, models, url, KNOWLEDGE).run()
    return url


@pytest.fixture
def serving(tmp_path: Path, models: Path) -> Iterator[Callable[..., Agent]]:
    """Start an agent for a store's address; it ends with the test."""
    agents: list[Agent] = []

    def serve(store: str, drain: float = 0.0) -> Agent:
        agents.append(Agent(tmp_path, models, store, drain))
        agents[-1].start()
        return agents[-1]

    yield serve
    for agent in agents:
        agent.stop()
