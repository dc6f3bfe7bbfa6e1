"""/v1/vector_stores: the agent's collection as the one store that there is, and its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from agent_runtime.domain import IndexInfo, Passage
from agent_runtime.errors import AgentError, InvalidRequestError, NotFoundError
from agent_runtime.http.access import caller_of, may_write, principal_of
from agent_runtime.http.admission import Admission
from agent_runtime.http.citations import file_of, filename_of
from agent_runtime.http.documents.attachments import Attachment, Attachments, Status
from agent_runtime.http.documents.file_routes import WAIT_SECONDS
from agent_runtime.http.documents.files import Files
from agent_runtime.http.documents.store_schemas import (
    ATTACH,
    SEARCH,
    DeletedStoreFile,
    FileCounts,
    Found,
    FoundPage,
    VectorStore,
    VectorStoreFile,
)
from agent_runtime.http.openapi import gives, takes
from agent_runtime.http.pages import Page, PageQuery, page
from agent_runtime.http.turns import unless_gone
from agent_runtime.http.wire import read, reply
from agent_runtime.ports import Retriever

PATH = "/v1/vector_stores"


class StoreRoutes:
    """The endpoints of the vector store."""

    def __init__(
        self,
        info: Callable[[], IndexInfo],
        files: Files,
        attachments: Attachments,
        retriever: Retriever,
        admission: Admission,
        known: bool,
    ) -> None:
        """
        Args:
            info: describes the index in use; raises AgentError where there is none.
            files: what was uploaded.
            attachments: what of it is in the store.
            retriever: searches it.
            admission: places for searches.
            known: callers can show who they are, and whoever attaches has to.
        """
        self._info = info
        self._files = files
        self._attachments = attachments
        self._retriever = retriever
        self._admission = admission
        self._known = known

    def install(self, router: APIRouter) -> None:
        """Add the routes."""
        store = f"{PATH}/{{store_id}}"
        files, search = f"{store}/files", f"{store}/search"
        file = f"{files}/{{file_id}}"
        for path, method, handler, summary, gift, body in (
            (PATH, "GET", self.list, "List the stores", Page, None),
            (store, "GET", self.get, "Get the store", VectorStore, None),
            (files, "POST", self.attach, "Make a file searchable", VectorStoreFile, ATTACH),
            (files, "GET", self.files, "List its files", Page, None),
            (file, "GET", self.file, "Get a file of it", VectorStoreFile, None),
            (file, "DELETE", self.detach, "Take a file out", DeletedStoreFile, None),
            (search, "POST", self.search, "Search it", FoundPage, SEARCH),
        ):
            router.add_api_route(
                path, handler, methods=[method], tags=["Vector stores"], summary=summary,
                response_model=None, responses=gives(gift),
                openapi_extra=takes(body) if body else None,
            )  # fmt: skip

    async def list(self, request: Request, query: Annotated[PageQuery, Query()]) -> Response:
        """There is one."""
        try:
            stores = [await self._store(request)]
        except AgentError:
            stores = []  # not indexed yet
        return reply(page(stores, query))

    async def get(self, store_id: str, request: Request) -> Response:
        """With how many documents it holds, those that were not uploaded included."""
        self._check(store_id)
        return reply(await self._store(request))

    async def attach(self, store_id: str, request: Request, wait: bool = False) -> Response:
        """An uploaded file. With `wait`, the reply comes once it is searchable or has failed."""
        principal = may_write(request, self._known)
        self._check(store_id)
        body = await read(request, ATTACH)
        file = await self._files.get(body.file_id, principal)
        attached = await self._attachments.attach(file, body.attributes or {}, int(time.time()))
        if wait or body.wait:
            waited = self._attachments.wait(attached, WAIT_SECONDS)
            attached = await unless_gone(request.receive, waited)
        return reply(shown(attached, store_id))

    async def files(
        self,
        store_id: str,
        request: Request,
        query: Annotated[PageQuery, Query()],
        filter: Status | None = None,
    ) -> Response:
        """Those that the caller attached."""
        self._check(store_id)
        found = await self._attachments.list(principal_of(request))
        return listed(found, store_id, query, filter)

    async def file(self, store_id: str, file_id: str, request: Request) -> Response:
        """With how far it is."""
        self._check(store_id)
        attached = await self._attachments.get(file_id, principal_of(request))
        return reply(shown(attached, store_id))

    async def detach(self, store_id: str, file_id: str, request: Request) -> Response:
        """No answer comes from it any more when the reply is there. The file itself stays."""
        principal = may_write(request, self._known)
        self._check(store_id)
        attached = await self._attachments.get(file_id, principal)
        await self._attachments.detach(attached.file)
        gone: DeletedStoreFile = {
            "id": file_id, "object": "vector_store.file.deleted", "deleted": True
        }  # fmt: skip
        return reply(gone)

    async def search(self, store_id: str, request: Request) -> Response:
        """By meaning and by words, as for an answer."""
        self._check(store_id)
        body = await read(request, SEARCH)
        queries = [body.query] if isinstance(body.query, str) else list(body.query)
        if not all(query.strip() for query in queries):
            raise InvalidRequestError("query: it is empty", "query")
        caller = caller_of(principal_of(request))

        async def work() -> Sequence[Passage]:
            async with self._admission.place(caller):
                return [
                    passage
                    for query in queries
                    for passage in (await self._retriever.retrieve(query)).passages
                ]

        passages = await unless_gone(request.receive, work())
        results = best(passages)
        limit = body.max_num_results or 10
        found: FoundPage = {
            "object": "vector_store.search_results.page",
            "search_query": queries,
            "data": results[:limit],
            "has_more": len(results) > limit,
            "next_page": None,
        }
        return reply(found)

    def _check(self, store_id: str) -> None:
        check(store_id, self._info())

    async def _store(self, request: Request) -> VectorStore:
        info = self._info()
        own = await self._attachments.list(principal_of(request))
        counts = counted(own)
        return {
            "id": info.collection,
            "object": "vector_store",
            "name": info.collection,
            "created_at": 0,
            "status": "in_progress" if counts["in_progress"] else "completed",
            "file_counts": {
                **counts,
                "completed": info.documents,
                "total": counts["total"] - counts["completed"] + info.documents,
            },
            "usage_bytes": sum(each.file.bytes for each in own if each.status == "completed"),
            "metadata": {
                "embedding_model": info.embedding_model,
                "index_version": str(info.version),
            },
            "last_active_at": None,
            "expires_at": None,
        }


def check(store_id: str, info: IndexInfo) -> None:
    """Raise NotFoundError where it is not the one store."""
    if store_id != info.collection:
        raise NotFoundError(f"there is no vector store {store_id[:200]!r}")


def listed(
    attachments: Sequence[Attachment], store_id: str, query: PageQuery, filter: Status | None
) -> Response:
    """Reply with a page of files, the oldest of which comes first here."""
    wanted = [each for each in attachments if filter in (None, each.status)]
    return reply(page([shown(each, store_id) for each in wanted], query))


def counted(attachments: Sequence[Attachment]) -> FileCounts:
    """Count files by how far they are."""
    counts: FileCounts = {
        "in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": len(attachments)
    }  # fmt: skip
    for each in attachments:
        counts[each.status] += 1
    return counts


def shown(attachment: Attachment, store_id: str) -> VectorStoreFile:
    """Return a file of the store as a client gets it."""
    failure = attachment.failure
    return {
        "id": attachment.file.id,
        "object": "vector_store.file",
        "created_at": attachment.created_at,
        "vector_store_id": store_id,
        "status": attachment.status,
        "last_error": {"code": failure.code, "message": failure.message} if failure else None,
        "usage_bytes": attachment.file.bytes if attachment.status == "completed" else 0,
        "attributes": dict(attachment.attributes),
    }


def best(passages: Sequence[Passage]) -> list[Found]:
    """Return each passage once, by its best score, the best first."""
    once: dict[str, Passage] = {}
    for passage in sorted(passages, key=lambda passage: -passage.score):
        once.setdefault(passage.indexed.chunk.key.id, passage)
    return [
        {
            "file_id": file_of(passage.indexed.chunk),
            "filename": filename_of(passage.indexed.chunk),
            "score": round(float(passage.score), 6),
            "attributes": {},
            "content": [{"type": "text", "text": passage.indexed.chunk.text}],
        }
        for passage in once.values()
    ]
