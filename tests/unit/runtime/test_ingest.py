"""Ingestion against a store in memory: what is embedded, what goes, and what a crash leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any

import pytest

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk, EmbeddedChunk, IndexInfo
from agent_runtime.errors import (
    ConflictError,
    IndexMismatchError,
    NoDocumentsError,
    VectorStoreUnavailableError,
)
from agent_runtime.knowledge.ingest import Ingested, Ingestion
from agent_runtime.knowledge.preparing import passages, recipe
from agent_runtime.knowledge.scope import SOURCES, Scope, uploads
from agent_runtime.knowledge.sources import Original, Skipped, original
from agent_runtime.retrieval.snapshot import complete
from tests.unit.runtime.fakes import HashingEmbedder, KilledError, MemoryStore

LONG = "\n\n".join(f"Paragraph {n} " + "word " * 25 + "end." for n in range(5))
CONFIG = ChunkingConfig(max_tokens=32)


def document(path: str, text: str, source: str = "s") -> Original:
    return original(source, path, text.encode(), recipe(CONFIG, ""))


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


async def prepare(each: Original) -> AsyncGenerator[list[Chunk]]:
    chunks = passages(each, words, CONFIG)
    for start in range(0, len(chunks), 2):
        yield chunks[start : start + 2]


def ingestion(store: MemoryStore, embedder: HashingEmbedder | None = None) -> Ingestion:
    return Ingestion(
        store, embedder or HashingEmbedder(), prepare, lambda done, total, chunks: None,
        clock=lambda: 0,
    )  # fmt: skip


async def run(
    store: MemoryStore,
    *documents: Original,
    embedder: HashingEmbedder | None = None,
    scope: Scope = SOURCES,
) -> Ingested:
    return await ingestion(store, embedder).run(documents, scope)


def texts(store: MemoryStore) -> list[str]:
    return sorted(each.chunk.text for each in store.chunks.values())


def state(store: MemoryStore) -> tuple[int, int, bool]:
    assert store.info is not None
    return store.info.version, store.info.documents, store.info.pending


async def test_the_first_run_publishes_the_first_version() -> None:
    store = MemoryStore()
    done = await run(store, document("a.md", "One."), document("b.md", LONG))
    assert done == Ingested(documents=2, chunks=len(store.chunks), changed=2, index_version=1)
    assert state(store) == (1, 2, False)


async def test_the_second_run_of_the_same_does_nothing() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    documents = [document("a.md", "One."), document("bad.pdf", "%PDF-"), document("no.md", "# H")]
    first = await run(store, *documents)
    assert [each.path for each in first.skipped] == ["s/bad.pdf"]
    store.fail_after = 0  # whatever changes the store ends the test
    again = await run(store, *documents, embedder=embedder)
    assert (again.index_version, again.changed, again.skipped) == (1, 0, first.skipped)
    assert embedder.embedded == []


async def test_only_what_changed_is_embedded_and_what_is_gone_is_deleted() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    await run(store, document("a.md", "One."), document("b.md", "Two."), document("c.md", "Three."))
    done = await run(store, document("a.md", "One."), document("b.md", "New."), embedder=embedder)
    assert (done.documents, done.changed, done.index_version) == (2, 2, 2)
    assert texts(store) == ["New.", "One."]
    assert all("One." not in text for text in embedder.embedded)


async def test_a_document_that_cannot_be_read_costs_no_other() -> None:
    store = MemoryStore()
    done = await run(
        store, document("a.md", "One."), document("b.pdf", "%PDF-1.7"), document("c.md", "Three.")
    )
    assert texts(store) == ["One.", "Three."]
    assert (done.documents, done.changed) == (2, 2)
    assert done.skipped[0].path == "s/b.pdf"
    assert done.skipped[0].reason.startswith("a broken PDF")


@pytest.mark.parametrize("step", range(15))
async def test_a_run_killed_anywhere_is_completed_by_the_next(step: int) -> None:
    store = MemoryStore()
    await run(store, document("a.md", "One."), document("b.md", LONG))
    await run(store, document("u.md", "Up.", "files"), scope=uploads("u.md"))
    new = [document("a.md", "Two."), document("b.md", LONG + " More."), document("c", "\0")]
    store.fail_after = step
    killed = False
    try:
        await run(store, *new)
    except KilledError:
        killed = True
    # A reader that loads now sees each document whole, in its old or its new version.
    seen = complete(await anext(store.read()))
    assert {each.chunk.key.path for each in seen} == {"a.md", "b.md", "u.md"}

    store.fail_after = None
    done = await run(store, *new)
    assert {each.chunk.key.fingerprint for each in store.chunks.values()} == {
        each.fingerprint for each in (*new[:2], document("u.md", "Up.", "files"))
    }
    assert (done.index_version, done.documents, done.skipped) == (
        3, 2, (Skipped("s/c", "binary, not text"),),
    )  # fmt: skip
    assert state(store) == (3, 3, False)
    assert killed == (step < 14)  # begin, 6 upserts, 6 deletes, publish


@pytest.mark.parametrize("step", range(5))
async def test_an_upload_killed_anywhere_is_completed_by_the_next(step: int) -> None:
    store = MemoryStore()
    await run(store, document("a.md", "One."))
    await run(store, document("u.md", "Old.", "files"), scope=uploads("u.md"))
    new = document("u.md", "New.", "files")
    store.fail_after = step
    killed = False
    try:
        await run(store, new, scope=uploads("u.md"))
    except KilledError:
        killed = True
    store.fail_after = None
    await run(store, new, scope=uploads("u.md"))
    assert texts(store) == ["New.", "One."]
    assert state(store) == (3 if killed else 4, 2, False)
    assert killed == (step < 4)  # begin, upsert, delete, publish


async def test_uploads_and_sources_leave_each_other_alone() -> None:
    store = MemoryStore()
    await run(store, document("a.md", "One."), document("b.md", "Two."))
    done = await run(store, document("u.md", "Up.", "files"), scope=uploads("u.md"))
    assert (done.documents, done.chunks, done.changed, done.index_version) == (1, 1, 1, 2)
    assert state(store) == (2, 3, False)
    await run(store, document("v.md", "Other.", "files"), scope=uploads("v.md"))
    await run(store, document("a.md", "One."))
    assert texts(store) == ["One.", "Other.", "Up."]
    assert state(store) == (4, 3, False)
    gone = await run(store, scope=uploads("u.md"))
    assert (gone.documents, gone.changed) == (0, 1)
    assert texts(store) == ["One.", "Other."]
    assert state(store) == (5, 2, False)
    await run(store, document("v.md", "Other.", "files"), scope=uploads())
    assert state(store) == (6, 2, False)
    await run(store, scope=Scope("s"))  # a source as a whole
    assert texts(store) == ["Other."]


async def test_the_last_upload_can_be_removed() -> None:
    store = MemoryStore()
    await run(store, document("u.md", "Up.", "files"), scope=uploads("u.md"))
    await run(store, scope=uploads("u.md"))
    assert store.chunks == {}
    assert state(store) == (2, 0, False)


class Rival(MemoryStore):
    """Another ingestion publishes whenever this one has written, so many times."""

    def __init__(self, times: int, rival: Original) -> None:
        super().__init__()
        self._times = times
        self._rival = rival

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
        await super().upsert(chunks)
        if self._times:
            self._times -= 1
            other = MemoryStore()
            other.chunks, other.info = self.chunks, self.info
            await run(other, self._rival)
            self.info = other.info


async def test_two_at_once_end_with_what_the_later_one_was_given() -> None:
    store = Rival(1, document("a.md", "Theirs."))
    done = await run(store, document("a.md", "Ours."))
    assert texts(store) == ["Ours."]
    assert (done.index_version, state(store)) == (2, (2, 1, False))


async def test_two_that_saw_the_same_version_do_not_publish_the_same_one() -> None:
    class Late(MemoryStore):
        """Tells of no publication since the first."""

        async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
            info = await super().open(embedding_model, dimension)
            return dataclasses.replace(info, version=1, pending=bool(self.chunks))

    store, now = Late(), itertools.count(1_800_000_000, 1e-6)
    work = ingestion(store)
    work.clock = lambda: next(now)
    versions = [
        (await work.run([document(name, "Up.", "files")], uploads(name))).index_version
        for name in ("a.md", "b.md", "c.md")
    ]
    assert versions == sorted(set(versions))
    assert all(float(each) == each for each in versions)  # as a gauge holds it


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("source", ["s", "files"])
async def test_what_a_killed_run_wrote_while_another_published_is_published_by_the_rerun(
    source: str, added: bool
) -> None:
    scope = SOURCES if source == "s" else uploads("b.md")
    kept = [document("a.md", "One.")] if source == "s" else []
    changed = document("b.md", "Two.", source)
    store = MemoryStore()
    await run(store, document("a.md", "One."))
    if not added:
        await run(store, *kept, changed, scope=scope)
    given = [*kept, changed] if added else kept
    store.fail_after = 2  # begin, and the one write
    with pytest.raises(KilledError):
        await run(store, *given, scope=scope)
    store.fail_after = None
    assert store.info is not None
    version = store.info.version + 1
    store.info = dataclasses.replace(store.info, version=version, pending=False)
    await run(store, *given, scope=scope)
    assert (store.info.version, store.info.pending) == (version + 1, False)
    assert texts(store) == ["One.", "Two."][: 1 + added]


async def test_a_clock_that_lags_does_not_take_a_version_back() -> None:
    store = MemoryStore()
    work = ingestion(store)
    work.clock = lambda: 1_800_000_000
    first = await work.run([document("a.md", "One.")])
    work.clock = lambda: 1_700_000_000
    second = await work.run([document("a.md", "Two.")])
    assert second.index_version == first.index_version + 1


async def test_a_collection_that_others_keep_changing_is_a_conflict_and_a_rerun_completes() -> None:
    store = Rival(3, document("a.md", "Theirs."))
    with pytest.raises(ConflictError, match="run it again"):
        await run(store, document("a.md", "Ours."))
    done = await run(store, document("a.md", "Ours."))
    assert texts(store) == ["Ours."]
    assert state(store) == (done.index_version, 1, False)


class Remote(MemoryStore):
    """Does what it was once told to, whether or not anybody waits for the answer."""

    def __init__(self, slow: str) -> None:
        super().__init__()
        self._slow = slow
        self._server = set[asyncio.Task[None]]()
        self.told, self.go_on = asyncio.Event(), asyncio.Event()

    async def begin(self) -> None:
        await self._do("begin", super().begin())

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
        await self._do("upsert", super().upsert(chunks))

    async def delete(self, ids: Sequence[str]) -> None:
        await self._do("delete", super().delete(ids))

    async def publish(self, version: int, documents: int, sources: str | None = None) -> None:
        await self._do("publish", super().publish(version, documents, sources))

    async def _do(self, method: str, work: Coroutine[Any, Any, None]) -> None:
        if method != self._slow:
            await work
            return

        async def later() -> None:
            self.told.set()
            await self.go_on.wait()
            await work

        task = asyncio.create_task(later())
        self._server.add(task)
        await asyncio.shield(task)


@pytest.mark.parametrize("method", ["begin", "upsert", "delete", "publish"])
async def test_a_run_that_is_cancelled_leaves_nothing_behind_that_is_written_later(
    method: str,
) -> None:
    store = Remote(method)
    store.go_on.set()
    await run(store, document("u.md", "Old.", "files"), scope=uploads("u.md"))
    store.told.clear()
    store.go_on.clear()
    new = document("u.md", "New.", "files")
    running = asyncio.create_task(run(store, new, scope=uploads("u.md")))
    await store.told.wait()
    running.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert not running.done()
    store.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await run(store, scope=uploads("u.md"))
    assert (texts(store), state(store)[1:]) == ([], (0, False))


@pytest.mark.timeout(30)
async def test_a_store_that_fails_ends_the_run_with_its_error() -> None:
    class Failing(MemoryStore):
        async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None:
            raise VectorStoreUnavailableError("away")

    many = [document(f"{n}.md", LONG) for n in range(40)]
    with pytest.raises(VectorStoreUnavailableError):
        await run(Failing(), *many)


async def test_progress_tells_documents_and_chunks() -> None:
    told: list[tuple[int, int, int]] = []
    store = MemoryStore()
    work = Ingestion(store, HashingEmbedder(), prepare, lambda d, t, c: told.append((d, t, c)))
    await work.run([document(f"{n}.md", LONG) for n in range(20)])
    assert told[-1] == (20, 20, len(store.chunks))
    assert told == sorted(told)
    assert len(told) > 2


async def test_an_index_of_another_model_is_not_touched() -> None:
    store = MemoryStore()
    await run(store, document("a.md", "One."))
    assert store.info is not None
    store.info = dataclasses.replace(store.info, embedding_model="org/other")
    with pytest.raises(IndexMismatchError, match="org/other"):
        await run(store, document("a.md", "Two."))


async def test_documents_without_text_are_an_error_that_says_what_was_skipped() -> None:
    with pytest.raises(NoDocumentsError, match=r"s/b\.txt: empty"):
        await run(MemoryStore(), document("a.md", "# Heading only"), document("b.txt", " "))
