"""A lock between processes that the kernel gives back when its holder dies, however it dies."""

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
            _take(file, waiting)
            if _is_still(file, path):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
                yield
                return


def _take(file: TextIO, waiting: Callable[[str], None] | None) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is not None:
            file.seek(0)
            waiting(file.read().strip())
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_still(file: TextIO, path: Path) -> bool:
    """Not if the holder we waited for removed the file: then others lock another one."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
