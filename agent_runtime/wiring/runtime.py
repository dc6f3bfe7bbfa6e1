"""The composition root of a running agent: which adapter stands behind which port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agent_runtime.config import AgentConfig
from agent_runtime.domain import IndexInfo
from agent_runtime.pipeline import Pipeline
from agent_runtime.ports import Authenticator, Embedder, Generator, Retriever, Vectors
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.stores import Index
from agent_runtime.telemetry import Telemetry
from agent_runtime.tools.toolbox import Toolbox
from agent_runtime.wiring.state import State

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


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
        self._starting = starting
        self._closing = closing
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Warm up and begin to follow the index. Raises AgentError for what will not heal."""
        for start in self._starting:
            await start()
        if self.knowledge is not None:
            await self.knowledge.follower.follow()
            self._following = asyncio.create_task(self.knowledge.follower.run())

    async def stop(self) -> None:
        """End what runs and close what is open."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        for close in reversed(self._closing):
            try:
                await close()
            except Exception as error:  # the others are closed all the same
                log.warning("while stopping: %r", error)

    def ready(self) -> IndexInfo | None:
        """Return the index in use. Raises the AgentError that keeps the agent from serving."""
        return self.knowledge.follower.ready().info if self.knowledge else None
