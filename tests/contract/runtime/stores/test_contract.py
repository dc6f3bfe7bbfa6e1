"""What every store does alike: the same stories over Chroma, FAISS and Weaviate."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from agent_runtime.errors import ConflictError, IndexMissingError
from agent_runtime.stores import Index, open_index
from agent_runtime.stores.address import parse
from tests.contract.runtime.stores.chunks import DIMENSION, MODEL, chunks, published, read, unit
from tests.contract.runtime.stores.servers import Store

pytestmark = pytest.mark.timeout(1200)  # the first of them may have to build Weaviate
Open = Callable[[], Index]


async def test_a_collection_that_is_not_there_is_none_and_an_error_to_use(index: Index) -> None:
    assert await index.describe() is None
    with pytest.raises(IndexMissingError, match=r"there is no collection 'shop\.Assistant-1"):
        await index.search(unit(1)[0], 3)
    with pytest.raises(IndexMissingError):
        await read(index)
    with pytest.raises(IndexMissingError):
        _ = [page async for page in index.stored_keys()]
    with pytest.raises(IndexMissingError):
        await index.begin()
    with pytest.raises(IndexMissingError):
        await index.publish(1, 1)
    assert await index.describe() is None


async def test_a_new_collection_says_what_it_is_for(
    index: Index, opened: Open, collection: str
) -> None:
    info = await index.open(MODEL, DIMENSION)
    assert (info.collection, info.embedding_model, info.dimension) == (collection, MODEL, DIMENSION)
    assert (info.version, info.documents, info.pending) == (0, 0, False)
    assert info.collection_id
    assert await opened().describe() == info
    assert await index.search(unit(1)[0], 3) == []
    assert await read(index) == {}


async def test_another_embedding_model_is_told_and_changes_nothing(
    index: Index, opened: Open
) -> None:
    info = await index.open(MODEL, DIMENSION)
    assert await opened().open("org/other", 3) == info
    assert await opened().describe() == info


async def test_those_that_open_at_once_agree_on_one_collection(
    store: Store, collection: str
) -> None:
    async def settled(index: Index) -> object:
        try:
            return await index.open(MODEL, DIMENSION)
        except ConflictError:  # FAISS lets one of them create it
            return await index.describe() or await settled(index)

    for round in range(10):  # where nobody decides, a round in three or so has more than one
        indexes = [open_index(parse(store.url(f"{collection}-{round}"))) for _ in range(6)]
        infos = await asyncio.gather(*(settled(index) for index in indexes))
        infos.append(await indexes[0].describe())
        assert len(set(infos)) == 1
        await asyncio.gather(*(index.close() for index in indexes))


async def test_search_gives_the_nearest_first_with_their_cosines(index: Index) -> None:
    rows = unit(300)
    await published(index, chunks(rows))
    question = unit(1, seed=2)[0]
    cosines = rows @ question
    wanted = np.argsort(-cosines)[:10]
    hits = await index.search(question, 10)
    assert [hit.id for hit in hits] == [f"s/a.md#f1-{row}" for row in wanted]
    assert [hit.score for hit in hits] == pytest.approx(cosines[wanted].tolist(), abs=1e-3)
    exact = await index.search(rows[17], 1)
    assert [(hit.id, hit.score) for hit in exact] == [("s/a.md#f1-17", pytest.approx(1, abs=1e-3))]
    opposite = await index.search(-rows[17], 300)
    assert opposite[-1].id == "s/a.md#f1-17"
    assert opposite[-1].score == pytest.approx(-1, abs=1e-3)


async def test_more_is_asked_for_than_there_is(index: Index) -> None:
    await published(index, chunks(unit(3)))
    assert len(await index.search(unit(1)[0], 50)) == 3


async def test_chunks_come_back_as_they_were_page_by_page(index: Index, opened: Open) -> None:
    stored = chunks(unit(1234))
    await published(index, stored)
    found = await read(opened())
    assert len(found) == 1234
    for each in stored:
        got = found[each.chunk.key.id]
        assert got.chunk == each.chunk
        assert got.sentence_vectors.dtype == np.int8
        assert np.array_equal(got.sentence_vectors, each.sentence_vectors)
    keys = [key async for page in index.stored_keys() for key in page]
    assert sorted(keys, key=str) == sorted((each.chunk.key for each in stored), key=str)


@pytest.mark.parametrize(
    "text", ["", " \n\t", "中文，日本語、한국어", "👩‍👩‍👧 e\u0301 \u202e", "\0 x"]
)
async def test_any_text_comes_back_as_it_was(index: Index, text: str) -> None:
    stored = chunks(unit(1), path=f"文件 '{text.strip(chr(0))}'.md", text=text)
    await published(index, stored)
    found = await read(index)
    assert [each.chunk for each in found.values()] == [each.chunk for each in stored]
    key = stored[0].chunk.key
    assert [k async for page in index.stored_keys("s", key.path) for k in page] == [key]


async def test_vectors_come_back_by_their_ids(index: Index) -> None:
    stored = chunks(unit(120))
    await published(index, stored)
    wanted = [each.chunk.key.id for each in stored[5:]]
    found: dict[str, list[float]] = {}
    async for ids, rows in index.vectors([*wanted, "nobody's"]):
        assert rows.shape == (len(ids), DIMENSION)
        found |= dict(zip(ids, rows.tolist(), strict=True))
    assert found.keys() == set(wanted)
    for each in stored[5:]:
        assert found[each.chunk.key.id] == pytest.approx(each.vector.tolist(), abs=1e-3)


async def test_a_chunk_without_sentences_is_kept_too(index: Index) -> None:
    (one,) = chunks(unit(1))
    bare = dataclasses.replace(
        one,
        chunk=dataclasses.replace(one.chunk, sentences=(), headings=()),
        sentence_vectors=np.empty((0, DIMENSION), np.int8),
    )
    await published(index, [bare])
    (found,) = (await read(index)).values()
    assert found.chunk == bare.chunk
    assert len(found.sentence_vectors) == 0


async def test_keys_of_one_source_or_document(index: Index) -> None:
    await published(index, [*chunks(unit(2), "a.md"), *chunks(unit(3), "b.md")])

    async def count(*wanted: str | None) -> int:
        return len([key async for page in index.stored_keys(*wanted) for key in page])

    assert await count() == 5
    assert await count("s") == 5
    assert await count("s", "b.md") == 3
    assert await count("s", "c.md") == 0
    assert await count("other", "b.md") == 0
    assert await count("S", "B.md") == 0


async def test_an_id_that_is_stored_again_is_replaced(index: Index) -> None:
    rows = unit(4)
    await published(index, chunks(rows[:2], text="old"))
    await published(index, chunks(rows[2:], text="new"), version=2)
    assert {each.chunk.text for each in (await read(index)).values()} == {"new 0", "new 1"}
    (hit,) = await index.search(rows[2], 1)
    assert (hit.id, hit.score) == ("s/a.md#f1-0", pytest.approx(1, abs=1e-3))


async def test_what_is_deleted_is_gone_and_the_rest_stays(index: Index) -> None:
    rows = unit(700)
    stored = chunks(rows)
    await published(index, stored)
    await index.begin()
    await index.delete([])
    await index.delete([each.chunk.key.id for each in stored[:600]])
    await index.delete(["never/was#1-0"])
    await index.publish(2, 1)
    assert set(await read(index)) == {each.chunk.key.id for each in stored[600:]}
    hits = await index.search(rows[0], 700)
    assert {hit.id for hit in hits} == {each.chunk.key.id for each in stored[600:]}


async def test_a_reader_sees_a_new_version_and_that_one_is_pending(
    index: Index, opened: Open
) -> None:
    reader, rows = opened(), unit(2)
    await published(index, chunks(rows[:1]))
    first = await reader.describe()
    assert first is not None
    assert (first.version, first.documents, first.pending) == (1, 1, False)
    assert len(await reader.search(rows[1], 5)) == 1
    await index.begin()
    pending = await reader.describe()
    assert pending is not None
    assert (pending.version, pending.pending) == (1, True)
    await index.upsert(chunks(rows, fingerprint="f2"))
    await index.publish(2, 2)
    second = await reader.describe()
    assert second is not None
    assert (second.version, second.documents, second.pending) == (2, 2, False)
    assert second.collection_id == first.collection_id
    (best, *_) = await reader.search(rows[1], 5)
    assert best.id == "s/a.md#f2-1"
    assert len(await read(reader)) == 3


async def test_a_publication_that_says_nothing_of_the_sources_leaves_them(index: Index) -> None:
    info = await index.open(MODEL, DIMENSION)
    assert info.sources == ""
    for version, sources, said in ((1, "s1", "s1"), (2, None, "s1"), (3, "s3", "s3")):
        await index.begin()
        await index.publish(version, 0, sources)
        now = await index.describe()
        assert now is not None
        assert (now.version, now.sources) == (version, said)


async def test_a_search_goes_on_while_another_publishes(index: Index, opened: Open) -> None:
    reader, rows = opened(), unit(400)
    await published(index, chunks(rows[:100]))
    done = asyncio.Event()

    async def ask() -> int:
        asked = 0
        while not done.is_set():
            await reader.describe()
            (hit,) = await reader.search(rows[5], 1)
            assert hit.id == "s/a.md#f1-5"
            asked += 1
        return asked

    asking = asyncio.create_task(ask())
    try:
        for version in range(2, 6):
            await published(index, chunks(rows[: 80 * version]), version)
    finally:
        done.set()
    assert await asking > 0


async def test_a_closed_index_is_opened_by_its_next_call(index: Index) -> None:
    await published(index, chunks(unit(2)))
    await index.close()
    await index.close()
    assert len(await index.search(unit(1)[0], 5)) == 2
