"""POST /v1/embeddings: vectors of the agent's embedding model."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Discriminator, Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from agent_runtime.domain import Matrix, TextKind, Vector
from agent_runtime.errors import InvalidRequestError
from agent_runtime.http.access import caller_of, principal_of
from agent_runtime.http.admission import Admission
from agent_runtime.http.fields import Body, Short, Text
from agent_runtime.http.names import Names
from agent_runtime.http.openapi import gives, takes
from agent_runtime.http.turns import unless_gone
from agent_runtime.http.wire import read, reply

MAX_INPUTS = 2048


class EmbeddingModel(Protocol):
    """The model itself. `count_tokens` blocks."""

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    def count_tokens(self, text: str) -> int: ...


class Vectors(Protocol):
    """The model for the event loop."""

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix: ...


def _kind(given: Any) -> str:
    if isinstance(given, list):
        first = next(iter(given), "")  # pyright: ignore[reportUnknownVariableType]
        return "<texts>" if isinstance(first, str) else "<tokens>"
    return "<text>"


Input = Annotated[Text, Field(min_length=1)]
Tokens = Annotated[list[int | list[int]], Field(min_length=1, max_length=MAX_INPUTS)]


class EmbeddingRequest(Body):
    """An embedding request."""

    input: Annotated[
        Annotated[Input, Tag("<text>")]
        | Annotated[
            Annotated[list[Input], Field(min_length=1, max_length=MAX_INPUTS)], Tag("<texts>")
        ]
        | Annotated[Tokens, Tag("<tokens>")],
        Discriminator(_kind),
    ]
    """A text or a list of texts. Tokens are refused: they are another tokenizer's."""
    model: Short | None = None
    """The embedding model's name. Absent: it."""
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    """Of no use but to be what it is."""


class Embedding(TypedDict):
    """The vector of one text, of length 1: numbers, or float32 in base64, little end first."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(TypedDict):
    """Tokens of the model."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    """A vector for each text, in order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


EMBEDDING = TypeAdapter(EmbeddingRequest)


class Embeddings:
    """The endpoint of embeddings."""

    def __init__(
        self, model: EmbeddingModel, vectors: Vectors, names: Names, admission: Admission
    ) -> None:
        self._model = model
        self._vectors = vectors
        self._names = names
        self._admission = admission

    def install(self, router: APIRouter) -> None:
        """Add the route."""
        router.add_api_route(
            "/v1/embeddings", self.embed, methods=["POST"], tags=["Embeddings"],
            summary="Embed texts", response_model=None, responses=gives(EmbeddingList),
            openapi_extra=takes(EMBEDDING),
        )  # fmt: skip

    async def embed(self, request: Request) -> Response:
        """As OpenAI's. A text that the model cannot read whole is refused. The model's prompts are
        not put before it: whoever asks knows whether it is a question or a passage."""
        body = await read(request, EMBEDDING)
        self._names.check_embedding(body.model)
        texts = self._texts(body)
        tokens = await asyncio.to_thread(self._count, texts)
        caller = caller_of(principal_of(request))

        async def embed() -> Matrix:
            async with self._admission.place(caller):
                return await self._vectors.embed(texts, "plain")

        rows = await unless_gone(request.receive, embed())
        encode = _base64 if body.encoding_format == "base64" else _numbers
        found: EmbeddingList = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": encode(row)}
                for index, row in enumerate(rows)
            ],
            "model": self._names.embedding,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return reply(found)

    def _texts(self, body: EmbeddingRequest) -> list[str]:
        dimension = self._model.dimension
        if body.dimensions not in (None, dimension):
            raise InvalidRequestError(
                f"dimensions: the vectors of this model have {dimension}", "dimensions"
            )
        if isinstance(body.input, str):
            return [body.input]
        texts = [each for each in body.input if isinstance(each, str)]
        if len(texts) < len(body.input):
            raise InvalidRequestError("input: text is needed; tokens are not understood", "input")
        return texts

    def _count(self, texts: Sequence[str]) -> int:
        """Return how many tokens the texts have. Raises InvalidRequestError for one too long."""
        counts = [self._model.count_tokens(text) for text in texts]
        for index, count in enumerate(counts):
            if count > self._model.max_tokens:
                raise InvalidRequestError(
                    f"input.{index}: {count} tokens are more than the {self._model.max_tokens} "
                    "that the model reads",
                    f"input.{index}",
                    "context_length_exceeded",
                )
        return sum(counts)


def _numbers(row: Vector) -> list[float]:
    return row.tolist()


def _base64(row: Vector) -> str:
    return base64.b64encode(np.asarray(row, "<f4").tobytes()).decode()
