"""GET /v1/models: the agent, its generator and its embedding model."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from typing_extensions import TypedDict

from agent_runtime.http.names import AGENT, Names, unknown
from agent_runtime.http.openapi import gives
from agent_runtime.http.wire import reply


class Model(TypedDict):
    """A model that can be named in a request."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    """All of them."""

    object: Literal["list"]
    data: list[Model]


class Models:
    """The endpoints of models."""

    def __init__(self, names: Names) -> None:
        ids = dict.fromkeys((AGENT, names.generator, names.embedding))
        self._models: dict[str, Model] = {
            id: {"id": id, "object": "model", "created": 0, "owned_by": "chatagent"} for id in ids
        }

    def install(self, router: APIRouter) -> None:
        """Add the routes."""
        router.add_api_route(
            "/v1/models", self.list, tags=["Models"], summary="List the models",
            response_model=None, responses=gives(ModelList),
        )  # fmt: skip
        router.add_api_route(
            "/v1/models/{model:path}", self.get, tags=["Models"], summary="Get a model",
            response_model=None, responses=gives(Model),
        )  # fmt: skip

    async def list(self) -> Response:
        """`agent` answers with whichever generator the agent has; the embedding model only
        embeds."""
        found: ModelList = {"object": "list", "data": [*self._models.values()]}
        return reply(found)

    async def get(self, model: str) -> Response:
        """By its name, slashes included."""
        if model not in self._models:
            raise unknown(model, ", ".join(map(repr, self._models)))
        return reply(self._models[model])
