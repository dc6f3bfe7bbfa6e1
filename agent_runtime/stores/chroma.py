"""A collection in a Chroma server, for reading and writing, over its own asynchronous client.

Embeddings are always ours: the client's default function, which downloads a model, is never
reached. Whatever the client raises leaves here as one of our errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import chromadb
from chromadb.api import AsyncClientAPI
from chromadb.api.models.AsyncCollection import AsyncCollection
from chromadb.config import Settings
from chromadb.errors import NotFoundError

from agent_runtime.domain import ChunkKey, EmbeddedChunk, Hit, IndexedChunk, IndexInfo, Vector
from agent_runtime.errors import (
    AgentError,
    IndexMismatchError,
    IndexMissingError,
    VectorStoreUnavailableError,
)
from agent_runtime.stores import record
from agent_runtime.stores.address import Address

PAGE = 500
CALL_SECONDS = 10.0
"""The client itself would wait for ever."""


class ChromaIndex:
    """One collection. Connects on first use and again after the server was away."""

    def __init__(self, address: Address, token: str | None = None) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client: AsyncClientAPI | None = None
        self._collection: AsyncCollection | None = None

    async def describe(self) -> IndexInfo | None:
        async with self._calling():
            try:
                client = await self._connected()
                self._collection = await client.get_collection(
                    self._address.collection, embedding_function=None
                )
            except NotFoundError:
                self._collection = None
                return None
            return record.info(self._collection)

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        async with self._calling():
            collection = await self._found()
            found = await collection.query(
                query_embeddings=[vector], n_results=limit, include=["distances"]
            )
            distances = (found["distances"] or [[]])[0]
            return [
                Hit(id, 1.0 - distance)
                for id, distance in zip(found["ids"][0], distances, strict=True)
            ]

    async def read(self) -> AsyncIterator[list[IndexedChunk]]:
        async for page in self._pages(["metadatas", "documents"]):
            try:
                yield record.chunks(page)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise IndexMismatchError(
                    f"collection {self._address.collection!r} holds chunks of another format"
                ) from error

    async def stored_keys(
        self, source: str | None = None, path: str | None = None
    ) -> AsyncIterator[list[ChunkKey]]:
        async for page in self._pages(["metadatas"], record.of(source, path)):
            yield record.keys(page)

    async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
        if (info := await self.describe()) is not None:
            return info
        async with self._calling():
            client = await self._connected()
            self._collection = await client.get_or_create_collection(
                self._address.collection,
                configuration={"hnsw": {"space": "cosine"}},
                metadata=record.metadata(embedding_model, dimension, version=0, documents=0),
                embedding_function=None,
            )
            return record.info(self._collection)

    async def begin(self) -> None:
        async with self._calling():
            collection = await self._found()
            await collection.modify(metadata={**(collection.metadata or {}), "pending": True})

    async def publish(self, version: int, documents: int) -> None:
        async with self._calling():
            collection = await self._found()
            changed = {"index_version": version, "documents": documents, "pending": False}
            await collection.modify(metadata={**(collection.metadata or {}), **changed})

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
        async with self._calling():
            await (await self._found()).upsert(**record.rows(chunks))

    async def delete(self, ids: Sequence[str]) -> None:
        async with self._calling():
            await (await self._found()).delete(ids=list(ids))

    async def _connected(self) -> AsyncClientAPI:
        if self._client is None:
            self._client = await chromadb.AsyncHttpClient(
                host=self._address.host,
                port=self._address.port,
                ssl=self._address.tls,
                headers=self._headers,
                # Off by default in the client, of all things: checking the server's certificate.
                settings=Settings(anonymized_telemetry=False, chroma_server_ssl_verify=True),
            )
        return self._client

    async def _found(self) -> AsyncCollection:
        if self._collection is None and await self.describe() is None:
            raise IndexMissingError(f"there is no collection {self._address.collection!r}")
        assert self._collection is not None  # noqa: S101  describe() has just set it
        return self._collection

    async def _pages(
        self, include: list[str], where: dict[str, Any] | None = None
    ) -> AsyncIterator[Any]:
        offset = 0
        while True:
            async with self._calling():
                collection = await self._found()
                page: Any = await collection.get(
                    where=where,
                    limit=PAGE,
                    offset=offset,
                    include=include,  # pyright: ignore[reportArgumentType]
                )
            if page["ids"]:
                yield page
            if len(page["ids"]) < PAGE:
                return
            offset += PAGE

    @asynccontextmanager
    async def _calling(self) -> AsyncGenerator[None]:
        """Bound a call in time and turn its failures into ours."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                yield
        except AgentError:
            raise
        except NotFoundError as error:
            self._collection = None
            raise IndexMissingError(
                f"there is no collection {self._address.collection!r}"
            ) from error
        except Exception as error:  # the client raises ValueError, httpx's errors and plain ones
            where = f"{self._address.host}:{self._address.port}"
            what = str(error) or type(error).__name__
            raise VectorStoreUnavailableError(f"the vector store at {where}: {what}") from error
