"""Ingestion against a store in memory: what is embedded, what goes, and what a crash leaves."""

from __future__ import annotations

import dataclasses

import pytest

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Document
from agent_runtime.errors import IndexMismatchError, NoDocumentsError
from agent_runtime.knowledge.ingest import Ingested, ingest
from agent_runtime.retrieval.snapshot import complete
from tests.unit.runtime.fakes import HashingEmbedder, KilledError, MemoryStore

LONG = "\n\n".join(f"Paragraph {n} " + "word " * 25 + "end." for n in range(5))


def document(path: str, text: str, version: str = "1") -> Document:
    return Document("s", path, path, text, f"{path}-{version}".ljust(32, "0"))


async def run(
    store: MemoryStore, *documents: Document, embedder: HashingEmbedder | None = None
) -> Ingested:
    config = ChunkingConfig(max_tokens=32)
    embedder = embedder or HashingEmbedder()
    return await ingest(documents, store, embedder, config, lambda done, total: None)


async def test_the_first_run_publishes_the_first_version() -> None:
    store = MemoryStore()
    done = await run(store, document("a.md", "One."), document("b.md", LONG))
    assert done == Ingested(documents=2, chunks=len(store.chunks), changed=2, index_version=1)
    assert store.info is not None
    assert (store.info.version, store.info.documents, store.info.pending) == (1, 2, False)


async def test_the_second_run_of_the_same_does_nothing() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    await run(store, document("a.md", "One."))
    store.fail_after = 0  # whatever changes the store ends the test
    assert (await run(store, document("a.md", "One."), embedder=embedder)).index_version == 1
    assert embedder.embedded == []


async def test_only_what_changed_is_embedded_and_what_is_gone_is_deleted() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    await run(store, document("a.md", "One."), document("b.md", "Two."), document("c.md", "Three."))
    done = await run(
        store, document("a.md", "One."), document("b.md", "New.", "2"), embedder=embedder
    )
    assert (done.documents, done.changed, done.index_version) == (2, 2, 2)
    assert sorted(each.chunk.text for each in store.chunks.values()) == ["New.", "One."]
    assert all("One." not in text for text in embedder.embedded)


@pytest.mark.parametrize("step", range(15))
async def test_a_run_killed_anywhere_is_completed_by_the_next(step: int) -> None:
    store = MemoryStore()
    await run(store, document("a.md", "One."), document("b.md", LONG))
    new = [document("a.md", "Two.", "2"), document("b.md", LONG + " More.", "2")]
    store.fail_after = step
    killed = False
    try:
        await run(store, *new)
    except KilledError:
        killed = True
    # A reader that loads now sees each document whole, in its old or its new version.
    seen = complete(await anext(store.read()))
    assert {each.chunk.key.path for each in seen} == {"a.md", "b.md"}

    store.fail_after = None
    done = await run(store, *new)
    assert {each.chunk.key.fingerprint for each in store.chunks.values()} == {
        each.fingerprint for each in new
    }
    assert done.index_version == 2
    assert killed == (step < 14)  # begin, 6 upserts, 6 deletes, publish


async def test_an_index_of_another_model_is_not_touched() -> None:
    store = MemoryStore()
    await run(store, document("a.md", "One."))
    assert store.info is not None
    store.info = dataclasses.replace(store.info, embedding_model="org/other")
    with pytest.raises(IndexMismatchError, match="org/other"):
        await run(store, document("a.md", "Two.", "2"))


async def test_documents_without_text_are_an_error() -> None:
    with pytest.raises(NoDocumentsError):
        await run(MemoryStore(), document("a.md", "# Heading only"))
