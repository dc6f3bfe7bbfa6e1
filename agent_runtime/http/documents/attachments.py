"""Files on their way into the collection, one after the other, beside the conversations.

What was begun is done even if this process ends: a job is noted before it starts, and whoever
starts next finds it. Doing it twice changes nothing. Other processes may give up what this one
brings in, or attach it anew: the file's record tells whose turn it is. Who changes the collection
without having looked since says so before, in a note of his own that nobody else deletes: where he
ends before he looks again, whoever starts next makes of the file what its record says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar
from uuid import uuid4

from pydantic import TypeAdapter

from agent_runtime.domain import Principal
from agent_runtime.errors import (
    AgentError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    UnreadableDocumentError,
)
from agent_runtime.http.documents.files import MOST, File, Files
from agent_runtime.http.wire import decode
from agent_runtime.ports import Records

log = logging.getLogger(__name__)

KIND, JOBS, WRITERS = "vector_store_file", "vector_store_job", "vector_store_writer"
WRITER_SECONDS = 7 * 86_400.0
"""How long it is remembered who was writing: longer than he may take, or nobody start."""
ATTEMPTS = 8
LONGEST_PAUSE = 30.0
Attribute = str | float | bool
Status = Literal["in_progress", "completed", "failed", "cancelled"]
T = TypeVar("T")


class Documents(Protocol):
    """The agent's collection, to be changed while it is served.

    `add` and `remove` return the version of the index that holds the change. They raise
    VectorStoreUnavailableError, IndexMismatchError and ConflictError.
    """

    async def add(self, path: str, content: bytes) -> int:
        """Index a document under a path, FILE_ID/FILENAME. Raises UnreadableDocumentError."""
        ...

    async def remove(self, path: str) -> int:
        """Take a document out, if it is there."""
        ...

    async def in_use(self, version: int) -> None:
        """Wait until questions are answered from this version or a later one.

        Raises UnavailableError where that takes too long.
        """
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file is not searchable."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the collection."""

    file: File
    status: Status
    created_at: int
    attributes: Mapping[str, Attribute]
    failure: Failure | None = None
    batch: str | None = None
    """The batch that it came with."""
    again: bool = False
    """It was searchable before, too, and is until it is taken out."""


_RECORD = TypeAdapter(Attachment)
_FILE = TypeAdapter(File)


class Attachments:
    """Attaches and detaches files. Methods raise StateUnavailableError."""

    def __init__(
        self, records: Records, files: Files, documents: Documents, pause: float = 1.0
    ) -> None:
        """`pause` is in seconds, before the first new attempt; each one doubles it."""
        self._records = records
        self._files = files
        self._documents = documents
        self._pause = pause
        self._turn = asyncio.Lock()
        """Held while the collection is changed."""
        self._noting = asyncio.Lock()
        """Held while the records of a file are read and changed."""
        self._running: dict[str, asyncio.Task[Attachment]] = {}
        self._resuming: asyncio.Task[None] | None = None
        self._writer = uuid4().hex

    async def resume(self, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Go on with what another process left behind, once `first` is done: now, or as soon as it
        is known what that is."""

        async def work() -> None:
            if first is not None:
                await first()
            await self._resume()

        try:
            await work()
        except UnavailableError as error:
            log.warning("what waits to be indexed is not known yet: %s", error)
            self._resuming = asyncio.create_task(self._insist(work), name="resume")

    async def _resume(self) -> None:
        for id, tenant in await self._records.list(JOBS, "", MOST):
            attachment = await self._stored(tenant.decode(), id)
            if attachment is not None and attachment.status in ("in_progress", "cancelled"):
                self._start_again(attachment)
        for _, raw in await self._records.list(WRITERS, "", MOST):
            if (file := decode(_FILE, raw)) is not None:
                gone = Attachment(file, "cancelled", 0, {})
                stands = await self._stored(file.tenant, file.id) or gone
                if stands.status != "failed":
                    self._start_again(stands)

    def _start_again(self, attachment: Attachment) -> None:
        if attachment.file.id not in self._running:
            self._start(attachment)

    async def close(self) -> None:
        """Stop; what is not done is done by whoever starts next."""
        tasks: list[asyncio.Task[Any]] = list(self._running.values())
        if self._resuming is not None:
            tasks.append(self._resuming)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def attach(
        self,
        file: File,
        attributes: Mapping[str, Attribute],
        now: int,
        batch: str | None = None,
    ) -> Attachment:
        """Begin to index a file."""
        async with self._noting:
            before = await self._stored(file.tenant, file.id)
            again = before is not None and (
                before.status == "completed" or (before.status == "in_progress" and before.again)
            )
            attachment = Attachment(file, "in_progress", now, attributes, batch=batch, again=again)
            # The job first: without one, what is in progress would be so for ever.
            await self._records.put(JOBS, "", file.id, file.tenant.encode())
            await self._save(attachment)
            self._start(attachment)
        return attachment

    async def cancel(self, attachment: Attachment) -> None:
        """Give up a file that is in progress.

        Its job is now to take out what may have been written of it.
        """
        async with self._noting:
            if await self._stored(attachment.file.tenant, attachment.file.id) == attachment:
                cancelled = replace(attachment, status="cancelled")
                await self._save(cancelled)
                self._start(cancelled)

    async def wait(self, attachment: Attachment, seconds: float) -> Attachment:
        """Wait until a file is searchable or has failed, for so long at most."""
        task = self._running.get(attachment.file.id)
        if task is None:
            return attachment
        done, _ = await asyncio.wait({task}, timeout=seconds)
        return task.result() if done and not task.cancelled() else attachment

    async def get(self, file_id: str, principal: Principal) -> Attachment:
        """Return a file of the collection. Raises NotFoundError."""
        found = await self._stored(principal.tenant, file_id)
        if found is None or found.file.owner != principal.user:
            raise NotFoundError(f"there is no file {file_id[:200]!r} in this vector store")
        return found

    async def list(self, principal: Principal) -> list[Attachment]:
        """Return somebody's files of the collection, the oldest first."""
        stored = await self._records.list(KIND, principal.tenant, MOST)
        found = [each for _, raw in reversed(stored) if (each := decode(_RECORD, raw))]
        return [each for each in found if each.file.owner == principal.user]

    async def among(self, tenant: str, ids: Sequence[str]) -> list[Attachment]:
        """Return those of these files that are of the collection, in their order."""
        # Of a tenant with many files these alone, as it is asked every second while one waits.
        raws = await self._records.some(KIND, tenant, ids)
        return [found for raw in raws if (found := decode(_RECORD, raw))]

    async def detach(self, file: File) -> None:
        """Take a file out of the collection; wait until no answer comes from it any more."""
        if (task := self._running.pop(file.id, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with self._turn:
            version = await self._documents.remove(file.path)
            await self._wrote(file)
        async with self._noting:
            await self._records.delete(JOBS, "", file.id)
            await self._records.delete(KIND, file.tenant, file.id)
        await self._documents.in_use(version)

    async def delete(self, file: File) -> None:
        """Take a file out of the collection and forget it."""
        await self.detach(file)
        await self._files.delete(file)
        # It may have been attached while this waited for the index without it.
        if await self._stored(file.tenant, file.id) is not None:
            await self.detach(file)

    def _start(self, attachment: Attachment) -> None:
        id = attachment.file.id
        if (before := self._running.get(id)) is not None:
            before.cancel()
        work = self._take_out if attachment.status == "cancelled" else self._index
        task = asyncio.create_task(work(attachment), name=f"index {id}")
        self._running[id] = task
        task.add_done_callback(lambda ended: self._forget(id, ended))

    def _forget(self, id: str, ended: asyncio.Task[Attachment]) -> None:
        if self._running.get(id) is ended:
            del self._running[id]

    async def _index(self, attachment: Attachment) -> Attachment:
        done = replace(attachment, status="completed")
        try:
            await self._bring_in(attachment)
        except UnreadableDocumentError as error:
            done = _failed(attachment, Failure("unsupported_file", str(error)))
        except NotFoundError as error:
            done = _failed(attachment, Failure("invalid_file", str(error)))
        except AgentError as error:
            done = _failed(attachment, Failure("server_error", str(error)))
        except Exception as error:
            log.exception("indexing %s failed", attachment.file.id)
            done = _failed(attachment, Failure("server_error", type(error).__name__))
        stands = await self._insist(lambda: self._finish(attachment, done))
        if stands is None or stands.status == "cancelled":
            # Another process gave it up, maybe before this one wrote it.
            return await self._take_out(stands or replace(attachment, status="cancelled"))
        await self._insist(lambda: self._wrote(attachment.file))
        return stands

    async def _bring_in(self, attachment: Attachment) -> None:
        """Index a file until it is in use, again where something was away.

        Raises NotFoundError, and what Documents.add raises.
        """
        file = attachment.file
        for attempt in range(ATTEMPTS):
            try:
                async with self._turn:
                    if await self._stored(file.tenant, file.id) != attachment:
                        return
                    # The content of one file is in memory, not of all that wait.
                    content = await self._files.content(file)
                    await self._writes(file)
                    version = await self._documents.add(file.path, content)
                await self._documents.in_use(version)
                return
            except (UnavailableError, ConflictError) as error:
                if attempt + 1 == ATTEMPTS:
                    raise
                log.warning("indexing is tried again: %s", error)
            # Not above, where the error still holds the content.
            await self._rest(attempt)

    async def _take_out(self, attachment: Attachment) -> Attachment:
        """Take out what there may be of a file that was given up."""
        file = attachment.file

        async def remove() -> None:
            async with self._turn:
                if await self._stored(file.tenant, file.id) in (attachment, None):
                    await self._writes(file)
                    await self._documents.remove(file.path)

        try:
            await self._insist(remove)
        except Exception:
            log.exception("%s is taken out at the next start", file.id)
            return attachment
        stands = await self._insist(lambda: self._finish(attachment, attachment)) or attachment
        if stands.status in ("in_progress", "completed"):
            return await self._index(stands)  # attached meanwhile, and maybe just taken out
        await self._insist(lambda: self._wrote(file))
        return stands

    async def _finish(self, begun: Attachment, done: Attachment) -> Attachment | None:
        """Note how it ended, unless it is not this job's any more. Return how the file stands."""
        file = begun.file
        async with self._noting:
            stands = await self._stored(file.tenant, file.id)
            if stands not in (begun, done):
                return stands
            await self._save(done)
            await self._records.delete(JOBS, "", file.id)
            return done

    async def _writes(self, file: File) -> None:
        await self._records.put(
            WRITERS, "", self._note(file), _FILE.dump_json(file), WRITER_SECONDS
        )

    async def _wrote(self, file: File) -> None:
        await self._records.delete(WRITERS, "", self._note(file))

    def _note(self, file: File) -> str:
        return f"{file.id}:{self._writer}"

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something for as long as it takes: nobody else would before the next start."""
        attempt = 0
        while True:
            try:
                return await work()
            except (UnavailableError, ConflictError) as error:
                log.warning("a file's job is not over yet: %s", error)
            await self._rest(attempt)
            attempt += 1

    async def _rest(self, attempt: int) -> None:
        await asyncio.sleep(min(LONGEST_PAUSE, self._pause * 2 ** min(attempt, ATTEMPTS)))

    async def _stored(self, tenant: str, id: str) -> Attachment | None:
        return decode(_RECORD, await self._records.get(KIND, tenant, id))

    async def _save(self, attachment: Attachment) -> None:
        file = attachment.file
        await self._records.put(KIND, file.tenant, file.id, _RECORD.dump_json(attachment))


def _failed(attachment: Attachment, failure: Failure) -> Attachment:
    return replace(attachment, status="failed", failure=failure)
