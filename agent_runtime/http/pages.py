"""Lists in pages, as OpenAI's clients turn them: by the id of the last item that was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from agent_runtime.errors import InvalidRequestError


class PageQuery(BaseModel):
    """Which page is wanted."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=10_000)] = 20
    """How many at most."""
    order: Literal["asc", "desc"] = "desc"
    """`desc`: the newest first."""
    after: Annotated[str, Field(max_length=512)] | None = None
    """The id of the last one that was seen."""
    before: Annotated[str, Field(max_length=512)] | None = None
    """The id of the first one that was seen, to go back."""


class Page(TypedDict):
    """A page."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


def page(things: Sequence[Mapping[str, Any]], query: PageQuery) -> Page:
    """Cut a page out of things that come oldest first. Raises InvalidRequestError."""
    ordered = list(things) if query.order == "asc" else list(reversed(things))
    ids = [each["id"] for each in ordered]
    if query.after is not None:
        ordered = ordered[_found(ids, query.after, "after") + 1 :]
    elif query.before is not None:
        end = _found(ids, query.before, "before")
        ordered = ordered[max(0, end - query.limit) : end]
    shown = [dict(each) for each in ordered[: query.limit]]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(ordered) > query.limit,
    }


def _found(ids: Sequence[str], id: str, param: str) -> int:
    if id not in ids:
        raise InvalidRequestError(f"{param}: there is no {id[:200]!r} in this list", param)
    return ids.index(id)
