"""Files and the vector store: uploads, waiting, failures, owners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.config import LimitsConfig
from agent_runtime.domain import Passage, Principal
from agent_runtime.errors import (
    IndexMismatchError,
    StateUnavailableError,
    VectorStoreUnavailableError,
)
from agent_runtime.http.documents.attachments import ATTEMPTS, Attachments
from agent_runtime.http.documents.files import File, Files
from agent_runtime.http.documents.store_routes import best
from agent_runtime.http.documents.uploads import MAX_NAME, clean
from agent_runtime.http.middleware import MAX_UPLOAD
from tests.unit.runtime.fakes import indexed
from tests.unit.runtime.http.harness import ALICE, BOB, QUOTE, PaperDocuments, Runtime

FILES, STORE = "/v1/files", "/v1/vector_stores/shop"
TEXT = b"# Returns\n\n30 days.\n"


async def uploaded(runtime: Runtime, name: str = "returns.md", **more: Any) -> Any:
    reply = await runtime.client.post(FILES, files={"file": (name, TEXT)}, **more)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def attached(runtime: Runtime, id: str, wait: bool = True) -> Any:
    body = {"file_id": id, "wait": wait}
    reply = await runtime.client.post(f"{STORE}/files", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_file_is_kept_as_it_came(runtime: Runtime) -> None:
    file = await uploaded(runtime, name="../退货 “policy”.md", data={"purpose": "user_data"})
    assert (file["filename"], file["bytes"]) == ("退货 “policy”.md", len(TEXT))
    assert (file["purpose"], file["object"]) == ("user_data", "file")
    assert file["created_at"] > 1_600_000_000
    one = f"{FILES}/{file['id']}"
    assert (await runtime.client.get(one)).json() == file
    content = await runtime.client.get(f"{one}/content")
    assert content.content == TEXT
    assert content.headers["content-disposition"].startswith("attachment; filename*=UTF-8''%E9")
    listed = (await runtime.client.get(FILES, params={"purpose": "user_data"})).json()
    assert [each["id"] for each in listed["data"]] == [file["id"]]
    assert (await runtime.client.get(FILES, params={"purpose": "other"})).json()["data"] == []
    assert (await runtime.client.delete(one)).json()["deleted"] is True
    assert [(await runtime.client.get(each)).status_code for each in (one, f"{one}/content")] == [
        404,
        404,
    ]


async def test_a_file_becomes_searchable_while_one_waits(runtime: Runtime) -> None:
    file = await uploaded(runtime)
    runtime.documents.used.clear()
    waiting = asyncio.create_task(attached(runtime, file["id"]))
    while not runtime.documents.held:  # noqa: ASYNC110
        await asyncio.sleep(0)
    one = f"{STORE}/files/{file['id']}"
    assert (await runtime.client.get(one)).json()["status"] == "in_progress"
    assert not waiting.done()
    runtime.documents.used.set()
    done = await waiting
    assert (done["status"], done["last_error"]) == ("completed", None)
    assert (await runtime.client.get(one)).json() == done
    assert runtime.documents.held == {f"{file['id']}/returns.md": TEXT}


async def test_without_waiting_it_is_in_progress(runtime: Runtime) -> None:
    file = await uploaded(runtime)
    runtime.documents.used.clear()
    assert (await attached(runtime, file["id"], wait=False))["status"] == "in_progress"
    store = (await runtime.client.get(STORE)).json()
    assert (store["status"], store["file_counts"]["in_progress"]) == ("in_progress", 1)
    runtime.documents.used.set()
    await attached(runtime, file["id"])
    listed = await runtime.client.get(f"{STORE}/files", params={"filter": "completed"})
    assert [each["id"] for each in listed.json()["data"]] == [file["id"]]
    store = (await runtime.client.get(STORE)).json()
    assert store["file_counts"] == {
        "in_progress": 0, "completed": 12, "failed": 0, "cancelled": 0, "total": 12
    }  # fmt: skip


async def test_one_request_uploads_and_waits(runtime: Runtime) -> None:
    assert (await uploaded(runtime, params={"wait": "true"}))["status"] == "processed"
    assert (await uploaded(runtime, data={"wait": "true"}))["status"] == "processed"
    assert len(runtime.documents.held) == 2


async def test_a_document_that_cannot_be_read_says_why(runtime: Runtime) -> None:
    broken = {"file": ("a.pdf", b"\0\0\0")}
    reply = await runtime.client.post(FILES, files=broken, params={"wait": "true"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "unreadable_document")
    assert (await runtime.client.get(FILES)).json()["data"] == []
    kept = (await runtime.client.post(FILES, files=broken)).json()
    failed = await attached(runtime, kept["id"])
    assert failed["status"] == "failed"
    assert failed["last_error"] == {"code": "unsupported_file", "message": "binary"}


async def test_taking_a_file_out_takes_it_out_of_the_answers(runtime: Runtime) -> None:
    file = await uploaded(runtime)
    await attached(runtime, file["id"])
    one = f"{STORE}/files/{file['id']}"
    gone = (await runtime.client.delete(one)).json()
    assert (gone["deleted"], gone["object"]) == (True, "vector_store.file.deleted")
    assert runtime.documents.held == {}
    assert (await runtime.client.get(one)).status_code == 404
    assert (await runtime.client.get(f"{FILES}/{file['id']}")).status_code == 200


async def test_deleting_a_file_takes_it_out_too(runtime: Runtime) -> None:
    file = await uploaded(runtime)
    await attached(runtime, file["id"])
    await runtime.client.delete(f"{FILES}/{file['id']}")
    assert runtime.documents.held == {}


async def stored(runtime: Runtime) -> tuple[Files, Any]:
    files = Files(runtime.records)
    return files, await files.add(Principal("alice"), "a.md", TEXT, "assistants")


async def test_a_store_that_is_away_is_tried_again(runtime: Runtime) -> None:
    files, file = await stored(runtime)
    away = VectorStoreUnavailableError("away")
    runtime.documents.errors = [away, away]
    attachments = Attachments(runtime.records, files, runtime.documents, pause=0.001)
    begun = await attachments.attach(file, {}, 1)
    assert (await attachments.wait(begun, 10)).status == "completed"
    assert runtime.documents.errors == []


async def test_a_change_that_does_not_come_into_use_is_made_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, file = await stored(runtime)
    away = [VectorStoreUnavailableError("away")]
    used: list[int] = []

    async def in_use(version: int) -> None:
        if away:
            raise away.pop()
        used.append(version)

    monkeypatch.setattr(runtime.documents, "in_use", in_use)
    attachments = Attachments(runtime.records, files, runtime.documents, pause=0.001)
    begun = await attachments.attach(file, {}, 1)
    assert (await attachments.wait(begun, 10)).status == "completed"
    assert used == [2]


async def test_files_that_wait_are_not_in_memory(runtime: Runtime) -> None:
    files = [await stored(runtime) for _ in range(3)]
    turn, go_on = asyncio.Semaphore(0), asyncio.Event()
    read: list[str] = []

    class Counted(Files):
        async def content(self, file: File) -> bytes:
            read.append(file.id)
            return await super().content(file)

    class Slow(PaperDocuments):
        async def add(self, path: str, content: bytes) -> int:
            turn.release()
            await go_on.wait()
            return await super().add(path, content)

    attachments = Attachments(runtime.records, Counted(runtime.records), Slow())
    begun = [await attachments.attach(file, {}, 1) for _, file in files]
    await turn.acquire()
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(read) == 1
    go_on.set()
    done = await asyncio.gather(*(attachments.wait(each, 10) for each in begun))
    assert [each.status for each in done] == ["completed"] * 3


class Blinking:
    """Fails so many times, then does what it was made for."""

    def __init__(self, works: Callable[..., Awaitable[Any]], times: int, of: str) -> None:
        self._works = works
        self.times = times
        self._of = of

    async def __call__(self, kind: str, *more: Any) -> Any:
        if self.times and kind == self._of and self._counts(more):
            self.times -= 1
            raise StateUnavailableError("away")
        return await self._works(kind, *more)

    @staticmethod
    def _counts(more: tuple[Any, ...]) -> bool:
        return b"in_progress" not in more[-1] if isinstance(more[-1], bytes) else True


@pytest.mark.parametrize(
    ("method", "kind", "times"),
    [
        ("get", "file_content", 2),
        ("put", "vector_store_file", ATTEMPTS + 2),
        ("delete", "vector_store_job", 2),
    ],
)
async def test_records_that_are_away_are_tried_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, method: str, kind: str, times: int
) -> None:
    files, file = await stored(runtime)
    blinking = Blinking(getattr(runtime.records, method), times, kind)
    monkeypatch.setattr(runtime.records, method, blinking)
    attachments = Attachments(runtime.records, files, runtime.documents, pause=0.0001)
    begun = await attachments.attach(file, {}, 1)
    done = await attachments.wait(begun, 10)
    assert (done.status, blinking.times) == ("completed", 0)
    assert await attachments.get(file.id, Principal("alice")) == done
    assert await runtime.records.list("vector_store_job", "") == []


@pytest.mark.parametrize("kind", ["file", "file_content"])
async def test_a_file_that_could_not_be_deleted_is_by_the_next_attempt(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = await uploaded(runtime)
    monkeypatch.setattr(runtime.records, "delete", Blinking(runtime.records.delete, 1, kind))
    one = f"{FILES}/{file['id']}"
    assert [(await runtime.client.delete(one)).status_code for _ in range(2)] == [503, 200]
    assert await runtime.records.list("file_content", "") == []
    assert await runtime.records.list("file", "") == []


async def test_of_a_file_that_could_not_be_stored_nothing_is_kept(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.records, "put", Blinking(runtime.records.put, 1, "file"))
    reply = await runtime.client.post(FILES, files={"file": ("a.md", TEXT)})
    assert reply.status_code == 503
    assert await runtime.records.list("file_content", "") == []


async def test_what_cannot_be_saved_does_not_keep_it_from_stopping(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, file = await stored(runtime)
    blinking = Blinking(runtime.records.put, 1_000_000, "vector_store_file")
    monkeypatch.setattr(runtime.records, "put", blinking)
    attachments = Attachments(runtime.records, files, runtime.documents)
    begun = await attachments.attach(file, {}, 1)
    while blinking.times == 1_000_000:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert await attachments.wait(begun, 0) == begun
    await attachments.close()
    assert await runtime.records.list("vector_store_job", "")


async def test_what_will_never_work_is_not_tried_again(runtime: Runtime) -> None:
    files, file = await stored(runtime)
    runtime.documents.errors = [IndexMismatchError("another model")]
    attachments = Attachments(runtime.records, files, runtime.documents)
    done = await attachments.wait(await attachments.attach(file, {}, 1), 10)
    assert done.failure
    assert (done.failure.code, done.failure.message) == ("server_error", "another model")


async def test_what_a_process_leaves_behind_the_next_one_does(runtime: Runtime) -> None:
    files, file = await stored(runtime)
    runtime.documents.used.clear()
    first = Attachments(runtime.records, files, runtime.documents)
    begun = await first.attach(file, {"a": 1.0}, 1)
    await first.close()
    documents = PaperDocuments()
    second = Attachments(runtime.records, files, documents)
    await second.resume()
    assert (await second.wait(begun, 10)).status == "completed"
    assert list(documents.held) == [file.path]
    third = Attachments(runtime.records, files, PaperDocuments())
    await third.resume()
    assert await third.wait(begun, 0) == begun  # nothing to do


@pytest.mark.parametrize("method", ["list", "get"])
async def test_a_record_store_that_is_away_does_not_keep_it_from_starting(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def away(*args: object) -> None:
        raise StateUnavailableError("away")

    await runtime.records.put("vector_store_job", "", "file-1", b"")
    monkeypatch.setattr(runtime.records, method, away)
    attachments = Attachments(runtime.records, Files(runtime.records), runtime.documents)
    await attachments.resume()
    await attachments.close()
    one = FILES if method == "list" else f"{FILES}/file-1"
    assert (await runtime.client.get(one)).status_code == 503


async def test_where_callers_are_known_only_they_change_documents(keyed: Runtime) -> None:
    upload = {"file": ("a.md", TEXT)}
    refused = await keyed.client.post(FILES, files=upload)
    assert (refused.status_code, "www-authenticate" in refused.headers) == (401, True)
    file = (await keyed.client.post(FILES, files=upload, headers=ALICE)).json()
    body = {"file_id": file["id"], "wait": True}
    one = f"{FILES}/{file['id']}"
    assert (await keyed.client.post(f"{STORE}/files", json=body)).status_code == 401
    assert (await keyed.client.post(f"{STORE}/files", json=body, headers=BOB)).status_code == 404
    for method, path in (("GET", one), ("DELETE", one), ("GET", f"{one}/content")):
        assert (await keyed.client.request(method, path, headers=BOB)).status_code == 404
    done = await keyed.client.post(f"{STORE}/files", json=body, headers=ALICE)
    assert done.json()["status"] == "completed"
    attached_ = f"{STORE}/files/{file['id']}"
    for method in ("GET", "DELETE"):
        assert (await keyed.client.request(method, attached_, headers=BOB)).status_code == 404
    assert (await keyed.client.delete(attached_)).status_code == 401
    assert len(keyed.documents.held) == 1


async def test_a_search_finds_passages_with_their_files(runtime: Runtime) -> None:
    reply = await runtime.client.post(f"{STORE}/search", json={"query": ["a", "b"]})
    assert reply.json() == {
        "object": "vector_store.search_results.page", "search_query": ["a", "b"],
        "data": [{
            "file_id": "s/a.md", "filename": "a.md", "score": 0.25, "attributes": {},
            "content": [{"type": "text", "text": QUOTE}],
        }],
        "has_more": False, "next_page": None,
    }  # fmt: skip


def test_each_passage_counts_by_its_best_score() -> None:
    p, q = indexed("P."), indexed("Q.", path="q.md")
    found = best([Passage(p, 0.1), Passage(q, 0.5), Passage(p, 0.9)])
    shown = [(each["content"][0]["text"], each["score"]) for each in found]
    assert shown == [("P.", 0.9), ("Q.", 0.5)]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "  "}, "query"),
        ({"query": []}, "query"),
        ({"query": "a", "max_num_results": 0}, "max_num_results"),
        ({"query": "a", "filters": {"type": "eq"}}, "filters"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(
    runtime: Runtime, body: dict[str, Any], param: str
) -> None:
    reply = await runtime.client.post(f"{STORE}/search", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


async def test_there_is_one_store(runtime: Runtime) -> None:
    listed = (await runtime.client.get("/v1/vector_stores")).json()
    assert [each["id"] for each in listed["data"]] == ["shop"]
    assert listed["data"][0]["metadata"] == {
        "embedding_model": "org/hashing", "index_version": "3"
    }  # fmt: skip
    assert (await runtime.client.get("/v1/vector_stores/other")).status_code == 404
    made = await runtime.client.post("/v1/vector_stores", json={"name": "mine"})
    assert made.status_code == 405
    runtime.info = None
    assert (await runtime.client.get("/v1/vector_stores")).json()["data"] == []
    assert (await runtime.client.get("/v1/vector_stores/shop")).status_code == 503


async def test_uploads_that_are_none(runtime: Runtime) -> None:
    post = runtime.client.post
    assert (await post(FILES, json={"file": "a"})).status_code == 415
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert (await post(FILES, content=b"--x\r\nnonsense", headers=form)).status_code == 400
    bare = {"content-type": "multipart/form-data"}
    assert (await post(FILES, content=b"abc", headers=bare)).status_code == 400
    assert (await post(FILES, files={"other": ("a.md", TEXT)})).status_code == 400
    text = await post(FILES, files={"purpose": (None, "assistants"), "file": (None, "text")})
    assert (text.status_code, text.json()["error"]["param"]) == (400, "file")
    tuned = await post(FILES, files={"file": ("a", TEXT)}, data={"purpose": "fine-tune"})
    assert (tuned.status_code, tuned.json()["error"]["param"]) == (400, "purpose")
    two = await post(FILES, files=[("file", ("a", TEXT)), ("file", ("b", TEXT))])
    assert two.status_code == 400


async def test_a_file_of_20_mib_is_taken_and_a_larger_one_is_not() -> None:
    runtime = Runtime(limits=LimitsConfig())
    async with runtime.client:
        whole = await runtime.client.post(FILES, files={"file": ("a", bytes(MAX_UPLOAD))})
        assert (whole.status_code, whole.json()["bytes"]) == (200, MAX_UPLOAD)
        more = await runtime.client.post(FILES, files={"file": ("a", bytes(MAX_UPLOAD + 1))})
        most = await runtime.client.post(FILES, files={"file": ("a", bytes(MAX_UPLOAD + 2**17))})
        assert [more.status_code, most.status_code] == [413, 413]


@given(st.text(max_size=400))
def test_a_file_s_name_can_do_no_harm(name: str) -> None:
    cleaned = clean(name)
    assert 0 < len(cleaned) <= MAX_NAME
    assert not set(cleaned) & set('/\\\r\n\0"') or '"' in cleaned
    assert cleaned not in (".", "..")
    cleaned.encode()
