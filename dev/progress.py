"""Prints what goes on, how far it is, and since when; several tasks may report at once."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO


class Progress:
    """Lines such as `[ 3/12]   41 s  coredns: built in 12 s`. The counter counts finished tasks."""

    def __init__(self, total: int, out: TextIO = sys.stderr, quiet: bool = False) -> None:
        self._total = total
        self._finished = 0
        self._out = out
        self._quiet = quiet
        self._started = time.monotonic()
        self._mutex = threading.Lock()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def note(self, task: str, text: str) -> None:
        """Something about a task that goes on."""
        with self._mutex:
            self._print(f"{task}: {text}")

    def finished(self, task: str, text: str) -> None:
        with self._mutex:
            self._finished += 1
            self._print(f"{task}: {text}")

    def _print(self, text: str) -> None:
        if self._quiet:
            return
        width = len(str(self._total))
        counter = f"[{self._finished:>{width}}/{self._total}]"
        print(f"{counter} {self.elapsed:5.0f} s  {text}", file=self._out, flush=True)


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
