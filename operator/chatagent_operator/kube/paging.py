"""Lists objects in pages, so that the answer to one request is never large."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from chatagent_operator.kube.events import Event, parse_page

PAGE = 500
"""Most objects in one answer of a list, as kubectl asks for."""


class Requests(Protocol):
    """Sends requests to the API server."""

    async def request(
        self, method: str, path: str, *, accept: str = "application/json"
    ) -> dict[str, Any]:
        """One request; returns the answer's JSON."""
        ...


async def list_pages(
    requests: Requests, path: str, selectors: Mapping[str, str], accept: str
) -> AsyncIterator[tuple[list[Event], int]]:
    """Yield the items and the resource version of each page of a list."""
    query = {**selectors, "limit": str(PAGE)}
    while True:
        page = await requests.request("GET", f"{path}?{urlencode(query)}", accept=accept)
        items, version, following = parse_page(page)
        yield items, version
        if not following:
            return
        query["continue"] = following
