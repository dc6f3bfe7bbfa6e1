"""Uploaded files: a record of each, and its content beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from agent_runtime.domain import Principal
from agent_runtime.errors import AgentError, NotFoundError
from agent_runtime.http.access import own
from agent_runtime.http.fields import issued, issued_at
from agent_runtime.http.wire import decode
from agent_runtime.ports import Records

KIND, CONTENT = "file", "file_content"
MOST = 10_000
"""Files of one tenant that are listed."""
Purpose = Literal["assistants", "user_data"]


@dataclass(frozen=True, slots=True)
class File:
    """A file without its content."""

    id: str
    owner: str
    tenant: str
    filename: str
    bytes: int
    purpose: Purpose

    @property
    def path(self) -> str:
        """Its path in the collection. Citations find the id in it."""
        return f"{self.id}/{self.filename}"


class FileObject(TypedDict):
    """A file as a client gets it."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose
    status: Literal["uploaded", "processed"]
    status_details: None
    expires_at: None


_RECORD = TypeAdapter(File)


class Files:
    """Files of all owners, each seen by its own only. Methods raise StateUnavailableError."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def add(
        self, principal: Principal, filename: str, content: bytes, purpose: Purpose
    ) -> File:
        """Store a file. Raises TooLargeError."""
        id = issued("file").replace("_", "-")
        file = File(id, principal.user, principal.tenant, filename, len(content), purpose)
        # The content first: a record without one would be a file that cannot be read.
        await self._records.put(CONTENT, file.tenant, id, content)
        try:
            await self._records.put(KIND, file.tenant, id, _RECORD.dump_json(file))
        except AgentError:
            await self.delete(file)  # as far as it came
            raise
        return file

    async def get(self, id: str, principal: Principal) -> File:
        """Return a file. Raises NotFoundError."""
        raw = await self._records.get(KIND, principal.tenant, id)
        return own(decode(_RECORD, raw), principal, f"file {id[:200]!r}")

    async def content(self, file: File) -> bytes:
        """Return what is in it. Raises NotFoundError."""
        content = await self._records.get(CONTENT, file.tenant, file.id)
        if content is None:
            raise NotFoundError(f"there is no file {file.id!r}")
        return content

    async def delete(self, file: File) -> None:
        """Forget a file."""
        # The content first: whoever has to try again still finds the file.
        await self._records.delete(CONTENT, file.tenant, file.id)
        await self._records.delete(KIND, file.tenant, file.id)

    async def list(self, principal: Principal) -> list[File]:
        """Return somebody's files, the oldest first."""
        stored = await self._records.list(KIND, principal.tenant, MOST)
        files = [file for _, raw in reversed(stored) if (file := decode(_RECORD, raw))]
        return [file for file in files if file.owner == principal.user]


def shown(file: File, processed: bool = False) -> FileObject:
    """Return a file as a client gets it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": issued_at(file.id.replace("-", "_", 1)),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed" if processed else "uploaded",
        "status_details": None,
        "expires_at": None,
    }
