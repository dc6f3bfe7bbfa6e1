"""The files of sources, which are folders, as they are: nothing is read out of them yet.

Each file counts once although a mounted ConfigMap shows it twice (through `..data`). Names that
are no document's are passed over; documents that cannot be used are listed with the reason.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_runtime.errors import InvalidConfigError, NoDocumentsError, UnreadableDocumentError
from agent_runtime.knowledge.parsing import MAX_BYTES, SUFFIXES, check_size

UPLOADS = "files"
"""Source of what is uploaded over the API: no folder may have this name."""


@dataclass(frozen=True, slots=True)
class Original:
    """A file before anything has been read out of it. Picklable."""

    source: str
    path: str
    fingerprint: str
    """Hash of its bytes and of how they are read and cut: another one means: index it again."""
    content: bytes | Path
    digest: str
    """Hash of its bytes alone."""

    def read(self) -> bytes:
        """Return the bytes. Raises UnreadableDocumentError."""
        if isinstance(self.content, bytes):
            return self.content
        content = _read(self.content)
        if _digest(content) != self.digest:
            raise UnreadableDocumentError("it changed while it was read")
        return content


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that was left out, and why."""

    path: str
    """Source and path."""
    reason: str


def original(source: str, path: str, content: bytes | Path, recipe: str) -> Original:
    """Describe a file by its content.

    Args:
        source: the source it belongs to.
        path: its name in that source, of at most MAX_BYTES.
        content: its bytes, or where they are.
        recipe: whatever else chunks depend on (their longest length, …), for the fingerprint.

    Raises:
        UnreadableDocumentError: it is too large or cannot be opened.
    """
    digest = _digest(_read(content) if isinstance(content, Path) else content)
    fingerprint = hashlib.sha256(f"{recipe}\0{digest}".encode()).hexdigest()[:32]
    return Original(source, path, fingerprint, content, digest)


def read_sources(folders: Mapping[str, Path], recipe: str) -> tuple[list[Original], list[Skipped]]:
    """Find every document below the named folders, sorted by source and path.

    Args:
        folders: a folder for each source name.
        recipe: as for `original`.

    Raises:
        InvalidConfigError: a folder is not there, or a source has the name of the uploads.
        NoDocumentsError: nothing that can be opened is in any of them.
    """
    originals: list[Original] = []
    skipped: list[Skipped] = []
    for source, folder in sorted(folders.items()):
        if source == UPLOADS:
            raise InvalidConfigError(f"source {source!r}: the name is kept for uploaded files")
        if not folder.is_dir():
            raise InvalidConfigError(f"source {source!r}: {folder} is not a folder")
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            try:
                originals.append(original(source, name, path, recipe))
            except UnreadableDocumentError as error:
                skipped.append(Skipped(f"{source}/{name}", str(error)))
    if not originals:
        places = ", ".join(f"{name}={folder}" for name, folder in sorted(folders.items()))
        raise NoDocumentsError(f"no document in {places}{listed(skipped)}")
    return originals, skipped


def listed(skipped: Iterable[Skipped]) -> str:
    """Return the reasons, to be put behind a message; nothing where there are none."""
    reasons = "; ".join(f"{each.path}: {each.reason}" for each in skipped)
    return f" (skipped: {reasons})" if reasons else ""


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableDocumentError("not a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
            check_size(max(len(content), path.stat().st_size))
    except OSError as error:
        raise UnreadableDocumentError(error.strerror or str(error)) from error
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
