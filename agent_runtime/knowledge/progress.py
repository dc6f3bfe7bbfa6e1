"""Telling a person, or a log, how far an ingestion is."""

from __future__ import annotations

import sys
import time

from agent_runtime.knowledge.ingest import Progress

EVERY_SECONDS = 2.0
WIDTH = 30


def progress() -> Progress:
    """Return a bar for a terminal, and lines now and then for a log."""
    return _bar if sys.stderr.isatty() else _Lines()


def _bar(done: int, total: int) -> None:
    filled = WIDTH * done // total
    bar = "#" * filled + "." * (WIDTH - filled)
    end = "\n" if done == total else ""
    print(f"\r[{bar}] {done}/{total} documents", end=end, file=sys.stderr, flush=True)


class _Lines:
    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._last >= EVERY_SECONDS:
            self._last = now
            print(f"indexed {done} of {total} documents", file=sys.stderr, flush=True)
