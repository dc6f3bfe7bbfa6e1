"""What an image is made from, so that an unchanged one is neither built nor loaded again. Pure
but for reading the files."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

NEVER = ("__pycache__", "*.pyc", ".git")


def digest(dockerfile: Path, context: Path, arguments: Mapping[str, str], base: str) -> str:
    """Of the Dockerfile, of every file that it copies from the context, and of what it is told."""
    text = dockerfile.read_text()
    inputs = hashlib.sha256()
    inputs.update(json.dumps([text, dict(sorted(arguments.items())), base]).encode())
    ignored = ignore_patterns(dockerfile, context)
    files = {
        file
        for source in copied_sources(text)
        for file in _expand(context, source.lstrip("/"), ignored)
    }
    for file in sorted(files):
        relative = file.relative_to(context)
        mode = "x" if os.access(file, os.X_OK) else "-"
        inputs.update(f"\0{relative}\0{mode}\0".encode())
        inputs.update(file.read_bytes() if not file.is_symlink() else str(file.readlink()).encode())
    return inputs.hexdigest()[:16]


def copied_sources(dockerfile: str) -> list[str]:
    """The sources of COPY, ADD and bind mounts that lie in the context, not in another stage."""
    sources: list[str] = []
    for line in _instructions(dockerfile):
        keyword, _, rest = line.partition(" ")
        if keyword.upper() in {"COPY", "ADD"}:
            sources += _copy_sources(rest.strip())
        elif keyword.upper() == "RUN":
            sources += _mount_sources(rest)
    return sources


def _instructions(dockerfile: str) -> Iterator[str]:
    """Lines joined where they end in a backslash, without comments."""
    joined = ""
    for line in dockerfile.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if line.rstrip().endswith("\\"):
            joined += line.rstrip()[:-1] + " "
            continue
        yield (joined + line).strip()
        joined = ""
    if joined:
        yield joined.strip()


def _copy_sources(rest: str) -> list[str]:
    options: list[str] = []
    while rest.startswith("--"):
        option, _, rest = rest.partition(" ")
        options.append(option)
        rest = rest.lstrip()
    if any(option.startswith("--from=") for option in options):
        return []
    words: list[str] = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
    return words[:-1]


def _mount_sources(rest: str) -> list[str]:
    sources: list[str] = []
    for word in rest.split():
        if not word.startswith("--mount="):
            continue
        pairs = (pair.partition("=") for pair in word.removeprefix("--mount=").split(","))
        options = {name: value for name, _, value in pairs}
        if options.get("type", "bind") == "bind" and "from" not in options:
            sources.append(options.get("source") or options.get("src") or ".")
    return sources


def ignore_patterns(dockerfile: Path, context: Path) -> list[str]:
    """Of Dockerfile.NAME.dockerignore or .dockerignore. Negations are not worth understanding:
    a pattern list with one ignores nothing, so that at worst an image is built once too often."""
    own = dockerfile.with_name(dockerfile.name + ".dockerignore")
    for path in (own, context / ".dockerignore", context / ".containerignore"):
        if path.exists():
            lines = [line.strip() for line in path.read_text().splitlines()]
            patterns = [line.strip("/") for line in lines if line and not line.startswith("#")]
            return [] if any(p.startswith("!") for p in patterns) else patterns
    return []


def _expand(context: Path, source: str, ignored: list[str]) -> Iterator[Path]:
    for path in [context] if source in {"", ".", "./"} else sorted(context.glob(source)):
        if path.is_symlink() or path.is_file():
            yield path
            continue
        for folder, subfolders, files in os.walk(path):
            here = Path(folder)
            kept = [name for name in subfolders if not _skipped(here / name, context, ignored)]
            subfolders[:] = kept
            for name in files:
                if not _skipped(here / name, context, ignored):
                    yield here / name


def _skipped(path: Path, context: Path, ignored: list[str]) -> bool:
    relative = str(path.relative_to(context))
    return any(fnmatch.fnmatch(path.name, pattern) for pattern in NEVER) or any(
        fnmatch.fnmatch(relative, pattern.removeprefix("**/"))
        or (pattern.startswith("**/") and fnmatch.fnmatch(path.name, pattern[3:]))
        for pattern in ignored
    )
