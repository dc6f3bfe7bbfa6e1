"""Reads an agent's HTTPRoute and its Gateways. They are not watched, so that the operator runs on
clusters without the Gateway API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.kinds import HTTP_ROUTE
from chatagent_operator.core.observed.http_route import (
    NOT_INSTALLED,
    find_applied_generation,
    find_trouble,
    find_url,
    list_gateways,
)
from chatagent_operator.core.observed.trouble import Trouble


class Reader(Protocol):
    """Reads objects of the API server."""

    async def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object; None if it, or its kind, does not exist."""
        ...

    async def request(self, method: str, path: str) -> Manifest:
        """Send a request and return the JSON of the response. Raises ApiError."""
        ...


@dataclass(frozen=True)
class RouteReport:
    """The state of an agent's route at one time."""

    route: Manifest | None
    """The HTTPRoute; None if it does not exist."""

    accepted_generation: int | None = None
    """Generation of the intent that every Gateway has accepted."""

    trouble: Trouble | None = None
    """Why it is not accepted."""

    url: str | None = None
    """URL for clients."""


async def ask(reader: Reader, namespace: str, name: str) -> RouteReport:
    """Read the HTTPRoute of an agent and its Gateways."""
    route = await reader.find(HTTP_ROUTE.name, namespace, name)
    if route is None:
        return RouteReport(None, trouble=None if await _is_served(reader) else NOT_INSTALLED)
    keys = list_gateways(route)
    found = await asyncio.gather(*(reader.find("Gateway", *key) for key in keys))
    gateways = dict(zip(keys, found, strict=True))
    return RouteReport(
        route,
        find_applied_generation(route),
        find_trouble(route, gateways),
        find_url(route, gateways),
    )


async def _is_served(reader: Reader) -> bool:
    """Return whether the cluster serves HTTPRoutes: `find` does not report a missing kind."""
    groups = (await reader.request("GET", "/apis"))["groups"]
    served = [version["groupVersion"] for group in groups for version in group["versions"]]
    return HTTP_ROUTE.api_version in served
