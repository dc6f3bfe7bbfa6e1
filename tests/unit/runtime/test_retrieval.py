"""Fusion, lexical search, snapshots, and the follower's states."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent_runtime.config import RetrievalConfig
from agent_runtime.domain import EmbeddedChunk, Hit, IndexedChunk, IndexInfo, Matrix, Vector
from agent_runtime.errors import AgentError, IndexMismatchError, VectorStoreUnavailableError
from agent_runtime.retrieval import follower as following
from agent_runtime.retrieval.dense import COPY_BYTES, QUICK_ROWS, DenseCopy
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.fusion import fuse
from agent_runtime.retrieval.hybrid import HybridRetriever, merge
from agent_runtime.retrieval.lexical import LexicalIndex
from agent_runtime.retrieval.snapshot import Snapshot, complete
from agent_runtime.telemetry import Telemetry
from tests.unit.runtime.fakes import HashingVectors, MemoryStore, indexed

rankings = st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=3)


def test_what_both_rankings_find_comes_first() -> None:
    assert [id for id, _ in fuse([["a", "b", "c"], ["c", "d"]], 3)] == ["c", "a", "b"]


def test_a_ranking_of_less_weight_settles_less() -> None:
    assert [id for id, _ in fuse([["a", "b"], ["b", "a"]], 2, (1.0, 0.5))] == ["a", "b"]
    assert [id for id, _ in fuse([["a", "b"], ["b", "a"]], 2, (0.5, 1.0))] == ["b", "a"]


@given(rankings, st.integers(1, 6))
def test_fusion_keeps_ids_once_best_first(ranked: list[list[str]], limit: int) -> None:
    fused = fuse(ranked, limit)
    ids = [id for id, _ in fused]
    assert len(set(ids)) == len(ids) == min(limit, len({id for each in ranked for id in each}))
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


def test_a_model_that_does_not_read_the_language_only_fills_up() -> None:
    assert [id for id, _ in merge(["x", "a"], ["a", "b"], False, 3)] == ["a", "b", "x"]
    assert [id for id, _ in merge(["x"], [], False, 3)] == ["x"]


def test_lexical_search_finds_both_languages_by_rarity() -> None:
    index = LexicalIndex(
        {"en": "Refunds by PayPal take days", "days": "days days days", "zh": "退款一般三天到账"}
    )
    assert index.search(index.terms("paypal refund"), 3) == ["en", "zh"], "退款 is a refund"
    assert index.search(index.terms("paypal"), 1) == ["en"]
    assert index.search(index.terms("退款要几天"), 3)[0] == "zh"
    assert index.search(index.terms("Who?"), 3) == []
    assert index.search(index.terms("reimbursement"), 3) == ["en", "zh"], "by their synonyms"
    weights = index.weights("days paypal unheard")
    assert weights["day"] < weights["paypal"] < weights["unheard"]


def test_an_empty_index_finds_nothing() -> None:
    assert LexicalIndex({}).search({"a": 1.0}, 3) == []


def test_half_written_documents_are_left_out() -> None:
    old = indexed("Old.", fingerprint="1")
    half = indexed("Half.", fingerprint="2", total=2)
    assert complete([old, half]) == [old]
    rest = indexed("Rest.", fingerprint="2", ordinal=1, total=2)
    assert complete([half, rest]) == [half, rest]


class Story:
    """A follower with a store in the test's hands."""

    def __init__(self, store: MemoryStore | None = None, copy_bytes: int = COPY_BYTES) -> None:
        self.versions: list[int] = []
        self.store = store or MemoryStore()
        self.vectors = HashingVectors()
        self.embedder = self.vectors.embedder
        self.follower = IndexFollower(self.store, self.vectors, self._noted, copy_bytes)
        self.retriever = HybridRetriever(
            RetrievalConfig(), self.vectors, self.follower, Telemetry("r")
        )

    def _noted(self, snapshot: Snapshot) -> None:
        self.versions.append(snapshot.info.version)

    def publish(self, version: int, text: str, id: str = "1") -> None:
        each = indexed(text, fingerprint=str(version))
        vector = self.embedder.embed([text], "query")[0]
        self.store.chunks = {
            each.chunk.key.id: EmbeddedChunk(each.chunk, vector, each.sentence_vectors)
        }
        self.store.info = IndexInfo("c", id, self.embedder.model, 64, version, 1, False)

    async def reason(self) -> str:
        """Do a round and return why it is not ready, or degraded."""
        await self.follower.follow()
        try:
            self.follower.loaded()
        except AgentError as error:
            return error.reason
        trouble = self.follower.trouble
        return f"Degraded: {trouble.reason}" if trouble else "Ready"

    async def found(self) -> list[str]:
        """Return the passages for a question."""
        evidence = await self.retriever.retrieve("refund?")
        return [each.indexed.chunk.text for each in evidence.passages]


async def test_the_follower_says_why_it_is_not_ready() -> None:
    story = Story()
    with pytest.raises(AgentError) as starting:
        story.follower.loaded()
    assert starting.value.reason == "Starting"
    assert await story.reason() == "IndexMissing"
    story.publish(0, "text")
    assert await story.reason() == "IndexMissing"
    story.publish(1, "text")
    assert await story.reason() == "Ready"
    story.store.info = IndexInfo("c", "1", "org/other", 64, 2, 1, False)
    assert await story.reason() == "Degraded: IndexMismatch"


async def test_an_error_that_nobody_foresaw_is_told_and_it_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(following, "RETRY_SECONDS", 3600)
    monkeypatch.setattr(following, "UNFORESEEN_SECONDS", 0.0)
    story = Story()
    story.publish(1, "refund by card")
    assert await story.reason() == "Ready"
    describe, asked = story.store.describe, 0

    async def broken() -> IndexInfo | None:
        nonlocal asked
        asked += 1
        raise KeyError("version")

    monkeypatch.setattr(story.store, "describe", broken)
    running = asyncio.create_task(story.follower.run())
    try:
        async with asyncio.timeout(10):
            while asked < 3:  # noqa: ASYNC110
                await asyncio.sleep(0)
            trouble = story.follower.trouble
            assert trouble is not None
            assert trouble.reason == "InternalError"
            assert str(trouble) == "the index cannot be loaded: KeyError('version')"
            assert await story.found() == ["refund by card"]
            monkeypatch.setattr(story.store, "describe", describe)
            story.publish(2, "refund by post")
            while story.follower.trouble is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert await story.found() == ["refund by post"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    (logged,) = [each for each in caplog.records if "InternalError" in each.getMessage()]
    assert logged.exc_info, "once, with where it came from"


async def test_an_agent_that_was_ready_answers_from_its_copy_while_the_store_is_away() -> None:
    story = Story()
    story.publish(1, "refund by card")
    assert await story.reason() == "Ready"
    story.store.away = True
    assert await story.reason() == "Degraded: VectorStoreUnavailable"
    assert await story.found() == ["refund by card"]
    story.publish(2, "refund by post")
    story.store.away = False
    assert await story.reason() == "Ready"
    assert await story.found() == ["refund by post"]
    assert story.store.searches == 0


async def test_a_first_start_without_the_store_is_not_ready() -> None:
    story = Story()
    story.store.away = True
    assert await story.reason() == "VectorStoreUnavailable"
    with pytest.raises(VectorStoreUnavailableError):
        await story.found()


async def test_a_collection_that_vanished_is_missing_until_it_is_there_again() -> None:
    story = Story()
    story.publish(1, "refund by card")
    assert await story.reason() == "Ready"
    story.store.info = None
    assert await story.reason() == "Degraded: IndexMissing"
    assert await story.found() == ["refund by card"]
    story.publish(0, "refund", id="2")  # as an ingestion begins
    assert await story.reason() == "Degraded: IndexMissing"
    story.publish(1, "refund by post", id="2")
    assert await story.reason() == "Ready"
    assert await story.found() == ["refund by post"]


async def test_a_collection_that_lost_its_documents_is_missing() -> None:
    story = Story()
    story.publish(1, "refund")
    story.store.chunks = {}
    assert await story.reason() == "IndexMissing"
    story.publish(2, "refund")
    assert await story.reason() == "Ready"
    story.publish(3, "refund")
    story.store.chunks = {}
    assert await story.reason() == "Degraded: IndexMissing"
    assert await story.found() == ["refund"]


async def test_without_a_copy_a_store_that_is_away_is_asked_by_the_rounds_only() -> None:
    story = Story(copy_bytes=0)
    story.publish(1, "refund")
    assert await story.reason() == "Ready"
    story.store.away = True
    asked = story.store.searches
    for _ in range(5):
        with pytest.raises(VectorStoreUnavailableError, match="away"):
            await story.found()
    assert story.store.searches == asked + 1
    assert await story.reason() == "Degraded: VectorStoreUnavailable"
    story.store.away = False
    assert await story.reason() == "Ready"
    assert await story.found() == ["refund"]


class Deaf(MemoryStore):
    """It says that it is there and finds nothing while `away`."""

    async def describe(self) -> IndexInfo | None:
        return self.info


async def test_a_store_that_searches_nothing_is_not_believed_to_be_back() -> None:
    story = Story(Deaf(), copy_bytes=0)
    story.publish(1, "refund")
    assert await story.reason() == "Ready"
    story.store.away = True
    with pytest.raises(VectorStoreUnavailableError):
        await story.found()
    assert await story.reason() == "Degraded: VectorStoreUnavailable"
    story.store.away = False
    assert await story.reason() == "Ready"


@pytest.mark.timeout(60)
async def test_a_search_that_failed_is_looked_into_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 3600)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.001)
    story = Story(copy_bytes=0)
    story.publish(1, "refund")
    running = asyncio.create_task(story.follower.run())
    while not story.versions:  # noqa: ASYNC110
        await asyncio.sleep(0)
    story.store.away = True
    with pytest.raises(VectorStoreUnavailableError):
        await story.found()
    story.store.away = False
    while story.follower.trouble is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert await story.found() == ["refund"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_store_that_searches_in_this_process_needs_no_copy() -> None:
    store = MemoryStore()
    store.local = True
    story = Story(store)
    story.publish(1, "refund")
    assert await story.reason() == "Ready"
    story.store.info = None
    assert await story.reason() == "Degraded: IndexMissing"
    assert await story.found() == ["refund"]
    assert store.copied == []


async def test_only_vectors_that_are_new_are_copied() -> None:
    story = Story()
    story.publish(1, "refund")
    await story.reason()
    first = next(iter(story.store.chunks.values()))
    story.publish(2, "refund by post")
    story.store.chunks[first.chunk.key.id] = first
    assert await story.reason() == "Ready"
    assert len(story.store.copied) == len(set(story.store.copied)) == 2
    assert set(await story.found()) == {"refund", "refund by post"}
    story.publish(2, "refund", id="2")
    assert await story.reason() == "Ready"
    assert len(story.store.copied) == 3, "of another collection nothing is known"


async def test_vectors_of_another_dimension_are_a_mismatch() -> None:
    story = Story()
    story.publish(1, "refund")
    each = next(iter(story.store.chunks.values()))
    story.store.chunks = {each.chunk.key.id: dataclasses.replace(each, vector=each.vector[:8])}
    assert await story.reason() == IndexMismatchError.reason


class Forgetful(MemoryStore):
    """A collection that has no vectors to be read."""

    async def vectors(self, ids: Sequence[str]) -> AsyncIterator[tuple[Sequence[str], Matrix]]:
        for none in ids[:0]:
            yield [none], np.empty((1, 64), np.float32)


async def test_half_a_copy_is_none() -> None:
    story = Story(Forgetful())
    story.publish(1, "refund")
    assert await story.reason() == "Ready"
    assert not story.follower.searches_alone
    assert await story.found() == ["refund"]
    assert story.store.searches == 2, "one for the warm-up"


def unit_rows(count: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(1).normal(size=(count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("count", [0, 1, 50, QUICK_ROWS + 1])
@pytest.mark.parametrize("limit", [1, 20])
async def test_a_copy_finds_the_nearest_of_all(count: int, limit: int) -> None:
    rows = unit_rows(count)
    question: Vector = unit_rows(count + 1)[-1]
    cosines = [(float(row @ question), str(number)) for number, row in enumerate(rows)]
    best = sorted(cosines, reverse=True)[:limit]
    found: list[Hit] = await DenseCopy([str(n) for n in range(count)], rows).search(question, limit)
    assert [hit.id for hit in found] == [id for _, id in best]
    assert [hit.score for hit in found] == pytest.approx([score for score, _ in best], abs=1e-5)


async def test_a_new_version_or_a_new_collection_is_loaded_as_a_whole_once() -> None:
    story = Story()
    story.publish(1, "old")
    await story.reason()
    await story.reason()
    before = story.follower.loaded()
    story.publish(2, "new")
    await story.reason()
    assert [each.chunk.text for each in story.follower.loaded().chunks.values()] == ["new"]
    assert [each.chunk.text for each in before.chunks.values()] == ["old"]
    story.publish(2, "recreated", id="2")
    await story.reason()
    assert story.versions == [1, 2, 2]


class SlowStore(MemoryStore):
    """A collection that is read as slowly as a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.go_on = asyncio.Event()

    async def read(self) -> AsyncIterator[list[IndexedChunk]]:
        self.reads += 1
        chunks = [IndexedChunk(each.chunk, each.sentence_vectors) for each in self.chunks.values()]
        await self.go_on.wait()
        yield chunks


async def test_who_asks_while_a_version_is_loaded_waits_for_it_and_finds_it_loaded() -> None:
    store = SlowStore()
    story = Story(store)
    story.publish(1, "text")
    rounds = [asyncio.create_task(story.follower.follow()) for _ in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    store.go_on.set()
    await asyncio.gather(*rounds)
    assert (store.reads, story.versions) == (1, [1])
    assert story.follower.loaded().info.version == 1


async def test_a_slow_load_does_not_bring_back_what_was_deleted_since() -> None:
    store = SlowStore()
    story = Story(store)
    story.publish(5, "deleted")
    slow = asyncio.create_task(story.follower.follow())
    while not store.reads:  # noqa: ASYNC110
        await asyncio.sleep(0)
    story.publish(6, "left")
    waiting = asyncio.create_task(story.follower.follow())
    await asyncio.sleep(0)
    store.go_on.set()
    await asyncio.gather(slow, waiting)
    assert story.versions == [5, 6]


async def test_a_note_that_changes_follow_does_not_take_a_version_back() -> None:
    story = Story()
    story.publish(5, "text")
    await story.reason()
    assert story.store.info is not None
    story.store.info = dataclasses.replace(story.store.info, version=4, pending=True)
    assert await story.reason() == "Ready"
    assert story.versions == [5]


async def test_what_a_lagging_clock_published_last_is_loaded() -> None:
    story = Story()
    story.publish(5, "old")
    await story.reason()
    story.publish(4, "new")
    await story.reason()
    assert [each.chunk.text for each in story.follower.loaded().chunks.values()] == ["new"]


async def test_documents_are_counted_as_they_are_there() -> None:
    story = Story()
    story.publish(1, "text")
    assert story.store.info is not None
    story.store.info = dataclasses.replace(story.store.info, documents=7)
    await story.reason()
    assert story.follower.loaded().info.documents == 1


async def test_retrieval_leaves_out_what_the_snapshot_does_not_know() -> None:
    story = Story(copy_bytes=0)
    story.publish(1, "refund by card")
    await story.reason()
    unknown = indexed("refund", fingerprint="next")
    story.store.chunks[unknown.chunk.key.id] = EmbeddedChunk(
        unknown.chunk, story.embedder.embed(["refund"], "query")[0], unknown.sentence_vectors
    )
    evidence = await story.retriever.retrieve("refund?")
    assert [each.indexed.chunk.text for each in evidence.passages] == ["refund by card"]
    assert evidence.semantic
    assert "refund" in evidence.weights


class LongestFirst:
    """A reranker with a taste of its own."""

    model = "org/longest"

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([len(text) for text in texts], np.float32)


async def test_a_reranker_has_the_last_word_on_the_candidates() -> None:
    story = Story()
    story.publish(1, "refund")
    other = indexed("refund of a very long kind", path="b.md", fingerprint="2")
    story.store.chunks[other.chunk.key.id] = EmbeddedChunk(
        other.chunk, story.embedder.embed(["refund"], "query")[0], other.sentence_vectors
    )
    await story.reason()
    config = RetrievalConfig.model_validate({"topK": 1, "rerank": {"model": "org/longest"}})
    retriever = HybridRetriever(
        config, story.vectors, story.follower, Telemetry("r"), LongestFirst()
    )
    evidence = await retriever.retrieve("refund?")
    assert [each.indexed.chunk.key.path for each in evidence.passages] == ["b.md"]
