"""An embedding model behind OpenAI's `/embeddings`, at OpenAI or at any base URL."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import openai

from agent_runtime.config.retrieval import RetrievalConfig
from agent_runtime.domain import Matrix, TextKind
from agent_runtime.errors import (
    AgentError,
    EmbeddingsUnavailableError,
    InvalidConfigError,
    InvalidRequestError,
)
from agent_runtime.models.described import Prompts
from agent_runtime.models.estimate import tokens

PUBLIC = "https://api.openai.com/v1"
BATCH = 64
"""Texts in a request."""
ATTEMPTS = 3
FIRST_WAIT = 0.5
"""Seconds before the second attempt; each further one waits twice as long."""
LONGEST_WAIT = 5.0
TIMEOUT = 30.0
MAX_TOKENS = 512
"""What such a model is taken to read, since its API does not say it."""


class OpenAIEmbedder:
    """Asks with the official client. Safe to call from several threads at once."""

    def __init__(
        self,
        config: RetrievalConfig,
        variables: Mapping[str, str],
        max_tokens: int = MAX_TOKENS,
        timeout: float = TIMEOUT,
    ) -> None:
        """
        Args:
            config: its `embedding_model` is `openai/NAME`.
            variables: the environment, for the key that `apiKeyEnv` names.
            max_tokens: longest text that it reads.
            timeout: seconds for a request.

        Raises:
            InvalidConfigError: the key is needed and not there.
        """
        key = variables.get(config.api_key_env) if config.api_key_env else None
        if config.api_key_env and not key:
            raise InvalidConfigError(
                f"pipeline.retrieval.apiKeyEnv: the variable {config.api_key_env} is not set"
            )
        if key is None and config.base_url is None:
            raise InvalidConfigError(
                f"pipeline.retrieval.apiKeyEnv: {config.embedding_model!r} without baseURL is "
                "OpenAI's own and needs a key"
            )
        self.model = config.embedding_model
        self.max_tokens = max_tokens
        self._config = config
        given = config.embedding_prompts
        self._prompts = Prompts(given.query or "", given.passage or "")
        self._name = config.embedding_model.partition("/")[2]
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=config.base_url or PUBLIC,
            timeout=openai.Timeout(timeout, connect=5.0),
            max_retries=0,
        )
        self._dimension = 0
        self._learning = threading.Lock()

    @property
    def dimension(self) -> int:
        """The length of its vectors, learned by a first call.

        Raises:
            EmbeddingsUnavailableError: the service does not answer.
        """
        with self._learning:
            if not self._dimension:
                self._dimension = self._ask(["dimension"]).shape[1]
        return self._dimension

    @property
    def passage_prompt(self) -> str:
        return self._prompts.passage

    def reads(self, language: str) -> bool:
        return not self._config.languages or language in self._config.languages

    def count_tokens(self, text: str) -> int:
        """Estimate the tokens: the tokenizer is on the other side."""
        return tokens(text)

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        """Return one unit row of float32 for each text.

        Raises:
            EmbeddingsUnavailableError: the service does not answer after three attempts, refuses
                the key, or answers with something else than vectors of one length.
            InvalidRequestError: it refuses a text, for instance because it is too long.
        """
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        texts = self._prompts.before(texts, kind)
        parts = [self._ask(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        rows = np.concatenate(parts)
        if rows.shape[1] != self.dimension:
            raise EmbeddingsUnavailableError(
                f"{self.model} answers with vectors of length {rows.shape[1]} after "
                f"{self.dimension}"
            )
        return rows

    def _ask(self, texts: Sequence[str]) -> Matrix:
        wait = FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            try:
                # An empty text is an error for some servers, and a space means the same.
                return self._request([text or " " for text in texts])
            except (openai.APIError, ValueError) as error:
                if attempt == ATTEMPTS or not _passing(error):
                    raise self._ours(error, len(texts)) from error
                time.sleep(max(wait, _asked_to_wait(error)))
                wait *= 2
        raise AssertionError("the loop returns or raises")

    def _request(self, texts: list[str]) -> Matrix:
        # The client asks for base64 by itself and decodes it; lists of numbers are fine too.
        answer = self._client.embeddings.create(model=self._name, input=texts)
        ordered = sorted(answer.data, key=lambda each: each.index)
        if len(ordered) != len(texts):
            raise ValueError(f"{len(ordered)} vectors for {len(texts)} texts")
        rows = np.array([each.embedding for each in ordered], np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if rows.ndim != 2 or not np.isfinite(norms).all() or not norms.all():
            raise ValueError("vectors without a direction")
        return rows / norms

    def _ours(self, error: Exception, count: int) -> AgentError:
        status = getattr(error, "status_code", None)
        if status in {400, 413, 422}:
            return InvalidRequestError(
                f"{self.model} refuses {count} texts: {error}"[:500], "input"
            )
        if status in {401, 403}:
            name = self._config.api_key_env
            key = f"the key in {name}" if name else "requests without a key (retrieval.apiKeyEnv)"
            return EmbeddingsUnavailableError(
                f"{self.model}: the service refuses {key} ({status})", lasting=True
            )
        if isinstance(error, openai.APITimeoutError):
            return EmbeddingsUnavailableError(f"{self.model} does not answer in time")
        if isinstance(error, openai.APIConnectionError):
            return EmbeddingsUnavailableError(f"{self.model} cannot be reached")
        return EmbeddingsUnavailableError(f"{self.model}: {error}"[:500])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _passing(error: Exception) -> bool:
    """Tell whether the same request may succeed later. Time-outs have taken long enough."""
    if isinstance(error, openai.APITimeoutError):
        return False
    if isinstance(error, openai.APIStatusError):
        return error.status_code == 429 or error.status_code >= 500
    return isinstance(error, openai.APIConnectionError)


def _asked_to_wait(error: Exception) -> float:
    """Read Retry-After in seconds, as far as it is not longer than a caller can wait."""
    if not isinstance(error, openai.APIStatusError):
        return 0.0
    try:
        return min(LONGEST_WAIT, float(error.response.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
