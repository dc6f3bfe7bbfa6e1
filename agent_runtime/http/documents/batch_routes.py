"""/v1/vector_stores/{store}/file_batches: many files at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from agent_runtime.domain import IndexInfo
from agent_runtime.http.access import may_write, principal_of
from agent_runtime.http.documents.attachments import Status
from agent_runtime.http.documents.batches import Batch, Batches
from agent_runtime.http.documents.file_routes import WAIT_SECONDS
from agent_runtime.http.documents.store_routes import PATH, check, counted, listed
from agent_runtime.http.documents.store_schemas import BATCH, FileBatch, wanted
from agent_runtime.http.openapi import gives, takes
from agent_runtime.http.pages import Page, PageQuery
from agent_runtime.http.turns import unless_gone
from agent_runtime.http.wire import read, reply


class BatchRoutes:
    """The endpoints of file batches. Somebody else's are not found."""

    def __init__(self, info: Callable[[], IndexInfo], batches: Batches, known: bool) -> None:
        """
        Args:
            info: describes the index in use; raises AgentError where there is none.
            batches: what was attached together.
            known: callers can show who they are, and whoever attaches has to.
        """
        self._info = info
        self._batches = batches
        self._known = known

    def install(self, router: APIRouter) -> None:
        """Add the routes."""
        batches = f"{PATH}/{{store_id}}/file_batches"
        one = f"{batches}/{{batch_id}}"
        for path, method, handler, summary, gift, body in (
            (batches, "POST", self.create, "Make files searchable", FileBatch, BATCH),
            (one, "GET", self.get, "Get a batch of files", FileBatch, None),
            (f"{one}/cancel", "POST", self.cancel, "Cancel a batch of files", FileBatch, None),
            (f"{one}/files", "GET", self.files, "List the files of a batch", Page, None),
        ):
            router.add_api_route(
                path, handler, methods=[method], tags=["Vector stores"], summary=summary,
                response_model=None, responses=gives(gift),
                openapi_extra=takes(body) if body else None,
            )  # fmt: skip

    async def create(self, store_id: str, request: Request, wait: bool = False) -> Response:
        """Up to 500 uploaded files, all or none; one that is named twice is taken once. With
        `wait`, the reply comes once each is searchable or has failed."""
        principal = may_write(request, self._known)
        check(store_id, self._info())
        body = await read(request, BATCH)
        batch = await self._batches.create(wanted(body), principal, int(time.time()))
        if wait or body.wait:
            await unless_gone(request.receive, self._batches.wait(batch, WAIT_SECONDS))
        return await self._reply(batch, store_id)

    async def get(self, store_id: str, batch_id: str, request: Request) -> Response:
        """With how far its files are. One that was taken out of the store is not counted."""
        check(store_id, self._info())
        batch = await self._batches.get(batch_id, principal_of(request))
        return await self._reply(batch, store_id)

    async def cancel(self, store_id: str, batch_id: str, request: Request) -> Response:
        """Files that are not searchable yet will not be; those that are stay. They can be
        attached again."""
        principal = may_write(request, self._known)
        check(store_id, self._info())
        batch = await self._batches.get(batch_id, principal)
        return await self._reply(await self._batches.cancel(batch), store_id)

    async def files(
        self,
        store_id: str,
        batch_id: str,
        request: Request,
        query: Annotated[PageQuery, Query()],
        filter: Status | None = None,
    ) -> Response:
        """Those that are of the store."""
        check(store_id, self._info())
        batch = await self._batches.get(batch_id, principal_of(request))
        return listed(await self._batches.files(batch), store_id, query, filter)

    async def _reply(self, batch: Batch, store_id: str) -> Response:
        counts = counted(await self._batches.files(batch))
        shown: FileBatch = {
            "id": batch.id,
            "object": "vector_store.files_batch",
            "created_at": batch.created_at,
            "vector_store_id": store_id,
            "status": "completed",
            "file_counts": counts,
        }
        if batch.cancelled:
            shown["status"] = "cancelled"
        elif counts["in_progress"]:
            shown["status"] = "in_progress"
        elif 0 < counts["total"] == counts["failed"]:
            shown["status"] = "failed"
        return reply(shown)
