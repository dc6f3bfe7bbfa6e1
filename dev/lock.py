"""Locks between processes that the kernel gives back when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def locked(path: Path, waiting: Callable[[str], None] | None = None) -> Generator[None]:
    """Hold the lock. `waiting` is told the holder's pid if someone else has it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            if not _take_now(file):
                if waiting is not None:
                    file.seek(0)
                    waiting(file.read().strip())
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(file, path):
                _sign(file)
                yield
                return


@contextmanager
def locked_if_free(path: Path) -> Generator[bool]:
    """Hold the lock if nobody else does; says whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        taken = _take_now(file)
        if taken:
            _sign(file)
        yield taken


def _take_now(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(file: TextIO) -> None:
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def _is_still(file: TextIO, path: Path) -> bool:
    """Not if the holder we waited for removed the file: then others lock another one."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
