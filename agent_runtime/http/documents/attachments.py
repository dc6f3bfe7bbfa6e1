"""Files on their way into the collection, one after the other, beside the conversations.

What was begun is done even if this process ends: a job is noted before it starts, and whoever
starts next finds it. Doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from pydantic import TypeAdapter, ValidationError

from agent_runtime.domain import Principal
from agent_runtime.errors import (
    AgentError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    UnreadableDocumentError,
)
from agent_runtime.http.documents.files import MOST, File, Files
from agent_runtime.ports import Records

log = logging.getLogger(__name__)

KIND, JOBS = "vector_store_file", "vector_store_job"
ATTEMPTS = 8
LONGEST_PAUSE = 30.0
Attribute = str | float | bool


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
    status: Literal["in_progress", "completed", "failed"]
    created_at: int
    attributes: Mapping[str, Attribute]
    failure: Failure | None = None


_RECORD = TypeAdapter(Attachment)


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
        self._running: dict[str, asyncio.Task[Attachment]] = {}

    async def resume(self) -> None:
        """Go on with what another process left behind."""
        try:
            for id, tenant in await self._records.list(JOBS, "", MOST):
                raw = await self._records.get(KIND, tenant.decode(), id)
                attachment = _read(raw) if raw else None
                if attachment is not None and attachment.status == "in_progress":
                    self._start(attachment)
        except UnavailableError as error:
            log.warning("not all files that wait to be indexed are known: %s", error)

    async def close(self) -> None:
        """Stop; what is not done is done by whoever starts next."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def attach(self, file: File, attributes: Mapping[str, Attribute], now: int) -> Attachment:
        """Begin to index a file."""
        attachment = Attachment(file, "in_progress", now, attributes)
        await self._save(attachment)
        await self._records.put(JOBS, "", file.id, file.tenant.encode())
        self._start(attachment)
        return attachment

    async def wait(self, attachment: Attachment, seconds: float) -> Attachment:
        """Wait until a file is searchable or has failed, for so long at most."""
        task = self._running.get(attachment.file.id)
        if task is None:
            return attachment
        done, _ = await asyncio.wait({task}, timeout=seconds)
        return task.result() if done and not task.cancelled() else attachment

    async def get(self, file_id: str, principal: Principal) -> Attachment:
        """Return a file of the collection. Raises NotFoundError."""
        raw = await self._records.get(KIND, principal.tenant, file_id)
        found = _read(raw) if raw else None
        if found is None or found.file.owner != principal.user:
            raise NotFoundError(f"there is no file {file_id[:200]!r} in this vector store")
        return found

    async def list(self, principal: Principal) -> list[Attachment]:
        """Return somebody's files of the collection, the oldest first."""
        stored = await self._records.list(KIND, principal.tenant, MOST)
        found = [each for _, raw in reversed(stored) if (each := _read(raw))]
        return [each for each in found if each.file.owner == principal.user]

    async def detach(self, file: File) -> None:
        """Take a file out of the collection; wait until no answer comes from it any more."""
        if (task := self._running.pop(file.id, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with self._turn:
            version = await self._documents.remove(file.path)
        await self._records.delete(JOBS, "", file.id)
        await self._records.delete(KIND, file.tenant, file.id)
        await self._documents.in_use(version)

    def _start(self, attachment: Attachment) -> None:
        id = attachment.file.id
        if id in self._running:
            return
        task = asyncio.create_task(self._index(attachment), name=f"index {id}")
        self._running[id] = task
        task.add_done_callback(lambda _: self._running.pop(id, None))

    async def _index(self, attachment: Attachment) -> Attachment:
        done = replace(attachment, status="completed")
        try:
            await self._bring_in(attachment.file)
        except UnreadableDocumentError as error:
            done = _failed(attachment, Failure("unsupported_file", str(error)))
        except NotFoundError as error:
            done = _failed(attachment, Failure("invalid_file", str(error)))
        except AgentError as error:
            done = _failed(attachment, Failure("server_error", str(error)))
        except Exception as error:
            log.exception("indexing %s failed", attachment.file.id)
            done = _failed(attachment, Failure("server_error", type(error).__name__))
        await self._finish(done)
        return done

    async def _bring_in(self, file: File) -> None:
        """Index a file until it is in use, again where something was away.

        Raises NotFoundError, and what Documents.add raises.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with self._turn:
                    # The content of one file is in memory, not of all that wait.
                    version = await self._documents.add(file.path, await self._files.content(file))
                await self._documents.in_use(version)
                return
            except (UnavailableError, ConflictError) as error:
                if attempt + 1 == ATTEMPTS:
                    raise
                log.warning("indexing is tried again: %s", error)
            # Not above, where the error still holds the content.
            await self._rest(attempt)

    async def _finish(self, done: Attachment) -> None:
        """Note how it ended, for as long as it takes: nobody else would before the next start."""
        for attempt in itertools.count():
            try:
                await self._save(done)
                await self._records.delete(JOBS, "", done.file.id)
                return
            except UnavailableError as error:
                log.warning("the state of %s is not saved yet: %s", done.file.id, error)
            await self._rest(attempt)

    async def _rest(self, attempt: int) -> None:
        await asyncio.sleep(min(LONGEST_PAUSE, self._pause * 2 ** min(attempt, ATTEMPTS)))

    async def _save(self, attachment: Attachment) -> None:
        file = attachment.file
        await self._records.put(KIND, file.tenant, file.id, _RECORD.dump_json(attachment))


def _failed(attachment: Attachment, failure: Failure) -> Attachment:
    return replace(attachment, status="failed", failure=failure)


def _read(raw: bytes) -> Attachment | None:
    try:
        return _RECORD.validate_json(raw)
    except ValidationError:
        return None  # written by a version that is too old or too new
