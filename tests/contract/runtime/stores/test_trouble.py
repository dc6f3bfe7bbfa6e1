"""Servers that are away, frozen or strangers, and what each side may say of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from agent_runtime.errors import IndexMismatchError, VectorStoreUnavailableError
from agent_runtime.stores import Index, chroma, open_index, weaviate_connection
from agent_runtime.stores import weaviate as weaviate_store
from agent_runtime.stores.address import parse
from tests.contract.runtime.processes import Chroma
from tests.contract.runtime.stores.chunks import chunks, published, read, unit
from tests.contract.runtime.stores.servers import Weaviate, certificate, tls_before
from tests.ports import free_port

pytestmark = pytest.mark.timeout(1200)
Connect = Callable[..., Index]
QUESTION = unit(1)[0]


@pytest.fixture(params=["chroma", "weaviate"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chroma | Weaviate]:
    """A server that a test may stop."""
    own = Chroma(tmp_path) if request.param == "chroma" else Weaviate(tmp_path)
    own.start()
    yield own
    own.stop()


def without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, whoever waits for a limit waits longer than a test does."""
    for module, name in (
        (chroma, "CALL_SECONDS"),
        (chroma, "SEARCH_SECONDS"),
        (weaviate_store, "CALL_SECONDS"),
        (weaviate_store, "SEARCH_SECONDS"),
        (weaviate_connection, "CALL_SECONDS"),
        (weaviate_connection, "CONNECT_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 600)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open a collection by its address."""
    indexes: list[Index] = []

    def another(url: str, token: str | None = None) -> Index:
        indexes.append(open_index(parse(url), token))
        return indexes[-1]

    yield another
    for index in indexes:
        await index.close()


async def test_a_server_that_was_away_is_found_again(
    server: Chroma | Weaviate, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = connect(server.url("blinking"))
    await published(index, chunks(unit(3)))
    server.stop()
    async with asyncio.timeout(60):
        with pytest.raises(VectorStoreUnavailableError, match=r"127\.0\.0\.1"):
            await index.search(QUESTION, 3)
    without_limits(monkeypatch)
    async with asyncio.timeout(60):
        for _ in range(3):  # known to be away: said at once
            with pytest.raises(VectorStoreUnavailableError, match=r"127\.0\.0\.1"):
                await index.search(QUESTION, 3)
            with pytest.raises(VectorStoreUnavailableError):
                await index.describe()
    with pytest.raises(VectorStoreUnavailableError):
        await index.upsert(chunks(unit(1)))
    server.start()
    assert len(await index.search(QUESTION, 5)) == 3
    info = await index.describe()
    assert info is not None
    assert info.version == 1
    await published(index, chunks(unit(4)), version=2)
    assert len(await read(index)) == 4


async def test_a_server_that_is_frozen_is_not_waited_for(
    server: Chroma | Weaviate, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_limits(monkeypatch)
    index = connect(server.url("frozen"))
    await published(index, chunks(unit(3)))
    for module in (chroma, weaviate_store):
        monkeypatch.setattr(module, "SEARCH_SECONDS", 0.5)
    server.signal(signal.SIGSTOP)
    try:
        asked = (index.search(QUESTION, 3) for _ in range(200))
        async with asyncio.timeout(60):  # one after another would take 100 s
            failed = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in failed} == {VectorStoreUnavailableError}
    finally:
        server.signal(signal.SIGCONT)
    monkeypatch.undo()
    assert len(await index.search(QUESTION, 5)) == 3


async def test_a_port_where_nobody_listens_is_named(connect: Connect) -> None:
    port = free_port()
    for engine in ("chroma", "weaviate"):
        index = connect(f"{engine}://127.0.0.1:{port}/docs")
        with pytest.raises(VectorStoreUnavailableError, match=f"127.0.0.1:{port}"):
            await index.open("m", 3)


async def test_a_server_of_another_kind_is_no_crash(connect: Connect) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        for engine in ("chroma", "weaviate"):
            index = connect(f"{engine}://127.0.0.1:{port}/docs")
            with pytest.raises(VectorStoreUnavailableError):
                await index.describe()


async def test_each_index_sends_its_own_token(connect: Connect) -> None:
    sent: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        sent.extend(line for line in head.split(b"\r\n") if line.lower().startswith(b"auth"))
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno key")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as picky:
        port = picky.sockets[0].getsockname()[1]
        for token in ("one", "two"):
            index = connect(f"chroma://127.0.0.1:{port}/docs", token)
            with pytest.raises(VectorStoreUnavailableError, match="401 no key"):
                await index.describe()
    assert sent == [b"Authorization: Bearer one", b"Authorization: Bearer two"]


async def test_weaviate_with_a_key(connect: Connect, tmp_path: Path) -> None:
    server = Weaviate(tmp_path, key="secret")
    server.start()
    try:
        await published(connect(server.url("locked"), "secret"), chunks(unit(2)))
        for token in (None, "wrong"):
            index = connect(server.url("locked"), token)
            with pytest.raises(VectorStoreUnavailableError, match=r"401|unauth|anonymous"):
                await index.search(QUESTION, 2)
    finally:
        server.stop()


async def test_certificates_are_checked(
    store_with_tls: tuple[str, Path], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, trusted = store_with_tls
    with pytest.raises(VectorStoreUnavailableError, match=r"(?i)certificate"):
        await connect(url).describe()
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    index = connect(url)
    await published(index, chunks(unit(3)))
    assert len(await index.search(QUESTION, 5)) == 3
    assert len(await read(index)) == 3


@pytest.fixture(params=["chroma", "weaviate"])
async def store_with_tls(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[str, Path]]:
    """A collection's address behind TLS, and the file to trust."""
    server: Chroma | Weaviate = request.getfixturevalue(request.param)
    grpc = server.grpc_port if isinstance(server, Weaviate) else server.port
    pem = certificate(tmp_path)
    async with tls_before(server.port, pem) as port, tls_before(grpc, pem) as grpc_port:
        asked = f"?grpc={grpc_port}" if isinstance(server, Weaviate) else ""
        yield f"{request.param}+https://127.0.0.1:{port}/behind.tls{asked}", pem


async def test_somebody_else_s_collection_is_a_mismatch(chroma: Chroma, connect: Connect) -> None:
    base = f"http://127.0.0.1:{chroma.port}/api/v2/tenants/default_tenant/databases"
    collections = f"{base}/default_database/collections"
    rows = {"ids": ["1"], "embeddings": [[1.0, 0.0]], "documents": ["x"], "metadatas": [{"a": 1}]}
    async with httpx.AsyncClient() as http:
        made = (await http.post(collections, json={"name": "foreign"})).json()
        (await http.post(f"{collections}/{made['id']}/upsert", json=rows)).raise_for_status()
    index = connect(chroma.url("foreign"))
    info = await index.describe()
    assert info is not None
    assert (info.embedding_model, info.dimension) == ("", 0)
    with pytest.raises(IndexMismatchError, match="another format"):
        await read(index)


async def test_somebody_else_s_class_is_a_mismatch(weaviate: Weaviate, connect: Connect) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{weaviate.port}") as http:
        for body in ({"class": "Cunnamed"}, {"class": "Cnamed", "description": "Our articles"}):
            (await http.post("/v1/schema", json=body)).raise_for_status()
    unnamed = await connect(weaviate.url("unnamed")).open("org/model", 3)
    assert (unnamed.embedding_model, unnamed.dimension) == ("", 0)
    with pytest.raises(IndexMismatchError, match="'named' holds something of another format"):
        await connect(weaviate.url("named")).open("org/model", 3)
