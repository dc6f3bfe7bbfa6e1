"""A FAISS collection on disk: whole snapshots beside each other, and a pointer to one of them.

    COLLECTION/current.json     what the collection says of itself, and which snapshot is its own
    COLLECTION/lock             held by the one who writes
    COLLECTION/snapshot-<hex>/  see faiss_snapshot

A snapshot is complete before the pointer is replaced and never changed after, so that a crash
leaves the one before. Who loads a snapshot holds a shared lock on its folder; the next writer
removes those that are no longer pointed at and that nobody is loading. Everything here blocks.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from agent_runtime.domain import EmbeddedChunk
from agent_runtime.errors import ConflictError, IndexMissingError
from agent_runtime.stores import faiss_snapshot

POINTER = "current.json"
ATTEMPTS = 20
"""Each is one more publication between reading the pointer and opening the snapshot."""
T = TypeVar("T")


class CollectionFolder:
    """One collection's folder. Raises OSError, ValueError or RuntimeError where it is broken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def description(self) -> dict[str, Any] | None:
        """Return what the collection says of itself; None where there is none."""
        try:
            return json.loads((self._folder / POINTER).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def create(self, new: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the collection's description, and create it unless it exists.

        Raises ConflictError where somebody else is just creating it.
        """
        if (said := self.description()) is not None:
            return said
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = self.lock()
        try:
            if (said := self.description()) is None:
                self.point(new)
            return said or new
        finally:
            os.close(descriptor)

    def lock(self) -> int:
        """Become the one who writes, until the descriptor is closed. Raises ConflictError."""
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise
            raise ConflictError(
                f"another ingestion is writing to collection {self._folder.name!r}; "
                "try again when it has ended"
            ) from error
        return descriptor

    def point(self, said: Mapping[str, object]) -> None:
        """Replace the pointer and all it says. The caller holds the lock."""
        new = self._folder / f"{POINTER}.new"
        new.write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")
        faiss_snapshot.sync(new)
        new.replace(self._folder / POINTER)
        faiss_snapshot.sync(self._folder)

    def store(self, chunks: Sequence[EmbeddedChunk], dimension: int) -> str:
        """Write a snapshot that nothing points at yet. The caller holds the lock."""
        folder = self._folder / f"snapshot-{uuid4().hex}"
        folder.mkdir()
        try:
            faiss_snapshot.write(folder, chunks, dimension)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # the disk may be full
            raise
        faiss_snapshot.sync(self._folder)
        return folder.name

    def collect(self) -> None:
        """Remove what nobody needs, of killed writers too. The caller holds the lock."""
        current = (self.description() or {}).get("snapshot")
        for folder in self._folder.glob("snapshot-*"):
            if folder.name == current:
                continue
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            except BlockingIOError:
                pass  # somebody loads it
            finally:
                os.close(descriptor)

    def load(self, read: Callable[[Path], T], otherwise: T) -> T:
        """Read the current snapshot while nobody removes it; `otherwise` before there is one.

        Raises IndexMissingError.
        """
        for _ in range(ATTEMPTS):
            if (said := self.description()) is None:
                raise IndexMissingError(f"there is no collection {self._folder.name!r}")
            if said["snapshot"] is None:
                return otherwise
            folder = self._folder / said["snapshot"]
            with suppress(FileNotFoundError):
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
                    if folder.exists():  # not removed while we waited for the lock
                        return read(folder)
                finally:
                    os.close(descriptor)
        raise FileNotFoundError(f"what {self._folder / POINTER} points at is gone")
