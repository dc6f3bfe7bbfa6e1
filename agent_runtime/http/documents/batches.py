"""Files that were attached together.

A batch says which they are; how far each is stands with the file alone, so that the two cannot
disagree. A file that was taken out of the store counts for nothing in its batches, and one that
was attached again counts as it stands now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from agent_runtime.domain import Principal
from agent_runtime.http.access import own
from agent_runtime.http.documents.attachments import Attachment, Attachments, Attribute
from agent_runtime.http.documents.files import MOST, Files
from agent_runtime.http.fields import issued
from agent_runtime.http.wire import decode
from agent_runtime.ports import Records

KIND, JOBS = "vector_store_batch", "vector_store_batch_job"
KEPT_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were attached together."""

    id: str
    owner: str
    tenant: str
    created_at: int
    file_ids: tuple[str, ...]
    cancelled: bool = False


_RECORD = TypeAdapter(Batch)


class Batches:
    """Batches of all owners, each seen by its own only. They are forgotten after 30 days, their
    files are not. Methods raise StateUnavailableError."""

    def __init__(self, records: Records, files: Files, attachments: Attachments) -> None:
        self._records = records
        self._files = files
        self._attachments = attachments

    async def resume(self) -> None:
        """Go on with what another process left behind: before the files, as what it had begun to
        cancel is not to be indexed."""
        await self._attachments.resume(self._cancel_begun)

    async def create(
        self, wanted: Mapping[str, Mapping[str, Attribute]], principal: Principal, now: int
    ) -> Batch:
        """Begin to index files, given by id with their attributes. Raises NotFoundError where one
        is not there, before any is begun."""
        files = [await self._files.get(id, principal) for id in wanted]
        ids = tuple(file.id for file in files)
        batch = Batch(issued("vsfb"), principal.user, principal.tenant, now, ids)
        for file in files:
            await self._attachments.attach(file, wanted[file.id], now, batch.id)
        # Last: whatever ends this half-way, a batch that can be asked for lacks no file.
        await self._save(batch)
        return batch

    async def get(self, id: str, principal: Principal) -> Batch:
        """Return a batch. Raises NotFoundError."""
        found = await self._stored(principal.tenant, id)
        return own(found, principal, f"file batch {id[:200]!r}")

    async def files(self, batch: Batch) -> list[Attachment]:
        """Return its files in their order, without those that were taken out of the store."""
        return await self._attachments.among(batch.tenant, batch.file_ids)

    async def wait(self, batch: Batch, seconds: float) -> None:
        """Wait until all its files are searchable or have failed, for so long at most."""
        files = await self.files(batch)
        await asyncio.gather(*(self._attachments.wait(each, seconds) for each in files))

    async def cancel(self, batch: Batch) -> Batch:
        """Give up those of its files that are not searchable yet.

        Not those that others attached again since.
        """
        waiting = [
            each
            for each in await self.files(batch)
            if (each.status, each.batch, each.again) == ("in_progress", batch.id, False)
        ]
        if waiting:
            # The job first: once it is noted, whoever starts next cancels the rest.
            await self._records.put(JOBS, "", batch.id, batch.tenant.encode())
            batch = replace(batch, cancelled=True)
            await self._save(batch)
            for each in waiting:
                await self._attachments.cancel(each)
        await self._records.delete(JOBS, "", batch.id)
        return batch

    async def _cancel_begun(self) -> None:
        for id, tenant in await self._records.list(JOBS, "", MOST):
            if (batch := await self._stored(tenant.decode(), id)) is not None:
                await self.cancel(batch)

    async def _stored(self, tenant: str, id: str) -> Batch | None:
        return decode(_RECORD, await self._records.get(KIND, tenant, id))

    async def _save(self, batch: Batch) -> None:
        value = _RECORD.dump_json(batch)
        await self._records.put(KIND, batch.tenant, batch.id, value, KEPT_SECONDS)
