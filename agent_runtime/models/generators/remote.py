"""What generators behind a URL have in common: the deadline, the estimate, the translation of
HTTP statuses to errors of our own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime
from typing import Any

from agent_runtime.config.llm import LLMConfig
from agent_runtime.domain import Finish, Piece, Prompt, ToolCall, Usage
from agent_runtime.errors import (
    AgentError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    InvalidRequestError,
    OverloadedError,
)
from agent_runtime.models import estimate
from agent_runtime.models.generators.chunks import Reply
from agent_runtime.models.generators.messages import messages, tools

CONTEXT = 8192
"""Tokens that a remote model reads and writes, unless the configuration says it."""
_TOO_LONG = (
    "context_length", "context length", "maximum context", "too long", "too many tokens",
    "must be <=", "max_model_len", "exceeds the model", "input tokens",
)  # fmt: skip


class Remote:
    """The properties of a chat model behind an API. Subclasses open the stream of chunks."""

    def __init__(self, config: LLMConfig) -> None:
        self._config = config
        self.model = config.model
        self.name = config.model.partition("/")[2]
        self.calls_tools = True
        self.cites = False
        self.reads_history = True
        self.context_tokens = config.context_tokens or CONTEXT

    def count_tokens(self, text: str) -> int:
        """Estimate the tokens: the tokenizer is on the other side."""
        return estimate.tokens(text)

    async def warm_up(self) -> None:
        """Do nothing: a question of our own would cost money, and the server may come later."""

    def stream(self, parameters: dict[str, Any]) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """Open a stream of chunks that ends with the context."""
        raise NotImplementedError

    def translated(self, error: Exception) -> AgentError | None:
        """Return the error of ours that one of the client's is, or None where it is not its."""
        raise NotImplementedError

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Piece | ToolCall | Finish]:
        """Yield the reply. Closing the iterator closes the connection, which ends the work.

        Raises:
            GeneratorUnavailableError: it does not answer, refuses the key or fails.
            GeneratorTimeoutError: it was not done within `timeoutSeconds`.
            OverloadedError: it answers 429.
            InvalidRequestError: the prompt is longer than the model's context.
        """
        reply = Reply()
        deadline = asyncio.get_running_loop().time() + self._config.timeout_seconds
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline):
                    opened = self.stream(self._parameters(prompt))
                    chunks = await stack.enter_async_context(opened)
            except Exception as error:
                raise self._ours(error) from error
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(chunks, None)
                except Exception as error:
                    raise self._ours(error) from error
                if chunk is None:
                    break
                for piece in reply.read(chunk):
                    yield piece
        if not reply.finished:
            raise GeneratorUnavailableError(f"{self.model} broke off in the middle of the reply")
        for event in reply.end(self._estimated(prompt, reply)):
            yield event

    def _parameters(self, prompt: Prompt) -> dict[str, Any]:
        wanted, configured = prompt.sampling, self._config.sampling
        parameters: dict[str, Any] = {
            "messages": messages(prompt),
            "temperature": _either(wanted.temperature, configured.temperature),
            "top_p": _either(wanted.top_p, configured.top_p),
            "max_tokens": _either(wanted.max_tokens, configured.max_tokens),
        }
        if parameters["top_p"] == 1:
            del parameters["top_p"]
        if stop := _either(wanted.stop, configured.stop):
            parameters["stop"] = list(stop)
        if functions := tools(prompt):
            parameters["tools"] = functions
            choice = prompt.tool_choice
            if choice in {"none", "required"}:
                parameters["tool_choice"] = choice
            elif choice != "auto":
                parameters["tool_choice"] = {"type": "function", "function": {"name": choice}}
        return parameters

    def _estimated(self, prompt: Prompt, reply: Reply) -> Usage:
        read = [prompt.instructions, *(turn.content for turn in prompt.turns)]
        return Usage(
            sum(self.count_tokens(text) for text in read), self.count_tokens("".join(reply.text))
        )

    def _ours(self, error: Exception) -> AgentError:
        if isinstance(error, AgentError):
            return error
        name = type(error).__name__
        if isinstance(error, TimeoutError) or name == "ReadTimeout":
            return self._late()
        known = self.translated(error)
        return known or GeneratorUnavailableError(f"{self.model}: {error or name}")

    def _late(self) -> GeneratorTimeoutError:
        seconds = self._config.timeout_seconds
        return GeneratorTimeoutError(f"{self.model} was not done in {seconds:g} s")

    def refused(self, status: int, message: str, retry_after: str | None) -> AgentError:
        """Say what a status other than 200 means."""
        if status in {401, 403}:
            name = self._config.api_key_env
            key = f"the key in {name}" if name else "requests without a key (llm.apiKeyEnv)"
            return GeneratorUnavailableError(f"{self.model}: the server refuses {key} ({status})")
        if status == 429:
            return OverloadedError(f"{self.model} has too much to do", _seconds(retry_after) or 1)
        if status in {400, 413, 422} and any(each in message.lower() for each in _TOO_LONG):
            return InvalidRequestError(
                f"the conversation is longer than {self.model} reads",
                "messages",
                "context_length_exceeded",
            )
        if status == 504:
            return self._late()
        return GeneratorUnavailableError(f"{self.model} answers {status}: {message[:300]}")


def _seconds(header: str | None) -> int | None:
    """Read Retry-After: seconds or a date."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(3600, max(1, round(seconds))) if seconds == seconds else None


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first
