"""Real stores, models and servers for the suite; each combination is one agent from YAML."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime import BaseChatAgent, settings, wiring
from agent_runtime.config import AgentConfig
from agent_runtime.models.convert_generator import convert_generator
from tests.contract.runtime.combinations import product
from tests.contract.runtime.combinations.product import Combination, Places
from tests.contract.runtime.combinations.talk import DOCUMENTS, lessons
from tests.contract.runtime.images import both_formats
from tests.contract.runtime.models import tiny
from tests.contract.runtime.models.servers import TransformersServe
from tests.contract.runtime.processes import KNOWLEDGE, Agent
from tests.contract.runtime.stores.conftest import faiss as faiss  # fixtures
from tests.contract.runtime.stores.conftest import weaviate as weaviate
from tests.contract.runtime.stores.servers import Store


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama that knows the suite by heart and describes how it calls functions."""
    folder = tmp_path_factory.mktemp("taught")
    return tiny.described(
        tiny.taught_on(folder / "tiny/taught", lessons(), steps=300), "tiny/llama"
    )


@pytest.fixture(scope="session")
def image(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with every model of the suite."""
    folder = tmp_path_factory.mktemp("image")
    both_formats(folder)
    sources = {"t5": tiny.seq2seq(tmp_path_factory.mktemp("t5")), "llama": taught}
    for kind, source in sources.items():
        for org, format in (("tiny", "transformers"), ("int8", "ctranslate2")):
            name = f"{org}/{kind}"
            convert_generator(str(source), name, folder / name, format, ())
    return folder


@pytest.fixture(scope="session")
def embeddings(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`/v1/embeddings` of an agent that does nothing else."""
    folder = tmp_path_factory.mktemp("embeddings")
    (folder / "agent.yaml").write_text("retrieval: {when: never}\n")
    agent = Agent(folder, image, "chroma://127.0.0.1:1/none")
    agent.start()
    agent.becomes(ready=True)
    yield f"{agent.base}/v1"
    agent.stop()


@pytest.fixture(scope="session")
def completions(
    taught: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TransformersServe]:
    server = TransformersServe(taught, tmp_path_factory.mktemp("completions"))
    server.start()
    yield server
    server.stop()


class Library:
    """The documents, indexed once for each store and embedding that is asked for."""

    def __init__(self, documents: Path, image: Path) -> None:
        self._documents = documents
        self._environment = replace(settings.read(os.environ), models=image, vector_store=None)
        self._indexed: dict[tuple[str, str], str] = {}

    def url(self, combination: Combination, store: Store, embeddings: str) -> str:
        """Return the address of the collection."""
        key = combination.store, combination.embedding
        if key not in self._indexed:
            url = store.url(f"combinations-{combination.embedding}")
            section = product.retrieval(combination.embedding, embeddings)
            config = AgentConfig.model_validate({"retrieval": {"vectorStore": url, **section}})
            report = wiring.ingest(config, self._environment, {"shop": self._documents}, 60)
            assert report["documents"] == len(DOCUMENTS), report
            self._indexed[key] = url
        return self._indexed[key]


@pytest.fixture(scope="session")
def library(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    documents = tmp_path_factory.mktemp("documents")
    for name in DOCUMENTS:
        shutil.copy(KNOWLEDGE / name, documents)
    return Library(documents, image)


@pytest.fixture(scope="module", params=product.everything(), ids=str)
def combination(request: pytest.FixtureRequest) -> Combination:
    return request.param


@pytest.fixture(scope="module")
def agent(
    request: pytest.FixtureRequest, combination: Combination, library: Library, image: Path
) -> Iterator[BaseChatAgent]:
    """The agent of a combination. What differs between them is this YAML alone."""
    # Servers start when a combination needs them, so that one can be run without all of them.
    store: Store = request.getfixturevalue(combination.store)
    embeddings = request.getfixturevalue("embeddings") if combination.embedding == "url" else ""
    server: TransformersServe | None = None
    if combination.generator in product.REMOTE:
        server = request.getfixturevalue("completions")
    places = Places(
        collection=library.url(combination, store, embeddings),
        embeddings=embeddings,
        completions=server.url if server else "",
        served=server.model if server else "",
    )
    text = product.as_yaml(combination, places)
    with BaseChatAgent.from_yaml(text, models=image) as made:
        yield made
