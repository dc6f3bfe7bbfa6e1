"""A model behind OpenAI's API, at OpenAI or at any base URL, such as vLLM or TGI."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import openai

from agent_runtime.config.llm import LLMConfig
from agent_runtime.errors import (
    AgentError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    InvalidConfigError,
)
from agent_runtime.models.generators.remote import Remote

PUBLIC = "https://api.openai.com/v1"
CONNECT_SECONDS = 5.0
_OPTIONAL = ("stream_options", "temperature", "top_p", "max_tokens", "tool_choice")
"""What a server may not know. It is left out from then on, where the server says so."""
_NOT_KNOWN = (
    "unsupported", "not supported", "unknown parameter", "unknown_parameter", "unrecognized",
    "extra inputs are not permitted",
)  # fmt: skip
"""How servers say that they do not know a parameter, rather than that its value is wrong."""


class OpenAIGenerator(Remote):
    """Asks `/chat/completions` through one pool of connections."""

    def __init__(self, config: LLMConfig, key: str | None) -> None:
        """
        Args:
            config: its `model` is `openai/NAME`.
            key: the value of the variable that `apiKeyEnv` names.

        Raises:
            InvalidConfigError: OpenAI itself is asked and there is no key.
        """
        super().__init__(config)
        if key is None and config.base_url is None:
            raise InvalidConfigError(
                f"pipeline.llm.apiKeyEnv: {config.model!r} without baseURL is OpenAI's own and "
                "needs a key"
            )
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=config.base_url or PUBLIC,
            timeout=openai.Timeout(config.timeout_seconds, connect=CONNECT_SECONDS),
            max_retries=0,
        )
        self._unknown: set[str] = set() if config.base_url else {"max_tokens"}

    @contextlib.asynccontextmanager
    async def stream(self, parameters: dict[str, Any]) -> AsyncGenerator[AsyncIterator[Any]]:
        wanted = {**parameters, "stream_options": {"include_usage": True}}
        async with await self._open(wanted, again=True) as chunks:
            yield aiter(chunks)

    async def _open(self, wanted: dict[str, Any], again: bool) -> openai.AsyncStream[Any]:
        """Open the stream. Before the first token, a lost connection is tried once more."""
        try:
            stream = await self._client.chat.completions.create(
                model=self.name, stream=True, **self._known(wanted)
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            unknown = _not_known(error) & wanted.keys() - self._unknown
            if not unknown:
                raise
            self._unknown |= unknown
            return await self._open(wanted, again)
        except openai.APITimeoutError:
            raise
        except openai.APIConnectionError:
            if not again:
                raise
            return await self._open(wanted, again=False)
        return cast("openai.AsyncStream[Any]", stream)

    def _known(self, wanted: dict[str, Any]) -> dict[str, Any]:
        known = {name: value for name, value in wanted.items() if name not in self._unknown}
        if "max_tokens" in self._unknown and "max_tokens" in wanted:
            known["max_completion_tokens"] = wanted["max_tokens"]
        return known

    def translated(self, error: Exception) -> AgentError | None:
        match error:
            case openai.APITimeoutError():
                if "Connect" in type(error.__cause__).__name__:
                    return GeneratorUnavailableError(f"{self.model} cannot be reached")
                return GeneratorTimeoutError(f"{self.model} did not go on writing")
            case openai.APIConnectionError():
                return GeneratorUnavailableError(f"{self.model} cannot be reached")
            case openai.APIStatusError():
                after = error.response.headers.get("retry-after")
                return self.refused(error.status_code, error.message, after)
            case _:
                return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def _not_known(error: openai.APIStatusError) -> set[str]:
    """Name the parameters that the server says it does not know. The message has the whole body."""
    if not any(words in error.message.lower() for words in _NOT_KNOWN):
        return set()
    named = re.findall(r"\w+", error.param or error.message)
    return {name for name in _OPTIONAL if name in named}
