"""Each store once for a session; tests differ in the collection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest

from agent_runtime.stores import Index, open_index
from agent_runtime.stores.address import parse
from tests.contract.runtime.stores.servers import Folder, Store, Weaviate

ENGINES = ("chroma", "faiss", "weaviate")
Open = Callable[[], Index]


@pytest.fixture(scope="session")
def weaviate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weaviate]:
    server = Weaviate(tmp_path_factory.mktemp("weaviate"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def faiss(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("faiss"))


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)


@pytest.fixture
def collection() -> str:
    """Named as the operator names one, and not like another test's."""
    return f"shop.Assistant-1.{uuid4().hex[:8]}"


@pytest.fixture
async def opened(store: Store, collection: str) -> AsyncIterator[Open]:
    """Open the test's collection, each time as another process would."""
    indexes: list[Index] = []

    def another() -> Index:
        indexes.append(open_index(parse(store.url(collection))))
        return indexes[-1]

    yield another
    for index in indexes:
        await index.close()


@pytest.fixture
def index(opened: Open) -> Index:
    return opened()
