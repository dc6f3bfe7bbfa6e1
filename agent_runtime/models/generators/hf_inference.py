"""A model at Hugging Face's Inference Providers, or at an endpoint with the same API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from huggingface_hub import AsyncInferenceClient, InferenceTimeoutError
from huggingface_hub.errors import HfHubHTTPError, TextGenerationError

from agent_runtime.config.llm import LLMConfig
from agent_runtime.errors import AgentError, GeneratorTimeoutError
from agent_runtime.models.generators.remote import Remote

_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


class HFInferenceGenerator(Remote):
    """Asks through huggingface_hub. Each reply has a client of its own, since a client keeps its
    streams open until it is closed itself."""

    def __init__(self, config: LLMConfig, key: str | None) -> None:
        super().__init__(config)
        self._key = key

    @contextlib.asynccontextmanager
    async def stream(self, parameters: dict[str, Any]) -> AsyncGenerator[AsyncIterator[Any]]:
        async with self._client() as client:
            chunks = await client.chat_completion(
                model=self.name,
                stream=True,
                **parameters,
                **_USAGE,
            )
            yield aiter(chunks)

    def _client(self) -> AsyncInferenceClient:
        return AsyncInferenceClient(
            base_url=self._config.base_url,
            token=self._key,
            timeout=self._config.timeout_seconds,
        )

    async def aclose(self) -> None:
        """Do nothing: a client ends with its reply."""

    def translated(self, error: Exception) -> AgentError | None:
        match error:
            case InferenceTimeoutError():
                return GeneratorTimeoutError(f"{self.model} did not go on writing")
            case HfHubHTTPError():
                reply = error.response
                return self.refused(reply.status_code, str(error), reply.headers.get("retry-after"))
            case TextGenerationError():
                return self.refused(400, str(error), None)
            case _:
                return None
