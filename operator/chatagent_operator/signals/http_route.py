"""Whether an agent's HTTPRoute is in force. It is read and not watched, so that the operator runs
where there is no Gateway API."""

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
        """An object; None where there is none, or no such kind."""
        ...

    async def request(self, method: str, path: str) -> Manifest:
        """One request; returns the answer's JSON. Raises ApiError."""
        ...


@dataclass(frozen=True)
class RouteReport:
    """What is known of an agent's route at one moment."""

    route: Manifest | None
    """The HTTPRoute itself; None where there is none."""

    in_force: int | None = None
    """Generation of the intent that every Gateway has taken."""

    trouble: Trouble | None = None
    """Why it is not in force. What a Gateway has not answered for a moment is no trouble yet."""

    url: str | None = None
    """Where clients find the agent."""


async def ask(reader: Reader, namespace: str, name: str) -> RouteReport:
    """Read the route of an agent and the Gateways that it is for."""
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
    """Whether the cluster has the Gateway API: for `find`, no object and no kind are alike."""
    groups = (await reader.request("GET", "/apis"))["groups"]
    served = [version["groupVersion"] for group in groups for version in group["versions"]]
    return HTTP_ROUTE.api_version in served
