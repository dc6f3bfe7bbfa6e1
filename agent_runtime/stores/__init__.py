"""Vector stores: adapters behind the IndexReader and IndexWriter ports, chosen by an address."""

from __future__ import annotations

from typing import Protocol

from agent_runtime.ports import IndexReader, IndexWriter
from agent_runtime.stores.address import Address


class Index(IndexReader, IndexWriter, Protocol):
    """A collection for reading and writing. Nothing is connected before the first call."""

    async def close(self) -> None:
        """Give connections, memory and locks back; the next call takes them again."""
        ...


def open_index(address: Address, token: str | None = None) -> Index:
    """Return the adapter of an address's engine, importing only that one's packages.

    `token` is sent as a bearer token to the servers that ask for one.
    """
    if address.engine == "faiss":
        from agent_runtime.stores.faiss import FaissIndex

        return FaissIndex(address)
    if address.engine == "weaviate":
        from agent_runtime.stores.weaviate import WeaviateIndex

        return WeaviateIndex(address, token)
    from agent_runtime.stores.chroma import ChromaIndex

    return ChromaIndex(address, token)
