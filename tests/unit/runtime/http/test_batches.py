"""Batches of files: how far they are, cancelling, and what is left where a process ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Coroutine, Sized
from typing import Any

import pytest

from agent_runtime.domain import Principal
from agent_runtime.errors import (
    IndexMismatchError,
    StateUnavailableError,
    VectorStoreUnavailableError,
)
from agent_runtime.http.documents.attachments import Attachment, Attachments
from agent_runtime.http.documents.batches import Batch, Batches
from agent_runtime.http.documents.files import File, Files
from agent_runtime.ports import Records
from agent_runtime.state.memory import MemoryRecords
from tests.unit.runtime.http.harness import ALICE, BOB, PaperDocuments, Runtime

FILES, STORE = "/v1/files", "/v1/vector_stores/shop"
BATCHES = f"{STORE}/file_batches"
TEXT = b"# Returns\n\n30 days.\n"
OWNER = Principal("alice")


async def uploaded(runtime: Runtime, *texts: bytes, **more: Any) -> list[str]:
    ids: list[str] = []
    for text in texts or (TEXT, TEXT, TEXT):
        reply = await runtime.client.post(FILES, files={"file": ("a.md", text)}, **more)
        ids.append(reply.json()["id"])
    return ids


async def made(runtime: Runtime, **body: Any) -> Any:
    reply = await runtime.client.post(BATCHES, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def fetched(runtime: Runtime, path: str, **params: Any) -> Any:
    reply = await runtime.client.get(path, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()


def counts(**some: int) -> dict[str, int]:
    none = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0}
    return {**none, **some, "total": sum(some.values())}


async def test_a_batch_is_in_progress_until_all_its_files_are_searchable(runtime: Runtime) -> None:
    ids = await uploaded(runtime)
    runtime.documents.used.clear()
    batch = await made(runtime, file_ids=ids, attributes={"a": 1.5})
    assert batch["id"].startswith("vsfb_")
    assert batch["created_at"] > 1_600_000_000
    assert (batch["object"], batch["vector_store_id"]) == ("vector_store.files_batch", "shop")
    assert (batch["status"], batch["file_counts"]) == ("in_progress", counts(in_progress=3))
    assert await fetched(runtime, f"{BATCHES}/{batch['id']}") == batch
    waiting = asyncio.create_task(made(runtime, file_ids=ids, attributes={"b": True}, wait=True))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    runtime.documents.used.set()
    done = await waiting
    assert (done["status"], done["file_counts"]) == ("completed", counts(completed=3))
    listed = await fetched(runtime, f"{BATCHES}/{done['id']}/files", order="asc")
    assert [(each["id"], each["attributes"]) for each in listed["data"]] == [
        (id, {"b": True}) for id in ids
    ]
    assert len(runtime.documents.held) == 3


async def test_each_file_may_have_attributes_of_its_own(runtime: Runtime) -> None:
    a, b = await uploaded(runtime, TEXT, TEXT)
    named = [{"file_id": a, "attributes": {"x": "y"}}, {"file_id": b}]
    batch = await made(runtime, files=named, attributes={"ignored": True}, wait=True)
    listed = await fetched(runtime, f"{BATCHES}/{batch['id']}/files", order="asc")
    assert [each["attributes"] for each in listed["data"]] == [{"x": "y"}, {}]


async def test_a_file_that_is_named_twice_is_taken_once(runtime: Runtime) -> None:
    (id,) = await uploaded(runtime, TEXT)
    batch = await made(runtime, file_ids=[id, id], wait=True)
    assert batch["file_counts"] == counts(completed=1)


async def test_its_files_come_in_pages_and_by_status(runtime: Runtime) -> None:
    ids = await uploaded(runtime, TEXT, b"\0", TEXT)
    batch = await made(runtime, file_ids=ids, wait=True)
    assert (batch["status"], batch["file_counts"]) == ("completed", counts(completed=2, failed=1))
    files = f"{BATCHES}/{batch['id']}/files"
    first = await fetched(runtime, files, limit=2)
    assert ([each["id"] for each in first["data"]], first["has_more"]) == ([ids[2], ids[1]], True)
    rest = await fetched(runtime, files, limit=2, after=first["last_id"])
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    failed = await fetched(runtime, files, filter="failed")
    assert [(each["id"], each["last_error"]["code"]) for each in failed["data"]] == [
        (ids[1], "unsupported_file")
    ]
    wrong = await runtime.client.get(files, params={"filter": "lost"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "filter")


async def test_a_batch_of_which_nothing_can_be_read_has_failed(runtime: Runtime) -> None:
    batch = await made(runtime, file_ids=await uploaded(runtime, b"\0", b"\0"), wait=True)
    assert (batch["status"], batch["file_counts"]) == ("failed", counts(failed=2))


async def test_its_files_are_asked_for_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await made(runtime, file_ids=await uploaded(runtime), wait=True)

    async def listed(*args: object) -> None:
        pytest.fail("all of a tenant's files are read")

    monkeypatch.setattr(runtime.records, "list", listed)
    assert await fetched(runtime, f"{BATCHES}/{batch['id']}") == batch


async def test_where_a_file_is_missing_nothing_is_attached(runtime: Runtime) -> None:
    ids = await uploaded(runtime)
    reply = await runtime.client.post(BATCHES, json={"file_ids": [*ids, "file-lost"]})
    assert (reply.status_code, "'file-lost'" in reply.text) == (404, True)
    assert (await fetched(runtime, f"{STORE}/files"))["data"] == []
    assert runtime.documents.held == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "file_ids"),
        ({"file_ids": []}, "file_ids"),
        ({"file_ids": ["a"] * 501}, "file_ids"),
        ({"file_ids": ["a", "b c"]}, "file_ids.1"),
        ({"file_ids": ["a"], "attributes": {"a": None}}, "attributes.a"),
        ({"files": [{"file_id": "a", "attributes": {"a": "x" * 513}}]}, "files.0.attributes.a"),
        ({"files": []}, "files"),
        ({"files": [{"file_id": "a"}] * 501}, "files"),
        ({"files": [{"file_id": "a"}, {}]}, "files.1.file_id"),
        ({"files": [{"file_id": "a"}], "file_ids": ["a"]}, "files"),
        ({"files": [{"file_id": "a"}], "wait": "yes"}, "wait"),
    ],
)
async def test_a_batch_that_makes_no_sense_is_refused(
    runtime: Runtime, body: dict[str, Any], param: str
) -> None:
    reply = await runtime.client.post(BATCHES, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


async def test_a_number_that_cannot_be_stored_is_refused(runtime: Runtime) -> None:
    (id,) = await uploaded(runtime, TEXT)
    body = f'{{"file_id": "{id}", "attributes": {{"a": 1e999}}}}'
    headers = {"content-type": "application/json"}
    reply = await runtime.client.post(f"{STORE}/files", content=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "attributes.a")


async def test_500_files_are_taken(runtime: Runtime) -> None:
    ids = await uploaded(runtime, *[TEXT] * 500)
    batch = await made(runtime, file_ids=ids, wait=True)
    assert batch["file_counts"] == counts(completed=500)


async def test_only_the_owner_sees_a_batch(keyed: Runtime) -> None:
    ids = await uploaded(keyed, headers=ALICE)
    body = {"file_ids": ids, "wait": True}
    assert (await keyed.client.post(BATCHES, json=body)).status_code == 401
    assert (await keyed.client.post(BATCHES, json=body, headers=BOB)).status_code == 404
    batch = (await keyed.client.post(BATCHES, json=body, headers=ALICE)).json()
    one = f"{BATCHES}/{batch['id']}"
    for method, path in (("GET", one), ("GET", f"{one}/files"), ("POST", f"{one}/cancel")):
        codes = [
            (await keyed.client.request(method, path, headers=headers)).status_code
            for headers in (ALICE, BOB)
        ]
        assert codes == [200, 404], path
    assert (await keyed.client.post(f"{one}/cancel")).status_code == 401


async def test_there_is_one_store_and_no_other_batch(runtime: Runtime) -> None:
    batch = await made(runtime, file_ids=await uploaded(runtime))
    elsewhere = f"/v1/vector_stores/other/file_batches/{batch['id']}"
    lost = f"{BATCHES}/vsfb_lost"
    for path in (elsewhere, lost):
        assert (await runtime.client.get(path)).status_code == 404
        assert (await runtime.client.get(f"{path}/files")).status_code == 404
        assert (await runtime.client.post(f"{path}/cancel")).status_code == 404
    assert "vsfb_lost" in (await runtime.client.get(lost)).text
    body = {"file_ids": ["file-a"]}
    other = await runtime.client.post("/v1/vector_stores/other/file_batches", json=body)
    assert "'other'" in other.text


async def test_what_was_taken_out_of_the_store_is_not_counted(runtime: Runtime) -> None:
    ids = await uploaded(runtime)
    batch = await made(runtime, file_ids=ids, wait=True)
    await runtime.client.delete(f"{STORE}/files/{ids[1]}")
    await runtime.client.delete(f"{FILES}/{ids[2]}")
    one = f"{BATCHES}/{batch['id']}"
    now = await fetched(runtime, one)
    assert (now["status"], now["file_counts"]) == ("completed", counts(completed=1))
    assert [each["id"] for each in (await fetched(runtime, f"{one}/files"))["data"]] == ids[:1]


async def taken_out(documents: PaperDocuments) -> None:
    async with asyncio.timeout(10):
        while documents.held:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_what_is_cancelled_does_not_become_searchable(runtime: Runtime) -> None:
    ids = await uploaded(runtime)
    runtime.documents.used.clear()
    batch = await made(runtime, file_ids=ids)
    while len(runtime.documents.held) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    reply = await runtime.client.post(f"{BATCHES}/{batch['id']}/cancel")
    cancelled = reply.json()
    assert (cancelled["status"], cancelled["file_counts"]) == ("cancelled", counts(cancelled=3))
    runtime.documents.used.set()
    await taken_out(runtime.documents)
    assert await fetched(runtime, f"{BATCHES}/{batch['id']}") == cancelled
    listed = await fetched(runtime, f"{STORE}/files", filter="cancelled")
    assert {each["status"] for each in listed["data"]} == {"cancelled"}
    assert len(listed["data"]) == 3
    store = await fetched(runtime, STORE)
    assert store["file_counts"] == {**counts(completed=12, cancelled=3), "total": 15}
    again = await made(runtime, file_ids=ids, wait=True)
    assert again["file_counts"] == counts(completed=3)
    assert len(runtime.documents.held) == 3
    before = await fetched(runtime, f"{BATCHES}/{batch['id']}")
    assert (before["status"], before["file_counts"]) == ("cancelled", counts(completed=3))


async def test_what_is_done_stays(runtime: Runtime) -> None:
    batch = await made(runtime, file_ids=await uploaded(runtime, TEXT, b"\0"), wait=True)
    reply = await runtime.client.post(f"{BATCHES}/{batch['id']}/cancel")
    assert reply.json() == batch
    assert len(runtime.documents.held) == 1


class Process:
    """What one process does with the files of a store."""

    def __init__(self, records: Records, documents: PaperDocuments, pause: float = 0.001) -> None:
        self.files = Files(records)
        self.attachments = Attachments(records, self.files, documents, pause)
        self.batches = Batches(records, self.files, self.attachments)

    async def upload(self, number: int = 3) -> list[File]:
        return [
            await self.files.add(OWNER, f"{place}.md", TEXT, "assistants")
            for place in range(number)
        ]

    async def batch(self, *files: File) -> Batch:
        return await self.batches.create({file.id: {} for file in files}, OWNER, 1)

    async def settled(self) -> None:
        for each in await self.attachments.list(OWNER):
            await self.attachments.wait(each, 10)

    async def statuses(self) -> dict[str, str]:
        return {each.file.path: each.status for each in await self.attachments.list(OWNER)}


async def turns(times: int = 50) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


class KilledError(Exception):
    """The process is no more."""


class Dying:
    """Records that a process reaches so many times."""

    def __init__(self, records: MemoryRecords, calls: int) -> None:
        self._records = records
        self._left = calls
        self.dead = False

    def __getattr__(self, method: str) -> Any:
        async def call(*args: Any) -> Any:
            self.dead = self.dead or not self._left
            if self.dead:
                raise KilledError
            self._left -= 1
            return await getattr(self._records, method)(*args)

        return call


async def as_far_as_it_goes(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(KilledError):
        await work


async def test_a_process_may_end_anywhere_in_making_a_batch() -> None:
    for calls in itertools.count():
        records, documents = MemoryRecords(), PaperDocuments()
        files = await Process(records, documents).upload()
        dying: Any = Dying(records, calls)
        first = Process(dying, documents)

        async def make(process: Process = first, files: list[File] = files) -> None:
            await process.batch(*files)
            await process.settled()

        await as_far_as_it_goes(make())
        await first.attachments.close()
        second = Process(records, documents)
        await second.batches.resume()
        await second.settled()
        # What was begun is done, and nothing else.
        assert await second.statuses() == dict.fromkeys(documents.held, "completed"), calls
        for id, _ in await records.list("vector_store_batch", ""):
            known = await second.batches.get(id, OWNER)
            assert len(await second.batches.files(known)) == len(files), calls
        # Who asks again gets what was asked for.
        batch = await second.batch(*files)
        await second.settled()
        done = await second.batches.files(batch)
        assert [(each.file, each.status) for each in done] == [(f, "completed") for f in files]
        assert sorted(documents.held) == sorted(file.path for file in files)
        assert await records.list("vector_store_job", "") == []
        if not dying.dead:
            assert calls > 20
            return


async def test_a_process_may_end_anywhere_in_cancelling_a_batch() -> None:
    seen: set[str] = set()
    for calls in itertools.count():
        records, documents = MemoryRecords(), PaperDocuments()
        before = Process(records, documents)
        early, *late = await before.upload(4)
        await before.attachments.wait(await before.attachments.attach(early, {}, 1), 10)
        documents.used.clear()
        batch = await before.batch(early, *late)
        await turns()
        await before.attachments.close()
        dying: Any = Dying(records, calls)
        first = Process(dying, documents)

        async def cancel(process: Process = first, batch: Batch = batch) -> None:
            await process.batches.cancel(batch)
            await process.settled()

        await as_far_as_it_goes(cancel())
        await first.attachments.close()
        documents.used.set()
        second = Process(records, documents)
        await second.batches.resume()
        await second.settled()
        batch = await second.batches.get(batch.id, OWNER)
        # All of them or none.
        (ended,) = {each.status for each in await second.batches.files(batch) if not each.again}
        kept = [early] if batch.cancelled else [early, *late]
        assert ended == ("cancelled" if batch.cancelled else "completed"), calls
        assert sorted(documents.held) == sorted(file.path for file in kept), calls
        for kind in ("vector_store_job", "vector_store_batch_job"):
            assert await records.list(kind, "") == [], calls
        seen.add(ended)
        if not dying.dead:
            assert (calls > 20, seen) == (True, {"cancelled", "completed"})
            return


async def test_a_file_that_was_searchable_before_stays_so() -> None:
    documents = PaperDocuments()
    process = Process(MemoryRecords(), documents)
    early, late = await process.upload(2)
    await process.attachments.wait(await process.attachments.attach(early, {}, 1), 10)
    documents.used.clear()
    # Twice, as it is not searchable for the first time in the second one either.
    await process.batch(early, late)
    batch = await process.batch(early, late)
    await process.batches.cancel(batch)
    documents.used.set()
    await process.settled()
    assert await process.statuses() == {early.path: "completed", late.path: "cancelled"}
    assert list(documents.held) == [early.path]


async def test_what_others_attached_again_is_not_cancelled() -> None:
    documents = PaperDocuments()
    documents.used.clear()
    process = Process(MemoryRecords(), documents)
    a, b = await process.upload(2)
    batch = await process.batch(a, b)
    await process.attachments.attach(a, {"by": "hand"}, 2)
    await process.batches.cancel(batch)
    documents.used.set()
    await process.settled()
    assert await process.statuses() == {a.path: "completed", b.path: "cancelled"}
    assert (await process.attachments.get(a.id, OWNER)).attributes == {"by": "hand"}


class Slow(PaperDocuments):
    """Writes when it is told to, for one process: `held` may be another's too."""

    def __init__(self, held: dict[str, bytes] | None = None) -> None:
        super().__init__()
        self.held = self.held if held is None else held
        self.go_on, self.may_remove = asyncio.Event(), asyncio.Event()
        self.may_remove.set()
        self.asked: list[str] = []
        self.removing: list[str] = []

    async def add(self, path: str, content: bytes) -> int:
        self.asked.append(path)
        await self.go_on.wait()
        return await super().add(path, content)

    async def remove(self, path: str) -> int:
        self.removing.append(path)
        await self.may_remove.wait()
        return await super().remove(path)


async def come(what: Sized) -> None:
    """Wait for the first of something."""
    async with asyncio.timeout(10):
        while not what:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("deleted", [False, True])
async def test_what_a_process_wrote_after_it_was_given_up_is_taken_out_by_the_next_start(
    deleted: bool,
) -> None:
    records, theirs = MemoryRecords(), Slow()
    theirs.used.clear()
    one, two = Process(records, theirs), Process(records, Slow(theirs.held))
    (file,) = await one.upload(1)
    batch = await one.batch(file)
    await come(theirs.asked)
    if deleted:
        await two.attachments.delete(file)
    else:
        await two.batches.cancel(batch)
        await two.settled()
    theirs.go_on.set()
    await come(theirs.held)
    await one.attachments.close()
    assert theirs.held
    three = Process(records, Slow(theirs.held))
    await three.batches.resume()
    await three.attachments.wait(Attachment(file, "cancelled", 0, {}), 10)
    assert theirs.held == {}
    assert await three.statuses() == ({} if deleted else {file.path: "cancelled"})


async def attached_while_taken_out() -> tuple[MemoryRecords, Process, Slow, File]:
    """Have one process take out what another has attached since, and said to be searchable."""
    records, theirs = MemoryRecords(), Slow()
    theirs.go_on.set()
    theirs.used.clear()
    theirs.may_remove.clear()
    others = Slow(theirs.held)
    others.go_on.set()
    one, two = Process(records, theirs), Process(records, others)
    (file,) = await one.upload(1)
    batch = await one.batch(file)
    await come(theirs.held)
    await one.batches.cancel(batch)
    await come(theirs.removing)
    done = await two.attachments.wait(await two.attachments.attach(file, {}, 2), 10)
    assert done.status == "completed"
    theirs.used.set()
    theirs.may_remove.set()
    return records, one, theirs, file


async def test_what_is_attached_while_it_is_taken_out_is_brought_in_again() -> None:
    records, one, theirs, file = await attached_while_taken_out()
    await one.settled()
    assert await one.statuses() == {file.path: "completed"}
    assert list(theirs.held) == [file.path]
    assert await records.list("vector_store_writer", "") == []


async def test_it_is_so_by_the_next_start_where_the_process_ends() -> None:
    records, one, theirs, file = await attached_while_taken_out()
    theirs.go_on.clear()
    while theirs.held:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await one.attachments.close()
    again = Slow(theirs.held)
    again.go_on.set()
    three = Process(records, again)
    await three.batches.resume()
    await three.settled()
    assert await three.statuses() == {file.path: "completed"}
    assert list(theirs.held) == [file.path]


async def test_a_file_that_is_attached_while_it_is_deleted_is_taken_out_again() -> None:
    documents = PaperDocuments()
    process = Process(MemoryRecords(), documents)
    (file,) = await process.upload(1)
    await process.attachments.wait(await process.attachments.attach(file, {}, 1), 10)
    documents.used.clear()
    deleting = asyncio.create_task(process.attachments.delete(file))
    while await process.statuses():  # noqa: ASYNC110
        await asyncio.sleep(0)
    await process.attachments.attach(file, {}, 2)
    while not documents.held:  # noqa: ASYNC110
        await asyncio.sleep(0)
    documents.used.set()
    await deleting
    assert (await process.statuses(), documents.held) == ({}, {})


async def test_another_process_can_cancel() -> None:
    records, documents = MemoryRecords(), Slow()
    one, two = Process(records, documents), Process(records, documents)
    files = await one.upload()
    batch = await one.batch(*files)
    await turns()
    await two.batches.cancel(batch)
    await two.settled()
    documents.go_on.set()
    await one.settled()
    assert set((await one.statuses()).values()) == {"cancelled"}
    assert documents.held == {}
    assert documents.asked == [files[0].path]


async def test_another_process_can_take_a_file_out_that_is_written() -> None:
    records, documents = MemoryRecords(), Slow()
    one, two = Process(records, documents), Process(records, documents)
    (file,) = await one.upload(1)
    begun = await one.attachments.attach(file, {}, 1)
    await turns()
    await two.attachments.detach(file)
    documents.go_on.set()
    assert (await one.attachments.wait(begun, 10)).status == "cancelled"
    assert (await one.statuses(), documents.held) == ({}, {})


async def test_what_was_cancelled_and_attached_elsewhere_is_left_alone() -> None:
    records, documents = MemoryRecords(), PaperDocuments()
    documents.used.clear()
    one, two = Process(records, documents), Process(records, documents)
    (file,) = await one.upload(1)
    batch = await one.batch(file)
    await turns()
    await two.batches.cancel(batch)
    again = await two.attachments.attach(file, {"again": True}, 2)
    late = asyncio.create_task(one.settled())
    await turns()
    documents.used.set()
    await late
    await two.settled()
    found = await one.attachments.get(file.id, OWNER)
    assert (found.status, found.attributes) == ("completed", again.attributes)
    assert list(documents.held) == [file.path]
    assert await records.list("vector_store_job", "") == []


@pytest.mark.parametrize("away", [StateUnavailableError, VectorStoreUnavailableError])
async def test_taking_out_is_tried_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch, away: type[Exception]
) -> None:
    records, documents = MemoryRecords(), PaperDocuments()
    documents.used.clear()
    process = Process(records, documents, pause=0.0001)
    batch = await process.batch(*await process.upload(1))
    await turns()
    remove, errors = documents.remove, [away("away") for _ in range(20)]

    async def removed(path: str) -> int:
        if errors:
            raise errors.pop()
        return await remove(path)

    monkeypatch.setattr(documents, "remove", removed)
    await process.batches.cancel(batch)
    await process.settled()
    assert (documents.held, errors) == ({}, [])


async def test_what_cannot_be_taken_out_is_tried_by_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records, documents = MemoryRecords(), PaperDocuments()
    documents.used.clear()
    first = Process(records, documents)
    batch = await first.batch(*await first.upload(1))
    await turns()

    async def broken(path: str) -> int:
        raise IndexMismatchError("another model")

    with monkeypatch.context() as patched:
        patched.setattr(documents, "remove", broken)
        await first.batches.cancel(batch)
        await first.settled()
    assert set((await first.statuses()).values()) == {"cancelled"}
    assert len(documents.held) == 1
    second = Process(records, documents)
    await second.batches.resume()
    await second.settled()
    assert documents.held == {}


async def test_a_file_of_an_older_version_is_gone_on_with() -> None:
    records, documents = MemoryRecords(), PaperDocuments()
    first = Process(records, documents)
    documents.used.clear()
    (file,) = await first.upload(1)
    await first.attachments.attach(file, {"a": 1.0, "b": True, "c": "1"}, 1)
    await first.attachments.close()
    raw = json.loads(await records.get("vector_store_file", "", file.id) or b"")
    old = {name: value for name, value in raw.items() if name not in ("batch", "again")}
    await records.put("vector_store_file", "", file.id, json.dumps(old).encode())
    documents.used.set()
    second = Process(records, documents)
    await second.batches.resume()
    await second.settled()
    assert await second.statuses() == {file.path: "completed"}


async def test_where_it_is_not_known_what_was_cancelled_nothing_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records, documents = MemoryRecords(), PaperDocuments()
    documents.used.clear()
    first = Process(records, documents)
    await first.batch(*await first.upload(1))
    await first.attachments.close()
    lists, asked, back = records.list, list[str](), asyncio.Event()

    async def blinking(kind: str, *more: Any) -> Any:
        if kind == "vector_store_batch_job" and not back.is_set():
            asked.append(kind)
            raise StateUnavailableError("away")
        return await lists(kind, *more)

    monkeypatch.setattr(records, "list", blinking)
    second = Process(records, documents)
    documents.used.set()
    await second.batches.resume()
    await second.settled()
    assert set((await second.statuses()).values()) == {"in_progress"}
    # Nor is it forgotten: it is done once that is known.
    back.set()
    async with asyncio.timeout(10):
        while "in_progress" in (await second.statuses()).values():  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert set((await second.statuses()).values()) == {"completed"}


async def test_what_waits_for_the_records_to_come_back_does_not_keep_it_from_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = MemoryRecords()
    process = Process(records, PaperDocuments(), pause=60)

    async def away(*more: Any) -> Any:
        raise StateUnavailableError("away")

    monkeypatch.setattr(records, "list", away)
    await process.batches.resume()
    async with asyncio.timeout(10):
        await process.attachments.close()
    assert [each for each in asyncio.all_tasks() if each.get_name() == "resume"] == []
