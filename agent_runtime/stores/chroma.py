"""A collection in a Chroma server, for reading and writing, over its HTTP API of version 2.

Not over the `chromadb` package: its clients of one process share headers and connections whatever
server and token each was made for, and end with the event loop they were first used in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import orjson

from agent_runtime.domain import (
    ChunkKey,
    EmbeddedChunk,
    Hit,
    IndexedChunk,
    IndexInfo,
    Matrix,
    Vector,
)
from agent_runtime.errors import AgentError, IndexMissingError, VectorStoreUnavailableError
from agent_runtime.stores import failures, record
from agent_runtime.stores.address import Address

PAGE = 100
"""Few enough that reading a page holds the event loop for some 4 ms only."""
VECTORS_PAGE = 50
"""The same for vectors."""
CALL_SECONDS = 10.0
SEARCH_SECONDS = 3.0
"""Less, since somebody waits for it."""
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


class ChromaIndex:
    """One collection. Connects on first use and again after the server was away."""

    local = False

    def __init__(self, address: Address, token: str | None = None) -> None:
        self._name = address.collection
        self._where = address.netloc
        self._base = f"{'https' if address.tls else 'http'}://{address.netloc}{COLLECTIONS}"
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._http: httpx.AsyncClient | None = None
        self._id: str | None = None
        """Of the collection that `describe` saw last."""

    async def close(self) -> None:
        http, self._http, self._id = self._http, None, None
        if http is not None:
            await http.aclose()

    async def describe(self) -> IndexInfo | None:
        said = await self._described(SEARCH_SECONDS)
        return None if said is None else self._info(said)

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        found = await self._asked(
            "query", SEARCH_SECONDS,
            query_embeddings=[vector], n_results=limit, include=["distances"],
        )  # fmt: skip
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [Hit(id, 1.0 - distance) for id, distance in pairs]

    async def read(self) -> AsyncIterator[list[IndexedChunk]]:
        async for page in self._pages(["metadatas", "documents"]):
            columns = zip(page["ids"], page["metadatas"], page["documents"], strict=True)
            with record.reading(self._name):
                chunks = [record.chunk(id, row, text) for id, row, text in columns]
            yield chunks

    async def vectors(self, ids: Sequence[str]) -> AsyncIterator[tuple[Sequence[str], Matrix]]:
        for start in range(0, len(ids), VECTORS_PAGE):
            wanted = ids[start : start + VECTORS_PAGE]
            page = await self._asked("get", ids=wanted, include=["embeddings"])
            if page["ids"]:
                with record.reading(self._name):
                    rows = np.array(page["embeddings"], np.float32)
                yield page["ids"], rows

    async def stored_keys(
        self, source: str | None = None, path: str | None = None
    ) -> AsyncIterator[list[ChunkKey]]:
        wanted = [{"source": source}] if source is not None else []
        wanted += [{"path": path}] if path is not None else []
        where = {"$and": wanted} if len(wanted) > 1 else next(iter(wanted), None)
        async for page in self._pages(["metadatas"], where):
            columns = zip(page["ids"], page["metadatas"], strict=True)
            with record.reading(self._name):
                keys = [record.key(id, row) for id, row in columns]
            yield keys

    async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
        made = await self._request(
            "POST",
            "",
            name=self._name,
            metadata=record.description(embedding_model, dimension),
            configuration={"hnsw": {"space": "cosine"}},
            get_or_create=True,  # what exists keeps its metadata
        )
        self._id = made["id"]
        return self._info(made)

    async def begin(self) -> None:
        await self._say(record.PENDING)

    async def publish(self, version: int, documents: int, sources: str | None = None) -> None:
        await self._say(record.published(version, documents, sources))

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
        await self._asked(
            "upsert",
            ids=[each.chunk.key.id for each in chunks],
            embeddings=[each.vector for each in chunks],
            documents=[each.chunk.text for each in chunks],
            metadatas=[record.row(each) for each in chunks],
        )

    async def delete(self, ids: Sequence[str]) -> None:
        if ids:
            await self._asked("delete", ids=list(ids))

    async def _described(self, seconds: float | None = None) -> Mapping[str, Any] | None:
        try:
            said: Mapping[str, Any] = await self._request("GET", f"/{self._name}", seconds)
        except IndexMissingError:
            return None
        self._id = said["id"]
        return said

    def _info(self, said: Mapping[str, Any]) -> IndexInfo:
        return record.info(self._name, str(said["id"]), said.get("metadata") or {})

    async def _say(self, changed: Mapping[str, object]) -> None:
        said = await self._described()
        if said is None:
            raise self._missing()
        new = {**(said.get("metadata") or {}), **changed}
        await self._request("PUT", f"/{said['id']}", new_metadata=new)

    async def _pages(self, include: list[str], where: object = None) -> AsyncIterator[Any]:
        offset = 0
        while True:
            page = await self._asked("get", limit=PAGE, offset=offset, include=include, where=where)
            if page["ids"]:
                yield page
            if len(page["ids"]) < PAGE:
                return
            offset += PAGE

    async def _asked(self, what: str, seconds: float | None = None, **body: object) -> Any:
        """Ask something of the collection. Raises IndexMissingError."""
        if self._id is None and await self._described(seconds) is None:
            raise self._missing()
        return await self._request("POST", f"/{self._id}/{what}", seconds, **body)

    async def _request(
        self, method: str, path: str, seconds: float | None = None, **body: object
    ) -> Any:
        content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY) if body else None
        async with self._calling(seconds or CALL_SECONDS):
            reply = await self._connected().request(method, self._base + path, content=content)
            if reply.status_code == 404 and _error(reply) == "NotFoundError":
                self._id = None
                raise self._missing()
            if not reply.is_success:
                lasting, advice = failures.judge_status(reply.status_code)
                words = f"{reply.status_code} {reply.text[:300]}{advice}"
                raise VectorStoreUnavailableError(
                    f"the vector store at {self._where}: {words}", lasting
                )
            return orjson.loads(reply.content)

    def _connected(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(headers=self._headers, timeout=CALL_SECONDS)
        return self._http

    def _missing(self) -> IndexMissingError:
        return IndexMissingError(f"there is no collection {self._name!r}")

    @asynccontextmanager
    async def _calling(self, seconds: float) -> AsyncGenerator[None]:
        """Bound a call in time and turn its failures into ours."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except AgentError:
            raise
        except (httpx.HTTPError, TimeoutError, ValueError, OSError) as error:
            what = str(error) or type(error).__name__
            lasting, advice = failures.judge(error)
            raise VectorStoreUnavailableError(
                f"the vector store at {self._where}: {what}{advice}", lasting
            ) from error


def _error(reply: httpx.Response) -> str:
    try:
        return str(orjson.loads(reply.content)["error"])
    except (ValueError, TypeError, KeyError):
        return ""
