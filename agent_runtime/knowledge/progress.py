"""Telling a person, or a log, how far an ingestion is."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)
from rich.text import Text

from agent_runtime.knowledge.ingest import Progress

EVERY_SECONDS = 5.0


@contextmanager
def progress() -> Generator[Progress]:
    """Yield a bar on a terminal, and a line now and then in a log. Both go to stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TextColumn("documents,"),
        TextColumn("{task.fields[chunks]} chunks,"), _Rate(), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=None, chunks=0)
        yield lambda done, total, chunks: bar.update(
            task, completed=done, total=total, chunks=chunks
        )


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:.1f}/s")


class _Lines:
    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def __call__(self, done: int, total: int, chunks: int) -> None:
        now = time.monotonic()
        if done < total and now - self._last < EVERY_SECONDS:
            return
        self._last = now
        rate = done / max(now - self._began, 1e-3)
        left = f", about {(total - done) / rate:.0f} s left" if 0 < done < total else ""
        print(
            f"indexed {done} of {total} documents, {chunks} chunks, {rate:.1f} documents/s{left}",
            file=sys.stderr,
            flush=True,
        )
