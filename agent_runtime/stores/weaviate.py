"""A collection in a Weaviate server, for reading and writing, over its own asynchronous client.

Vectors are always ours. What the collection is for stands in the class's description: of several
who create a class at once the servers let one, while an object that several insert at once is taken
from all of them. What changes later stands in an object without a vector, which no search finds: to
change the description would make the class read-only for a moment, which the next write may meet.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import numpy as np
from weaviate import WeaviateAsyncClient
from weaviate.classes.config import (
    Configure,
    ConsistencyLevel,
    DataType,
    Property,
    Tokenization,
    VectorDistances,
)
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, MetadataQuery
from weaviate.exceptions import (
    UnexpectedStatusCodeError,
    WeaviateInsertManyAllFailedError,
    WeaviateQueryError,
)

from agent_runtime.domain import (
    ChunkKey,
    EmbeddedChunk,
    Hit,
    IndexedChunk,
    IndexInfo,
    Matrix,
    Vector,
)
from agent_runtime.errors import IndexMissingError, VectorStoreUnavailableError
from agent_runtime.stores import record
from agent_runtime.stores.address import Address
from agent_runtime.stores.weaviate_connection import WeaviateConnection, class_name

PAGE = 100
"""Few enough that reading a page holds the event loop for some 4 ms only."""
CALL_SECONDS = 10.0
SEARCH_SECONDS = 3.0
"""Less, since the client itself tries again and again while the server is away."""
MOST_FOUND = 10_000
"""The server's QUERY_MAXIMUM_RESULTS, unless somebody changed it."""
UNFINISHED = ("could not find class", "non-existing index", "no such prop")
"""What a search says in a class that was just created since, is being created, or is not ours."""
VECTOR = "default"
DESCRIPTION = uuid5(NAMESPACE_URL, "description")
_TEXT = ("chunk_id", "text", "source", "path", "fingerprint", "title", "headings", "sentences")
_NUMBERS = ("total", "start")
_FIELDS = [*_TEXT, "sentence_vectors", *_NUMBERS]


class WeaviateIndex:
    """One collection. Connects on first use and again after the server was away."""

    local = False

    def __init__(self, address: Address, token: str | None = None) -> None:
        self._name = address.collection
        self._class = class_name(address.collection)
        self._connection = WeaviateConnection(address, token)

    async def close(self) -> None:
        await self._connection.close()

    async def describe(self) -> IndexInfo | None:
        async with self._connection.calling(SEARCH_SECONDS) as client:
            said = await self._said(client)
        return None if said is None else self._info(said)

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        async with self._asking(SEARCH_SECONDS) as collection:
            found: Any = await collection.query.near_vector(
                near_vector=vector.tolist(),
                target_vector=VECTOR,
                limit=limit,
                return_properties=["chunk_id"],
                return_metadata=MetadataQuery(distance=True),
            )
        return [
            Hit(each.properties["chunk_id"], 1.0 - each.metadata.distance) for each in found.objects
        ]

    async def read(self) -> AsyncIterator[list[IndexedChunk]]:
        async for page in self._pages(_FIELDS):
            with record.reading(self._name):
                chunks = [record.chunk(row["chunk_id"], row, row["text"]) for row in page]
            yield chunks

    async def vectors(self, ids: Sequence[str]) -> AsyncIterator[tuple[Sequence[str], Matrix]]:
        for start in range(0, len(ids), PAGE):
            wanted = [_uuid(id) for id in ids[start : start + PAGE]]
            async with self._asking() as collection:
                page: Any = await collection.query.fetch_objects(
                    filters=Filter.by_id().contains_any(wanted),
                    limit=len(wanted),
                    return_properties=["chunk_id"],
                    include_vector=[VECTOR],
                )
            if found := [each for each in page.objects if VECTOR in each.vector]:
                rows = np.array([each.vector[VECTOR] for each in found], np.float32)
                yield [each.properties["chunk_id"] for each in found], rows

    async def stored_keys(
        self, source: str | None = None, path: str | None = None
    ) -> AsyncIterator[list[ChunkKey]]:
        fields = ["chunk_id", *record.KEY_FIELDS]
        wanted = {"source": source, "path": path}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        pages = self._pages(fields) if not wanted else self._matching(fields, wanted)
        async for page in pages:
            with record.reading(self._name):
                keys = [record.key(row["chunk_id"], row) for row in page]
            yield keys

    async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
        new = {"id": str(uuid4()), **record.description(embedding_model, dimension)}
        async with self._connection.calling(CALL_SECONDS) as client:
            if (said := await self._said(client)) is None:
                said = await self._create(client, new)
        return self._info(said)

    async def begin(self) -> None:
        await self._say(record.PENDING)

    async def publish(self, version: int, documents: int, sources: str | None = None) -> None:
        async with self._connection.calling(CALL_SECONDS) as client:
            # After a batch the server's log of the vector index is still in memory (1.35 writes it
            # before the batch's last vectors are in it): a kill would lose vectors, and keep their
            # chunks. To delete an object writes the log out.
            await self._must_exist(client)  # or the insertion would make it
            nothing = await self._collection(client).data.insert({})
            await self._collection(client).data.delete_by_id(nothing)
        await self._say(record.published(version, documents, sources))

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
        async with self._connection.calling(CALL_SECONDS) as client:
            try:
                done = await self._collection(client).data.insert_many([_object(e) for e in chunks])
            except WeaviateInsertManyAllFailedError as error:
                raise VectorStoreUnavailableError(f"Weaviate took no chunk: {error}") from error
        if done.errors:
            first = next(iter(done.errors.values()))
            raise VectorStoreUnavailableError(
                f"Weaviate took {len(chunks) - len(done.errors)} of {len(chunks)} chunks: "
                f"{first.message}"
            )

    async def delete(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        async with self._connection.calling(CALL_SECONDS) as client:
            chosen = Filter.by_id().contains_any([_uuid(id) for id in ids])
            done = await self._collection(client).data.delete_many(where=chosen)
        if done.failed:
            raise VectorStoreUnavailableError(f"Weaviate did not delete {done.failed} chunks")

    def _collection(self, client: WeaviateAsyncClient) -> Any:
        collection = client.collections.use(self._class)
        return collection.with_consistency_level(ConsistencyLevel.QUORUM)

    async def _create(self, client: WeaviateAsyncClient, new: dict[str, Any]) -> dict[str, Any]:
        """Create the class; where somebody else just did, return what that one says."""
        try:
            await self._create_class(client, json.dumps(new))
        except UnexpectedStatusCodeError:
            if (said := await self._said(client)) is None:
                raise
            return said
        return new

    async def _create_class(self, client: WeaviateAsyncClient, description: str) -> None:
        """Only the fields that `stored_keys` filters by get an inverted index."""
        await client.collections.create(
            self._class,
            description=description,
            vector_config=Configure.Vectors.self_provided(
                name=VECTOR,
                quantizer=Configure.VectorIndex.Quantizer.none(),
                vector_index_config=Configure.VectorIndex.hnsw(
                    distance_metric=VectorDistances.COSINE
                ),
            ),
            properties=[
                Property(
                    name=name,
                    data_type=DataType.INT if name in _NUMBERS else DataType.TEXT,
                    index_filterable=name in ("source", "path"),
                    index_searchable=None if name in _NUMBERS else False,
                    tokenization=None if name in _NUMBERS else Tokenization.FIELD,
                )
                for name in ("description", *_FIELDS)
            ],
        )

    def _info(self, said: Mapping[str, Any]) -> IndexInfo:
        return record.info(self._name, str(said.get("id", "")), said)

    async def _said(self, client: WeaviateAsyncClient) -> dict[str, Any] | None:
        """Return what the collection says of itself; None where there is none."""
        try:
            found = await self._collection(client).query.fetch_object_by_id(
                DESCRIPTION, return_properties=["description"]
            )
        except WeaviateQueryError as error:
            said = await self._said_at_first(client)
            if said is None or any(words in str(error) for words in UNFINISHED):
                return said
            raise
        if found is None:
            return await self._said_at_first(client)
        return json.loads(found.properties["description"])

    async def _said_at_first(self, client: WeaviateAsyncClient) -> dict[str, Any] | None:
        """Return what the class was created with: nothing where somebody else made it."""
        try:
            made = await client.collections.use(self._class).config.get(simple=True)
        except UnexpectedStatusCodeError as error:
            if error.status_code == HTTPStatus.NOT_FOUND:
                return None
            raise
        with record.reading(self._name):
            return dict(json.loads(made.description or "{}"))

    @asynccontextmanager
    async def _asking(self, seconds: float = CALL_SECONDS) -> AsyncGenerator[Any]:
        """Call the collection. Raises IndexMissingError where the failure is that there is none."""
        async with self._connection.calling(seconds) as client:
            try:
                yield self._collection(client)
            except WeaviateQueryError:
                await self._must_exist(client)
                raise

    async def _must_exist(self, client: WeaviateAsyncClient) -> dict[str, Any]:
        said = await self._said(client)
        if said is None:
            raise IndexMissingError(f"there is no collection {self._name!r}")
        return said

    async def _say(self, changed: Mapping[str, object]) -> None:
        async with self._connection.calling(CALL_SECONDS) as client:
            said = {**await self._must_exist(client), **changed}
            data = self._collection(client).data
            try:
                await data.replace(DESCRIPTION, _description(said))
            except UnexpectedStatusCodeError:
                await data.insert(_description(said), uuid=DESCRIPTION)

    async def _matching(
        self, fields: list[str], wanted: Mapping[str, str]
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Find rows by their fields in one query, or among all where it cannot take so many."""
        chosen = Filter.all_of([Filter.by_property(name).equal(wanted[name]) for name in wanted])
        async with self._asking() as collection:
            found: Any = await collection.query.fetch_objects(
                filters=chosen, limit=MOST_FOUND, return_properties=fields
            )
        if len(found.objects) < MOST_FOUND:
            yield [each.properties for each in found.objects]
            return
        async for page in self._pages(fields):
            yield [row for row in page if wanted.items() <= row.items()]

    async def _pages(self, fields: list[str]) -> AsyncIterator[list[Mapping[str, Any]]]:
        after: UUID | None = None
        while True:
            async with self._asking() as collection:
                page: Any = await collection.query.fetch_objects(
                    limit=PAGE, after=after, return_properties=fields
                )
            rows = [each.properties for each in page.objects if each.properties["chunk_id"]]
            if rows:
                yield rows
            if len(page.objects) < PAGE:
                return
            after = page.objects[-1].uuid


def _description(said: Mapping[str, object]) -> dict[str, str]:
    return {"description": json.dumps(said)}


def _uuid(id: str) -> UUID:
    return uuid5(NAMESPACE_URL, id)


def _object(each: EmbeddedChunk) -> Any:
    properties = {
        "chunk_id": each.chunk.key.id, "text": each.chunk.text, **record.row(each)
    }  # fmt: skip
    vector = {VECTOR: each.vector.tolist()}
    return DataObject(properties=properties, uuid=_uuid(each.chunk.key.id), vector=vector)
