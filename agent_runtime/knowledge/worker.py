"""Reading and cutting documents in a process of its own, at low priority.

Parsing holds the interpreter's lock, so in a serving process it would hold up every conversation;
and what a hostile file breaks or keeps busy is that process only. It is started on first use.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from typing import TypeVar

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk
from agent_runtime.errors import AgentError, UnreadableDocumentError
from agent_runtime.knowledge.sources import Original
from agent_runtime.ports import TokenCounter

START_SECONDS = 60.0
DOCUMENT_SECONDS = 120.0

A = TypeVar("A")
R = TypeVar("R")

log = logging.getLogger(__name__)

_BROKEN = (EOFError, OSError)
"""What a pipe raises whose other end is gone."""


class DocumentWorker:
    """Prepares one document at a time. Callers wait for each other; `close` ends the process."""

    def __init__(
        self, count: TokenCounter, config: ChunkingConfig, seconds: float = DOCUMENT_SECONDS
    ) -> None:
        self._job = (count, config)
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    async def __call__(self, original: Original) -> AsyncGenerator[list[Chunk]]:
        """Yield the passages of a document, some at a time, none where it holds only headings.

        Raises:
            UnreadableDocumentError: there is no text in it, or it broke or blocked the process.
            AgentError: the process does not start.
        """
        async with self._turn:
            whole = False
            try:
                await self._do(self._send, original)
                while (part := await self._do(self._receive, self._seconds)) is not None:
                    if isinstance(part, UnreadableDocumentError):
                        whole = True
                        raise part
                    yield part
                whole = True
            except TimeoutError:
                raise UnreadableDocumentError(
                    f"it could not be read within {self._seconds:g} seconds"
                ) from None
            except _BROKEN as error:
                log.warning("%s/%s ended the worker", original.source, original.path)
                raise UnreadableDocumentError("it broke the process that reads it") from error
            finally:
                if not whole:  # what is still to come would be taken for the next document's
                    self._give_up()

    def close(self) -> None:
        """End the process and its thread."""
        self._give_up()
        self._thread.shutdown(wait=False)

    def _give_up(self) -> None:
        """End the process now, and the one that the thread may be just about to start."""
        if (process := self._process) is not None:
            process.kill()
            process.wait()
        with suppress(RuntimeError):  # closed, and by then given up
            self._thread.submit(self._kill)

    async def _do(self, call: Callable[[A], R], argument: A) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, argument)

    def _send(self, original: Original) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._pipe is not None  # noqa: S101  _start() has just set it
        content = original.content
        self._pipe.send(replace(original, content=b"") if isinstance(content, bytes) else original)
        if isinstance(content, bytes):
            self._pipe.send_bytes(content)  # not pickled, which would hold the lock

    def _receive(self, seconds: float) -> list[Chunk] | UnreadableDocumentError | None:
        assert self._pipe is not None  # noqa: S101
        if not self._pipe.poll(seconds):
            raise TimeoutError
        return self._pipe.recv()

    def _start(self) -> None:
        self._kill()
        ours, theirs = Pipe()
        # Not by multiprocessing, which would run the program's main module in the child again.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "from agent_runtime.knowledge.reading import serve\n"
            f"serve({theirs.fileno()})"
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._pipe = ours
        try:
            ours.send(self._job)
            if ours.poll(START_SECONDS) and ours.recv() == "ready":
                return
        except _BROKEN:
            pass
        self._kill()
        raise AgentError("the process that reads documents does not start; its log says why")

    def _kill(self) -> None:
        """In the thread, which alone sets the two."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None:
            process.kill()
            process.wait()
        if pipe is not None:
            pipe.close()
