"""Embeddings behind a URL: through the official client, from servers that behave and others."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from agent_runtime.config.retrieval import RetrievalConfig
from agent_runtime.errors import (
    AgentError,
    EmbeddingsUnavailableError,
    InvalidConfigError,
    InvalidRequestError,
)
from agent_runtime.models.batching import Batching
from agent_runtime.models.openai_embedder import BATCH, OpenAIEmbedder
from tests.contract.runtime.models.servers import Exchange, serving
from tests.ports import free_port


def _config(url: str | None, **fields: Any) -> RetrievalConfig:
    values = {"embeddingModel": "openai/e", "baseURL": url, "apiKeyEnv": "EMBED_KEY", **fields}
    return RetrievalConfig.model_validate(values)


def _embedder(url: str, **options: Any) -> OpenAIEmbedder:
    return OpenAIEmbedder(_config(url), {"EMBED_KEY": "secret"}, **options)


class Service:
    """Turns texts into vectors of three numbers, not of length one, in an order of its own."""

    def __init__(self) -> None:
        self.requests: list[Exchange] = []
        self.base64 = False
        self.failures: list[tuple[int, dict[str, str]]] = []

    async def __call__(self, exchange: Exchange) -> None:
        self.requests.append(exchange)
        if self.failures:
            status, headers = self.failures.pop(0)
            await exchange.refuse(status, "not now", **headers)
            return
        texts = exchange.body["input"]
        if any(len(text) > 1000 for text in texts):
            await exchange.refuse(400, "too long")
            return
        vectors = [np.array([len(text), 1, 0], "<f4") for text in texts]
        data = [
            {"object": "embedding", "index": at, "embedding": self._written(vector)}
            for at, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        await exchange.answer(
            200, {"object": "list", "model": "e", "data": data[::-1], "usage": usage}
        )

    def _written(self, vector: Any) -> Any:
        return base64.b64encode(vector.tobytes()).decode() if self.base64 else vector.tolist()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    async with serving(service) as address:
        yield address


@pytest.mark.parametrize("encoded", [False, True])
async def test_rows_are_unit_vectors_in_the_order_of_the_texts(
    service: Service, url: str, encoded: bool
) -> None:
    service.base64 = encoded
    embedder = _embedder(url)
    texts = ["x" * length for length in range(1, BATCH + 10)]
    rows = await asyncio.to_thread(embedder.embed, texts, "query")
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.allclose(rows[:, 0] / rows[:, 1], range(1, BATCH + 10), rtol=1e-4)
    assert await asyncio.to_thread(lambda: embedder.dimension) == 3
    first = service.requests[0]
    assert first.headers["authorization"] == "Bearer secret"
    assert first.body["model"] == "e"
    assert [len(each.body["input"]) for each in service.requests[:2]] == [BATCH, 9]
    assert (await asyncio.to_thread(embedder.embed, [], "query")).shape == (0, 3)
    assert (await asyncio.to_thread(embedder.embed, [""], "query")).shape == (1, 3)
    embedder.close()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_passing_trouble_is_waited_out(service: Service, url: str, status: int) -> None:
    service.failures = [(status, {"retry_after": "1"}), (status, {})]
    embedder = _embedder(url)
    began = time.monotonic()
    assert (await asyncio.to_thread(embedder.embed, ["a"], "query")).shape == (1, 3)
    assert time.monotonic() - began >= 2  # the second wait is twice the first of half a second
    embedder.close()


@pytest.mark.parametrize(
    ("status", "attempts", "match"),
    [(401, 1, "refuses the key in EMBED_KEY"), (404, 1, "404"), (500, 3, "500")],
)
async def test_lasting_trouble_says_what_it_is(
    service: Service, url: str, status: int, attempts: int, match: str
) -> None:
    service.failures = [(status, {})] * 5
    embedder = _embedder(url)
    with pytest.raises(EmbeddingsUnavailableError, match=match) as raised:
        await asyncio.to_thread(embedder.embed, ["a"], "query")
    assert len(service.requests) == attempts
    assert "secret" not in str(raised.value)
    embedder.close()


async def test_a_text_that_is_refused_fails_its_own_request_only(
    service: Service, url: str
) -> None:
    embedder = _embedder(url)
    vectors = Batching(embedder, workers=1, characters=100_000)
    texts = [["good"], ["x" * 2000], ["better"]]
    done = await asyncio.gather(
        *(vectors.embed(each, "query") for each in texts), return_exceptions=True
    )
    assert isinstance(done[1], InvalidRequestError)
    assert [each.shape for each in (done[0], done[2]) if isinstance(each, np.ndarray)] == [
        (1, 3),
        (1, 3),
    ]
    await vectors.aclose()
    embedder.close()


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"object": "embedding", "index": 0, "embedding": [0.0, 0.0]}],
        [{"object": "embedding", "index": 0, "embedding": []}],
    ],
    ids=["none", "no direction", "empty"],
)
async def test_answers_that_are_no_vectors_are_errors(data: list[Any]) -> None:
    async def wrong(exchange: Exchange) -> None:
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        body = {"object": "list", "model": "e", "data": data, "usage": usage}
        await exchange.answer(200, body)

    async with serving(wrong) as url:
        embedder = _embedder(url)
        with pytest.raises(AgentError):
            await asyncio.to_thread(embedder.embed, ["a"], "query")
        embedder.close()


async def test_a_half_open_service_ends_in_a_timeout() -> None:
    async def hang(exchange: Exchange) -> None:
        await exchange.gone()

    async with serving(hang) as url:
        embedder = _embedder(url, timeout=0.3)
        with pytest.raises(EmbeddingsUnavailableError, match="in time"):
            await asyncio.to_thread(embedder.embed, ["a"], "query")
        embedder.close()


def test_nobody_listening_is_unavailable() -> None:
    embedder = _embedder(f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(EmbeddingsUnavailableError, match="cannot be reached"):
        _ = embedder.dimension
    embedder.close()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidConfigError, match="EMBED_KEY is not set"):
        OpenAIEmbedder(_config("http://127.0.0.1:1/v1"), {})
    with pytest.raises(InvalidConfigError, match=r"pipeline\.retrieval\.apiKeyEnv.*needs a key"):
        OpenAIEmbedder(_config(None, apiKeyEnv=None), {})


def test_languages_and_tokens_are_what_the_configuration_and_an_estimate_say() -> None:
    embedder = OpenAIEmbedder(
        _config("http://127.0.0.1:1/v1", languages=["zh"]), {"EMBED_KEY": "x"}
    )
    assert embedder.reads("zh")
    assert not embedder.reads("en")
    assert embedder.count_tokens("退货 and more") == 5
    assert embedder.max_tokens == 512
    embedder.close()
