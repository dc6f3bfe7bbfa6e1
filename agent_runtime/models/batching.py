"""An embedder for the event loop: texts of concurrent requests are embedded in one call.

Nothing waits on purpose: while every worker is busy, what comes next gathers. Requests take turns,
so that a question waits for one batch at most, however many passages an ingestion hands in.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from agent_runtime.domain import Matrix, TextKind, Vector
from agent_runtime.errors import (
    AgentError,
    EmbeddingsUnavailableError,
    OverloadedError,
    UnavailableError,
)
from agent_runtime.ports import Embedder
from agent_runtime.settings import cpus

SHARE = 8
"""Texts that a request puts into a batch before the next request has its turn."""
REMEMBERED = 8
"""Requests with more texts are passages; their vectors are not asked for again soon."""

_Key = tuple[TextKind, str]


@dataclass(eq=False, slots=True)
class _Request:
    texts: Sequence[str]
    kind: TextKind
    rows: list[Vector | None]
    pending: deque[int]
    """Texts that are in no batch yet."""
    done: asyncio.Future[None]
    missing: int = field(default=0)


class Batching:
    """Implements the port Vectors over a blocking Embedder. It belongs to one event loop."""

    def __init__(
        self,
        embedder: Embedder,
        workers: int | None = None,
        batch: int = 32,
        characters: int = 4000,
        queue: int = 256,
        remembered: int = 2048,
    ) -> None:
        """
        Args:
            embedder: must be safe to call from `workers` threads at once.
            workers: batches at the same time; as many as CPUs unless given.
            batch: most texts in one call.
            characters: most characters in one call, unless a single text is longer: it bounds how
                long a question waits for a batch of passages.
            queue: most requests that wait; the next one raises OverloadedError.
            remembered: texts whose vectors are kept.
        """
        self._embedder = embedder
        self._workers = workers or cpus()
        self._batch, self._characters, self._queue = batch, characters, queue
        self._waiting: deque[_Request] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds = 0.0
        """How long a batch takes, as a moving average."""
        self._remembered = remembered
        self._known: OrderedDict[_Key, Vector] = OrderedDict()
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="embed")

    @property
    def model(self) -> str:
        return self._embedder.model

    def reads(self, language: str) -> bool:
        return self._embedder.reads(language)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        """Return one unit row of float32 for each text.

        Raises:
            OverloadedError: too many requests wait already.
            AgentError: the embedder failed on one of these texts.
        """
        if not texts:
            return np.empty((0, self._embedder.dimension), np.float32)
        rows = [self._recall(_key(text, kind)) for text in texts]
        pending = deque(index for index, row in enumerate(rows) if row is None)
        if pending:
            done = asyncio.get_running_loop().create_future()
            await self._work_off(_Request(texts, kind, rows, pending, done, len(pending)))
        return np.stack([row for row in rows if row is not None])

    async def _work_off(self, request: _Request) -> None:
        if len(self._waiting) >= self._queue:
            raise OverloadedError(
                f"{len(self._waiting)} requests wait for the embedding model", self._retry_after()
            )
        self._waiting.append(request)
        if self._running < self._workers:
            self._running += 1
            worker = asyncio.create_task(self._work())
            self._tasks.add(worker)
            worker.add_done_callback(self._tasks.discard)
        try:
            await request.done
        finally:  # cancelled or failed: what is left of it need not be done
            if request in self._waiting:
                self._waiting.remove(request)

    async def _work(self) -> None:
        while items := self._next():
            started = time.monotonic()
            texts = [request.texts[index] for request, index in items]
            results = await self._run(texts, items[0][0].kind)
            spent = time.monotonic() - started
            self._seconds = 0.8 * self._seconds + 0.2 * spent if self._seconds else spent
            for (request, index), result in zip(items, results, strict=True):
                self._deliver(request, index, result)
        self._running -= 1  # here and not when the task is done, for a request in between

    def _next(self) -> list[tuple[_Request, int]]:
        """Take the next batch: a few texts of each request, in turns, of one kind."""
        items: list[tuple[_Request, int]] = []
        room = self._characters
        while self._waiting and len(items) < self._batch:
            request = self._waiting.popleft()
            if items and request.kind != items[0][0].kind:
                self._waiting.appendleft(request)
                return items
            for _ in range(min(SHARE, self._batch - len(items), len(request.pending))):
                room -= len(request.texts[request.pending[0]])
                if room < 0 and items:
                    self._waiting.appendleft(request)
                    return items
                items.append((request, request.pending.popleft()))
            if request.pending:
                self._waiting.append(request)
        return items

    async def _run(self, texts: list[str], kind: TextKind) -> list[Vector | AgentError]:
        """Embed a batch. Where one text breaks it, the others are done singly."""
        loop = asyncio.get_running_loop()
        try:
            rows = await loop.run_in_executor(self._threads, self._embedder.embed, texts, kind)
            if len(rows) != len(texts):
                raise ValueError(f"{len(rows)} vectors for {len(texts)} texts")
            return list(rows)
        except (UnavailableError, OverloadedError) as error:
            return [error] * len(texts)
        except Exception as error:
            if len(texts) == 1:
                return [_explained(error)]
        return [result for text in texts for result in await self._run([text], kind)]

    def _deliver(self, request: _Request, index: int, result: Vector | AgentError) -> None:
        if request.done.done():
            return
        if isinstance(result, AgentError):
            request.done.set_exception(result)
            return
        request.rows[index] = result
        request.missing -= 1
        if len(request.texts) <= REMEMBERED:
            self._remember(_key(request.texts[index], request.kind), result)
        if not request.missing:
            request.done.set_result(None)

    def _recall(self, key: _Key) -> Vector | None:
        vector = self._known.get(key)
        if vector is not None:
            self._known.move_to_end(key)
        return vector

    def _remember(self, key: _Key, vector: Vector) -> None:
        self._known[key] = vector
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)

    def _retry_after(self) -> int:
        """Estimate in how many seconds half of the queue is done."""
        batches = sum(len(each.pending) for each in self._waiting) / self._batch / 2
        return min(60, max(1, math.ceil(batches * self._seconds / self._workers)))

    async def aclose(self) -> None:
        """End the threads, once their batches are done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=True)


def _key(text: str, kind: TextKind) -> _Key:
    """Texts that differ in white space only have the same vector. Case may matter to a model."""
    return kind, " ".join(text.split())


def _explained(error: Exception) -> AgentError:
    if isinstance(error, AgentError):
        return error
    failed = EmbeddingsUnavailableError(f"the embedding model failed: {error!r}")
    failed.__cause__ = error
    return failed
