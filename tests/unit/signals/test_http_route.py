"""What is read of an agent's HTTPRoute, and what is said where there can be none."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core.kinds import HTTP_ROUTE
from chatagent_operator.core.observed.http_route import NOT_INSTALLED
from chatagent_operator.signals.http_route import RouteReport, ask


class Server:
    """An API server that has no HTTPRoute, and serves these groups' versions."""

    def __init__(self, *served: str) -> None:
        self.served = served

    async def find(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return None

    async def request(self, method: str, path: str) -> dict[str, Any]:
        assert (method, path) == ("GET", "/apis")
        versions = [{"groupVersion": each} for each in self.served]
        return {"kind": "APIGroupList", "groups": [{"versions": [each]} for each in versions]}


@pytest.mark.parametrize("served", [(), ("apps/v1",), ("apps/v1", f"{HTTP_ROUTE.group}/v1beta1")])
async def test_a_cluster_without_the_gateway_api_is_reported(served: tuple[str, ...]) -> None:
    report = await ask(Server(*served), "demo", "shop")
    assert report == RouteReport(None, trouble=NOT_INSTALLED)
    assert NOT_INSTALLED.reason == "GatewayAPINotInstalled"


async def test_a_route_that_is_not_written_yet_is_no_trouble() -> None:
    assert await ask(Server("apps/v1", f"{HTTP_ROUTE.group}/v1"), "demo", "shop") == RouteReport(
        None
    )
