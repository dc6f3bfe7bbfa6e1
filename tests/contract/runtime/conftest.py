"""A real Chroma server and the real model, converted once for a machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.contract.runtime.processes import (
    KNOWLEDGE,
    REPOSITORY,
    Agent,
    Chroma,
    Ingestion,
    agent_runtime,
)

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SOURCES = ("agent_runtime/models/convert.py", "agent_runtime/models/catalogue.py", "uv.lock")


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of an image's models, named by what it is made from."""
    made_from = b"".join((REPOSITORY / name).read_bytes() for name in SOURCES)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "chatagent" / "models" / hashlib.sha256(made_from).hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch, "models")
            command = agent_runtime("convert", MODEL, "--output", str(made))
            subprocess.run(command, cwd=REPOSITORY, check=True)
            # Whole or not at all: another run may look for it at the same time.
            with suppress(OSError):
                made.rename(folder)
    return folder


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
