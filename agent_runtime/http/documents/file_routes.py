"""/v1/files: upload, list, get, download, delete."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from typing_extensions import TypedDict

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.http.access import may_write, principal_of
from agent_runtime.http.documents.attachments import Attachments
from agent_runtime.http.documents.files import FileObject, Files, shown
from agent_runtime.http.documents.uploads import PURPOSES, read_upload
from agent_runtime.http.openapi import gives
from agent_runtime.http.pages import Page, PageQuery, page
from agent_runtime.http.turns import unless_gone
from agent_runtime.http.wire import reply

WAIT_SECONDS = 120.0
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"enum": list(PURPOSES), "default": "assistants"},
                        "wait": {"type": "boolean", "default": False},
                    },
                }
            }
        },
    }
}


class DeletedFile(TypedDict):
    """What is left of a file."""

    id: str
    object: Literal["file"]
    deleted: bool


class FileRoutes:
    """The endpoints of files. Somebody else's are not found."""

    def __init__(self, files: Files, attachments: Attachments, known: bool) -> None:
        """`known`: callers can show who they are, and whoever uploads has to."""
        self._files = files
        self._attachments = attachments
        self._known = known

    def install(self, router: APIRouter) -> None:
        """Add the routes."""
        one = "/v1/files/{file_id}"
        for path, method, handler, summary, gift, extra in (
            ("/v1/files", "POST", self.upload, "Upload a document", FileObject, FORM),
            ("/v1/files", "GET", self.list, "List the files", Page, None),
            (one, "GET", self.get, "Get a file", FileObject, None),
            (one, "DELETE", self.delete, "Delete a file", DeletedFile, None),
        ):
            router.add_api_route(
                path, handler, methods=[method], tags=["Files"], summary=summary,
                response_model=None, responses=gives(gift), openapi_extra=extra,
            )  # fmt: skip
        binary: dict[str, Any] = {
            "description": "The content",
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
        router.add_api_route(
            f"{one}/content", self.content, tags=["Files"], summary="Download a file",
            response_class=Response, response_model=None, responses={**gives(None), 200: binary},
        )  # fmt: skip

    async def upload(self, request: Request, wait: bool = False) -> Response:
        """At most 20 MiB. With `wait` it is attached to the vector store too, and the reply comes
        once it is searchable; a document that cannot be read is a 422 and is not kept."""
        principal = may_write(request, self._known)
        upload = await read_upload(request)
        file = await self._files.add(principal, upload.filename, upload.content, upload.purpose)
        if not (wait or upload.wait):
            return reply(shown(file))
        attachment = await self._attachments.attach(file, {}, int(time.time()))
        waited = self._attachments.wait(attachment, WAIT_SECONDS)
        done = await unless_gone(request.receive, waited)
        if done.failure and done.failure.code == "unsupported_file":
            await self._attachments.delete(file)
            raise UnreadableDocumentError(f"file: {done.failure.message}")
        return reply(shown(file, processed=done.status == "completed"))

    async def list(
        self,
        request: Request,
        query: Annotated[PageQuery, Query()],
        purpose: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """The caller's own."""
        files = await self._files.list(principal_of(request))
        return reply(
            page([shown(each) for each in files if purpose in (None, each.purpose)], query)
        )

    async def get(self, file_id: str, request: Request) -> Response:
        """Without its content."""
        return reply(shown(await self._files.get(file_id, principal_of(request))))

    async def content(self, file_id: str, request: Request) -> Response:
        """As it was uploaded."""
        file = await self._files.get(file_id, principal_of(request))
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
            "X-Content-Type-Options": "nosniff",
        }
        content = await self._files.content(file)
        return Response(content, 200, headers, "application/octet-stream")

    async def delete(self, file_id: str, request: Request) -> Response:
        """From the vector store too."""
        file = await self._files.get(file_id, may_write(request, self._known))
        await self._attachments.delete(file)
        gone: DeletedFile = {"id": file_id, "object": "file", "deleted": True}
        return reply(gone)
