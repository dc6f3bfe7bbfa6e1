"""A generator that runs in this process: codec, queue and engine put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from agent_runtime.config.llm import LLMConfig
from agent_runtime.domain import (
    Finish,
    FinishReason,
    Piece,
    Prompt,
    Question,
    ToolCall,
    Turn,
    Usage,
)
from agent_runtime.errors import (
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    InvalidRequestError,
)
from agent_runtime.models.generators.batches import Batcher, Engine, Job
from agent_runtime.models.generators.codec import Codec
from agent_runtime.models.generators.stops import Stops
from agent_runtime.telemetry import judged

log = logging.getLogger(__name__)

QUEUE = 64
"""Requests that wait for a batch."""
_SAMPLES = {"en": "the time", "zh": "你好吗"}
_HELLO = "Hello"
_WARM = Prompt("", (Turn("user", _HELLO),), _HELLO, Question(_HELLO, _HELLO, "en"), None)


class LocalGenerator:
    """Implements the port Generator over an engine."""

    cites = False

    def __init__(
        self,
        config: LLMConfig,
        codec: Codec,
        engine: Engine,
        reads: int,
        writes: int | None = None,
        longest: int | None = None,
        queue: int = QUEUE,
    ) -> None:
        """
        Args:
            config: its `model` is this model.
            codec: its tokenizer and template.
            engine: runs it.
            reads: tokens of a prompt that the model was made for.
            writes: None where prompt and reply share `reads`, as in a decoder; else the tokens of
                a reply beside it.
            longest: longest prompt that is not refused; `reads` unless given.
            queue: most requests that wait; the next one raises OverloadedError.
        """
        self._config, self._codec = config, codec
        self._reads, self._writes, self._longest = reads, writes, longest or reads
        self._batcher = Batcher(config.model, engine, queue)
        self.model = config.model
        self.calls_tools = codec.calls_tools
        self.reads_history = True
        self.context_tokens = reads if writes is None else reads + writes
        self.languages = tuple(name for name, text in _SAMPLES.items() if codec.knows(text))
        """Languages (ISO 639-1) whose script it can write, out of English and Chinese."""
        for missing in _SAMPLES.keys() - set(self.languages):
            log.warning("%s cannot read or write %r: its tokenizer lacks it", self.model, missing)

    def count_tokens(self, text: str) -> int:
        return self._codec.count(text)

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Piece | ToolCall | Finish]:
        """Yield the reply. Closing the iterator ends its row within a token.

        Raises:
            InvalidRequestError: the prompt is longer than the model reads, or its chat template
                refuses it.
            OverloadedError: too many requests wait.
            GeneratorTimeoutError: it was not done within `timeoutSeconds`.
            GeneratorUnavailableError: the model failed, or wrote a call that cannot be read.
        """
        deadline = asyncio.get_running_loop().time() + self._config.timeout_seconds
        ids, reader = await asyncio.to_thread(self._codec.encode, prompt)
        job = self._job(prompt, ids)
        decoding = self._codec.decoding(reader.special)
        wanted = prompt.sampling.stop
        stops = Stops(self._config.sampling.stop if wanted is None else wanted)
        written = 0
        async with aclosing(self._batcher.run(job)) as tokens:
            while not stops.met and (token := await self._token(tokens, deadline)) is not None:
                written += 1
                text = stops.feed(decoding.feed(token))
                if shown := reader.feed(text):
                    yield Piece(shown)
        rest = reader.feed(stops.end())
        reason: FinishReason = "stop"
        if written >= job.max_tokens and not stops.met:
            reason = "length"
        try:
            last, calls = reader.end()
        except GeneratorUnavailableError:
            if reason != "length":
                raise
            last, calls = "", []  # a call that was cut off
        if rest + last:
            yield Piece(rest + last)
        for call in calls:
            yield call
        yield Finish("tool_calls" if calls else reason, Usage(len(ids), written))

    async def _token(self, tokens: AsyncGenerator[int], deadline: float) -> int | None:
        try:
            async with asyncio.timeout_at(deadline):
                return await anext(tokens, None)
        except TimeoutError as error:
            raise GeneratorTimeoutError(
                f"{self.model} was not done in {self._config.timeout_seconds:g} s"
            ) from error

    def _job(self, prompt: Prompt, ids: list[int]) -> Job:
        wanted, configured = prompt.sampling, self._config.sampling
        most = configured.max_tokens if wanted.max_tokens is None else wanted.max_tokens
        room = self._reads - len(ids) if self._writes is None else self._writes
        if len(ids) > self._longest or room < 1:
            raise InvalidRequestError(
                f"the conversation is {len(ids)} tokens, and {self.model} reads {self._longest}",
                "messages",
                "context_length_exceeded",
            )
        temperature = wanted.temperature
        return Job(
            ids,
            min(most, room),
            configured.temperature if temperature is None else temperature,
            configured.top_p if wanted.top_p is None else wanted.top_p,
            self._codec.ends,
            asyncio.get_running_loop(),
            judged=judged(),
        )

    def meter(self, gpu_seconds: Callable[[float], None]) -> None:
        """Let somebody count the GPU seconds that replies take."""
        self._batcher.meter = gpu_seconds

    async def warm_up(self) -> None:
        """Write a token, so that a first request does not wait for memory and kernels."""
        job = self._job(_WARM, self._codec.encode(_WARM)[0])
        job.max_tokens, job.judged = 1, False
        async with aclosing(self._batcher.run(job)) as tokens:
            async for _ in tokens:
                pass

    async def aclose(self) -> None:
        """End what runs."""
        await self._batcher.aclose()
