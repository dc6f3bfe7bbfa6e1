"""FAISS's own: crashes at any point, two writers, readers of a snapshot that is about to go."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from agent_runtime.errors import ConflictError, IndexMismatchError, VectorStoreUnavailableError
from agent_runtime.stores import Index, faiss_snapshot, faiss_vectors, open_index
from agent_runtime.stores.address import parse
from agent_runtime.stores.faiss_folder import CollectionFolder
from tests.contract.runtime.processes import REPOSITORY
from tests.contract.runtime.stores.chunks import (
    DIMENSION,
    MODEL,
    chunks,
    published,
    read,
    unit,
)
from tests.unit.runtime.fakes import KilledError

QUESTION = unit(1)[0]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"faiss://{tmp_path}/store/docs"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return tmp_path / "store" / "docs"


def at(url: str) -> Index:
    return open_index(parse(url))


def snapshots(docs: Path) -> list[Path]:
    return list(docs.glob("snapshot-*"))


def files(docs: Path) -> list[str]:
    return sorted(each.name for each in docs.iterdir() if each.is_file())


def python(code: str, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, url]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)


@pytest.mark.parametrize("step", range(7))
async def test_a_crash_at_any_point_leaves_the_version_before(
    url: str, docs: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await published(at(url), chunks(unit(3)))
    left = step
    really = faiss_snapshot.sync

    def killed(path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError
        really(path)

    writer, rows = at(url), unit(5)
    await writer.begin()
    await writer.upsert(chunks(rows, fingerprint="f2"))
    monkeypatch.setattr(faiss_snapshot, "sync", killed)
    with pytest.raises(KilledError):
        await writer.publish(2, 1)
    monkeypatch.undo()
    await writer.close()
    reader = at(url)
    info = await reader.describe()
    assert info is not None
    # The last sync of all is of the folder, after the pointer was replaced.
    assert (info.version, len(await read(reader))) == ((2, 8) if step == 6 else (1, 3))
    await published(at(url), chunks(rows, fingerprint="f2"), version=3)
    assert len(await read(reader)) == 8
    assert len(snapshots(docs)) == 1
    assert files(docs) == ["current.json", "lock"]


WRITE = """
import asyncio, sys
from agent_runtime.stores import open_index
from agent_runtime.stores.address import parse
from tests.contract.runtime.stores.chunks import chunks, published, unit

async def main():
    index = open_index(parse(sys.argv[1]))
    for version in range(1, 10_000):
        await published(index, chunks(unit(100 + version % 7), text=str(version)), version)

asyncio.run(main())
"""


async def test_killed_writers_never_leave_a_reader_without_a_whole_version(
    url: str, docs: Path
) -> None:
    reader, seen = at(url), set[int]()
    for kill in range(3):
        with python(WRITE, url) as writer:
            try:
                began = len(seen)
                deadline = time.monotonic() + 60
                while len(seen) < began + 4 + kill and time.monotonic() < deadline:
                    info = await reader.describe()
                    if info is None or info.version == 0:
                        await asyncio.sleep(0.01)
                        continue
                    found = await read(reader)
                    texts = {each.chunk.text.split()[0] for each in found.values()}
                    assert len(texts) >= 1
                    hits = await reader.search(QUESTION, 5)
                    assert len(hits) == 5
                    seen.add(info.version * 10 + kill)
            finally:
                writer.send_signal(signal.SIGKILL)
    assert len(seen) >= 12
    await published(at(url), chunks(unit(2), fingerprint="f9"), version=99)
    assert len(snapshots(docs)) == 1


async def test_two_write_one_after_the_other(url: str) -> None:
    one, two = at(url), at(url)
    await one.open(MODEL, DIMENSION)
    await one.begin()
    await one.upsert(chunks(unit(2), path="a.md"))
    with pytest.raises(ConflictError, match="another ingestion is writing to collection 'docs'"):
        await published(two, chunks(unit(2), path="b.md"))
    await one.publish(1, 1)
    await published(two, chunks(unit(2), path="b.md"), version=2)
    assert len(await read(at(url))) == 4
    await one.begin()
    await one.close()  # gives the lock up with what was not published
    await published(two, chunks(unit(2), path="c.md"), version=3)
    assert len(await read(at(url))) == 6


async def test_what_is_published_again_is_not_written_again(url: str, docs: Path) -> None:
    writer, other = at(url), at(url)
    await published(writer, chunks(unit(3)))
    before = snapshots(docs)
    await writer.publish(2, 1)
    info = await other.describe()
    assert info is not None
    assert (info.version, info.pending, snapshots(docs)) == (2, False, before)
    await other.begin()
    with pytest.raises(ConflictError):
        await writer.publish(3, 1)
    await other.close()
    await published(writer, chunks(unit(2), path="b.md"), version=3)
    assert len(await read(other)) == 5


async def test_the_lock_of_a_process_that_was_killed_is_free(url: str) -> None:
    hold = (
        "import asyncio, sys, time\nfrom agent_runtime.stores import open_index\n"
        "from agent_runtime.stores.address import parse\n"
        "async def main():\n    i = open_index(parse(sys.argv[1]))\n"
        "    await i.open('m', 64)\n    await i.begin()\n    print('held', flush=True)\n"
        "    time.sleep(60)\nasyncio.run(main())\n"
    )
    with python(hold, url) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(ConflictError):
                await at(url).begin()
        finally:
            holder.kill()
    await published(at(url), chunks(unit(2)))


async def test_a_snapshot_that_is_being_loaded_stays_until_it_is(url: str, docs: Path) -> None:
    await published(at(url), chunks(unit(3)))
    loading, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> int:
        loading.set()
        assert go_on.wait(60)
        return len(faiss_snapshot.chunks(folder))

    reader = asyncio.create_task(asyncio.to_thread(CollectionFolder(docs).load, slow, 0))
    try:
        assert await asyncio.to_thread(loading.wait, 60)
        for version in (2, 3):
            await published(at(url), chunks(unit(version)), version)
        assert len(snapshots(docs)) == 2
    finally:
        go_on.set()
    assert await reader == 3
    await published(at(url), chunks(unit(1)), version=4)
    assert len(snapshots(docs)) == 1


async def test_a_call_that_is_cancelled_leaves_no_lock_behind(url: str) -> None:
    index = at(url)
    await published(index, chunks(unit(3000)))
    beginning = asyncio.create_task(index.begin())
    await asyncio.sleep(0)
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    await index.close()
    await published(at(url), chunks(unit(2)), version=2)


async def test_what_is_broken_is_said_with_its_path(url: str, docs: Path) -> None:
    await published(at(url), chunks(unit(2)))
    (snapshot,) = snapshots(docs)
    whole = (snapshot / "vectors.faiss").read_bytes()
    (snapshot / "vectors.faiss").write_bytes(whole[:40])
    with pytest.raises(VectorStoreUnavailableError, match="store/docs"):
        await at(url).search(QUESTION, 2)
    (snapshot / "vectors.faiss").write_bytes(whole)
    (snapshot / "chunks.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(IndexMismatchError, match="another format"):
        await read(at(url))
    (docs / "current.json").write_text("{")
    with pytest.raises(IndexMismatchError):
        await at(url).describe()


async def test_a_folder_that_cannot_be_made_is_said() -> None:
    with pytest.raises(VectorStoreUnavailableError, match="/proc/nowhere"):
        await at("faiss:///proc/nowhere/docs").open(MODEL, DIMENSION)


async def test_a_full_disk_leaves_the_version_before_and_the_changes(
    url: str, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = at(url)
    await published(index, chunks(unit(2)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    await index.begin()
    await index.upsert(chunks(unit(3), path="b.md"))
    with monkeypatch.context() as patched:
        patched.setattr(faiss_vectors, "write", full)
        with pytest.raises(VectorStoreUnavailableError, match="No space left"):
            await index.publish(2, 2)
    assert len(snapshots(docs)) == 1
    assert len(await read(at(url))) == 2
    await index.publish(2, 2)
    assert len(await read(at(url))) == 5


async def test_inverted_lists_find_the_same_and_keep_every_vector(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss_vectors, "FLAT_LIMIT", 1000)
    draw = np.random.default_rng(5)
    centres = unit(20)
    near = centres[draw.integers(0, 20, 3000)] + 0.7 * unit(3000, seed=6)
    rows = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    stored = chunks(rows)
    await published(at(url), stored)
    writer = at(url)
    found = 0
    for row in range(0, 3000, 100):
        wanted = {f"s/a.md#f1-{n}" for n in np.argsort(-(rows @ rows[row]))[:5]}
        found += len(wanted & {hit.id for hit in await writer.search(rows[row], 5)})
    assert found >= 0.99 * 150
    await published(writer, [dataclasses.replace(stored[0], vector=rows[1])], version=2)
    await writer.describe()
    for row in (1, 2999):
        (hit, *_) = await writer.search(rows[row], 2)
        assert hit.score == pytest.approx(1, abs=1e-3)
