"""Reading the documents of a source, a folder of Markdown and plain text.

It reads each file once although a mounted ConfigMap shows it twice (through `..data`), and says
which files it could not use instead of failing on them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_runtime.domain import Document
from agent_runtime.errors import InvalidConfigError, NoDocumentsError
from agent_runtime.knowledge.markdown import title_of

SUFFIXES = frozenset({".md", ".markdown", ".txt", ".text"})


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and why."""

    path: str
    reason: str


def read_sources(folders: Mapping[str, Path], recipe: str) -> tuple[list[Document], list[Skipped]]:
    """Read every document below the named folders, sorted by source and path.

    Args:
        folders: a folder for each source name.
        recipe: whatever else chunks depend on (their longest length, …), for the fingerprint.

    Raises:
        InvalidConfigError: a folder is not there.
        NoDocumentsError: nothing readable is in any of them.
    """
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for source, folder in sorted(folders.items()):
        if not folder.is_dir():
            raise InvalidConfigError(f"source {source!r}: {folder} is not a folder")
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            read = _read(path)
            if isinstance(read, Skipped):
                skipped.append(Skipped(f"{source}/{name}", read.reason))
            else:
                documents.append(_document(source, name, read, recipe))
    if not documents:
        places = ", ".join(f"{name}={folder}" for name, folder in sorted(folders.items()))
        raise NoDocumentsError(f"no Markdown or text document in {places}{_listed(skipped)}")
    return documents, skipped


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)


def _read(path: Path) -> str | Skipped:
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return Skipped(str(path), "not UTF-8")
    except OSError as error:
        return Skipped(str(path), error.strerror or str(error))
    return text if text.strip() else Skipped(str(path), "empty")


def _document(source: str, path: str, text: str, recipe: str) -> Document:
    title = title_of(text) or Path(path).stem
    parts = (recipe, title, text)
    fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    return Document(source, path, title, text, fingerprint)


def _listed(skipped: Iterable[Skipped]) -> str:
    reasons = "; ".join(f"{each.path}: {each.reason}" for each in skipped)
    return f" (skipped: {reasons})" if reasons else ""
