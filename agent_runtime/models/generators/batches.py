"""Generations of concurrent requests in one batch, for engines that run in this process.

What comes while a batch runs gathers for the next one. One batch runs at a time: it has all of
the CPUs, or the GPU.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from agent_runtime.errors import AgentError, GeneratorUnavailableError, OverloadedError

Output = int | AgentError | None
"""A token, a failure, or the end."""


@dataclass(eq=False, slots=True)
class Job:
    """A prompt and how it is continued. The engine's thread writes, the event loop reads."""

    ids: Sequence[int]
    max_tokens: int
    temperature: float
    top_p: float
    ends: frozenset[int]
    loop: asyncio.AbstractEventLoop
    output: asyncio.Queue[Output] = field(default_factory=asyncio.Queue[Output])
    left: bool = False
    """Nobody reads any more."""
    written: int = 0
    over: bool = False
    judged: bool = True
    """A rollout may be judged by what it costs."""

    def put(self, token: int) -> bool:
        """Hand over the next token. Returns whether this was the last."""
        if self.over or self.left:
            self.over = True
            return True
        if token not in self.ends:
            self.written += 1
            self._send(token)
        if token in self.ends or self.written >= self.max_tokens:
            self.close(None)
        return self.over

    def close(self, output: AgentError | None) -> None:
        """End it, unless it ended already."""
        if not self.over:
            self.over = True
            self._send(output)

    def _send(self, output: Output) -> None:
        self.loop.call_soon_threadsafe(self.output.put_nowait, output)

    @property
    def sampling(self) -> tuple[float, float]:
        """What all rows of a batch have in common."""
        return (self.temperature, self.top_p) if self.temperature > 0 else (0.0, 1.0)


class Engine(Protocol):
    """Runs batches, blocking."""

    @property
    def rows(self) -> int:
        """Most jobs in a batch."""
        ...

    @property
    def spread(self) -> int | None:
        """Most tokens by which prompts in a batch may differ in length. None: any."""
        ...

    @property
    def gpus(self) -> int:
        """GPUs that a batch runs on."""
        ...

    def run(self, jobs: Sequence[Job]) -> None:
        """Continue the prompts, which share their sampling, longest first. Hands each token to
        `job.put`, and ends a row once that returns True."""
        ...


class Batcher:
    """Queues jobs for an engine. It belongs to one event loop."""

    def __init__(
        self,
        model: str,
        engine: Engine,
        queue: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._engine, self._queue = model, engine, queue
        self._clock = clock
        self._waiting: deque[Job] = deque()
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds = 1.0
        """How long a batch takes, as a moving average."""
        self.meter: Callable[[float], None] | None = None
        """Told of the GPU seconds of each batch; never, where it runs on CPUs."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generate")

    async def run(self, job: Job) -> AsyncGenerator[int]:
        """Yield the tokens of a job. Closing the iterator ends its row.

        Raises:
            OverloadedError: too many wait already.
            GeneratorUnavailableError: the engine failed.
        """
        if len(self._waiting) >= self._queue:
            raise OverloadedError(
                f"{len(self._waiting)} requests wait for {self._model}", self._retry_after()
            )
        self._waiting.append(job)
        if not self._running:
            self._running = True
            worker = asyncio.create_task(self._work())
            self._tasks.add(worker)
            worker.add_done_callback(self._tasks.discard)
        try:
            while (output := await job.output.get()) is not None:
                if isinstance(output, AgentError):
                    raise output
                yield output
        finally:
            job.left = True
            if job in self._waiting:
                self._waiting.remove(job)

    async def _work(self) -> None:
        while jobs := self._next():
            started = self._clock()
            await asyncio.get_running_loop().run_in_executor(self._thread, self._batch, jobs)
            took = self._clock() - started
            self._seconds = 0.7 * self._seconds + 0.3 * took
            self._measure(jobs, took)
        self._running = False

    def _measure(self, jobs: Sequence[Job], seconds: float) -> None:
        """Tell what a batch took of the GPUs, without the share of rows that nobody judges by. The
        warm-up's nothing is told as well: a count whose first value is not 0 hides it."""
        share = sum(job.judged for job in jobs) / len(jobs)
        if self.meter and (gpus := self._engine.gpus):
            self.meter(seconds * gpus * share)

    def _next(self) -> list[Job]:
        """Take the oldest job and those that can share its batch, longest prompt first."""
        if not self._waiting:
            return []
        first = self._waiting[0]
        fitting = [job for job in self._waiting if self._fits(first, job)][: self._engine.rows]
        self._waiting = deque(job for job in self._waiting if job not in fitting)
        return sorted(fitting, key=lambda job: -len(job.ids))

    def _fits(self, first: Job, job: Job) -> bool:
        spread = self._engine.spread
        near = spread is None or abs(len(job.ids) - len(first.ids)) <= spread
        return near and job.sampling == first.sampling

    def _batch(self, jobs: list[Job]) -> None:
        """Run a batch in the thread. Where it fails before a token, its jobs are run singly."""
        try:
            self._engine.run(jobs)
        except Exception as error:
            fresh = [job for job in jobs if not job.written and not job.over and not job.left]
            failed = GeneratorUnavailableError(f"{self._model} failed: {error!r}"[:500])
            failed.__cause__ = error
            for job in jobs:
                if len(jobs) == 1 or job not in fresh:
                    job.close(failed)
            if len(jobs) > 1:
                for job in fresh:
                    self._batch([job])
        for job in jobs:
            job.close(None)

    def _retry_after(self) -> int:
        batches = len(self._waiting) / self._engine.rows / 2
        return min(60, max(1, math.ceil(batches * self._seconds)))

    async def aclose(self) -> None:
        """End the running batch and the thread."""
        for job in self._waiting:
            job.left = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._thread.shutdown(wait=True)
