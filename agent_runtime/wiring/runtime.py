"""The composition root of a running agent: which adapter stands behind which port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from agent_runtime.config import AgentConfig
from agent_runtime.domain import IndexInfo
from agent_runtime.errors import AgentError, NotReadyError, StateUnavailableError
from agent_runtime.pipeline import Pipeline
from agent_runtime.ports import Authenticator, Embedder, Generator, Retriever, Vectors
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.stores import Index
from agent_runtime.telemetry import Telemetry
from agent_runtime.tools.toolbox import Toolbox
from agent_runtime.wiring.state import State

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]
WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What an agent searches in."""

    opened: Callable[[], Index]
    """Opens the collection once more, for changes."""
    index: Index
    follower: IndexFollower
    retriever: Retriever


class Runtime:
    """A whole agent. `start` before the first turn, `stop` after the last."""

    def __init__(
        self,
        config: AgentConfig,
        pipeline: Pipeline,
        telemetry: Telemetry,
        state: State,
        generator: Generator,
        toolbox: Toolbox,
        vectors: Vectors,
        embedder: Embedder | None,
        knowledge: Knowledge | None,
        authenticator: Authenticator | None,
        checking: Work,
        starting: Sequence[Work],
        closing: Sequence[Work],
    ) -> None:
        self.config = config
        self.pipeline = pipeline
        self.telemetry = telemetry
        self.state = state
        self.generator = generator
        self.toolbox = toolbox
        self.vectors = vectors
        self.embedder = embedder
        self.knowledge = knowledge
        self.authenticator = authenticator
        self._checking = checking
        self._starting = starting
        self._closing = list(closing)
        self._background: list[asyncio.Task[None]] = []
        self._trouble: AgentError | None = NotReadyError("starting")

    async def start(self) -> None:
        """Warm up and begin to follow the index. Raises AgentError for what will not heal."""
        for start in self._starting:
            await start()
        await self._check()
        if self._trouble is not None:
            self._background.append(asyncio.create_task(self._check_until_it_passes()))
        self._background.append(asyncio.create_task(self._watch()))
        if self.knowledge is not None:
            await self.knowledge.follower.follow()
            self._background.append(asyncio.create_task(self.knowledge.follower.run()))

    async def stop(self) -> None:
        """End what runs and close what is open."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for close in reversed(self._closing):
            try:
                await close()
            except Exception as error:  # the others are closed all the same
                log.warning("while stopping: %r", error)

    def close_with(self, close: Work) -> None:
        """Let something be closed with the agent, before what it was made with."""
        self._closing.append(close)

    def ready(self) -> IndexInfo | None:
        """Return the index in use. Raises the AgentError that keeps the agent from serving."""
        if self._trouble is not None:
            raise self._trouble
        return self.knowledge.follower.loaded().info if self.knowledge else None

    def degraded(self) -> Mapping[str, tuple[str, str]]:
        """Return what a ready agent does without for now, by part: a reason and a message."""
        parts: dict[str, tuple[str, str]] = {}
        if self.knowledge and (error := self.knowledge.follower.trouble) is not None:
            alone = self.knowledge.follower.searches_alone
            how = "the pod's copy of it is searched" if alone else "what needs documents is refused"
            parts["retrieval"] = error.reason, f"{error}; meanwhile {how}"
        if (words := self.state.trouble()) is not None:
            how = "answers are not cached and conversations not remembered"
            parts["cache"] = StateUnavailableError.reason, f"{words}; meanwhile {how}"
        return parts

    async def _check(self) -> None:
        try:
            await self._checking()
        except AgentError as error:
            self._trouble = error
        except Exception as error:  # it is tried again, whatever it is
            trouble = AgentError(f"the check before the start failed: {error!r}")
            if str(trouble) != str(self._trouble):
                log.warning("not ready: %s", trouble, exc_info=error)
            self._trouble = trouble
        else:
            self._trouble = None

    async def _check_until_it_passes(self) -> None:
        while self._trouble is not None:
            await asyncio.sleep(WATCH_SECONDS)
            await self._check()

    async def _watch(self) -> None:
        """Show what the agent does without; nobody waits for it."""
        watched = [
            *(["retrieval"] if self.knowledge else []),
            *(["cache"] if self.state.remote else []),
        ]
        while watched:
            degraded = self.degraded()
            for part in watched:
                self.telemetry.metrics.degraded(part, part in degraded)
            if self.state.remote:
                self.telemetry.metrics.up("redis", "cache" not in degraded)
            await asyncio.sleep(WATCH_SECONDS)
