"""Contour and Envoy on the cluster's node, in front of revisions that run in the test itself.

No container is needed: a Service without a selector leads from the node to the test's own servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT, Agent
from chatagent_operator.core.children.http_route import build_http_route
from chatagent_operator.core.routing.routes import Backend, Routes
from chatagent_operator.kube.client import Kube
from chatagent_operator.signals.http_route import RouteReport, ask
from tests.cluster.kubectl import Kubectl

HOST = "10.200.0.1"
"""The test's own address, as seen from the node."""
WITNESS = "/in-force"
GATEWAY = {"name": "contour", "namespace": "projectcontour"}


@dataclass
class ContourFront:
    """An agent's HTTPRoute, written and read as the operator does."""

    kube: Kube
    kubectl: Kubectl
    agent: Agent
    url: str
    host: str
    generation: int = 0
    _known: dict[str, int] = field(default_factory=dict[str, int])

    async def writes(self, *backends: Backend, stable: str) -> None:
        """Write an intent."""
        self.generation += 1
        routes = Routes(
            generation=self.generation,
            stable=stable,
            backends=tuple(each.model_copy(update={"port": PORT}) for each in backends),
        )
        manifest = build_http_route(self.agent, routes)
        del manifest["metadata"]["ownerReferences"]  # there is no ChatAgent to own it
        manifest["spec"]["rules"].append(self._witness())
        await self.kube.apply(manifest, f"{self.generation:08x}")

    async def asked(self) -> RouteReport:
        """What the operator would see."""
        return await ask(self.kube, self.agent.namespace, self.agent.name)

    async def intends(self, *backends: Backend, stable: str = "aaaaaaaa") -> None:
        """Write an intent and wait until it is applied."""
        if new := self._serve(backends):
            # As the operator does: a revision is known in the gateway before it has a weight.
            await self._reaches(without_weight(backends, new), stable)
        await self._reaches(backends, stable)

    async def _reaches(self, backends: Sequence[Backend], stable: str) -> None:
        await self.writes(*backends, stable=stable)
        report = await self.until(lambda report: report.accepted_generation == self.generation)
        assert report.trouble is None
        # Contour says so of itself; Envoy, which does it, follows some milliseconds later.
        wanted = self._witness()["filters"][0]["requestRedirect"]["hostname"]
        async with asyncio.timeout(30), aiohttp.ClientSession() as http:
            while True:
                async with http.get(
                    f"{self.url}{WITNESS}", headers={"Host": self.host}, allow_redirects=False
                ) as answer:
                    if wanted in answer.headers.get("Location", ""):
                        return

    def _witness(self) -> dict[str, Any]:
        """A rule of the same route that tells which of its generations Envoy has."""
        redirect = {"hostname": f"generation-{self.generation}.invalid", "statusCode": 302}
        return {
            "matches": [{"path": {"type": "Exact", "value": WITNESS}}],
            "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}],
        }

    async def until(self, condition: Callable[[RouteReport], bool]) -> RouteReport:
        """Ask until a condition holds."""
        deadline = asyncio.get_running_loop().time() + 30
        while not condition(report := await self.asked()):
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"not within 30 s; last: {report}"
            await asyncio.sleep(0.01)
        return report

    def _serve(self, backends: Sequence[Backend]) -> set[str]:
        new = [each for each in backends if self._known.get(each.revision) != each.port]
        objects = [body for each in new for body in service(self.agent, each)]
        if objects:
            self.kubectl.apply(*objects)
        self._known |= {each.revision: each.port for each in new}
        return {each.revision for each in new}


def without_weight(backends: Sequence[Backend], new: set[str]) -> list[Backend]:
    """The same backends, with all new conversations at the first one that is known already."""
    known = [each.revision for each in backends if each.revision not in new]
    return [
        each.model_copy(
            update={"weight": 100, "state": "ready"}
            if each.revision in known[:1]
            else {"weight": 0, "state": "drain"}
        )
        for each in backends
    ]


def agent(namespace: str, **gateway: Any) -> Agent:
    """An agent whose gateway is the cluster's."""
    hosts = {"hostnames": [host_of(namespace)]}  # tests that follow one another share a listener
    settings = {"provider": "gateway-api", "parentRefs": [GATEWAY]} | hosts | gateway
    sources = [{"name": "help", "configMap": {"name": "help"}}]
    spec = {"image": "runtime:1", "knowledge": {"sources": sources}, "gateway": settings}
    return Agent(namespace, "shop", "uid-1", 1, ChatAgentSpec.model_validate(spec))


def host_of(namespace: str) -> str:
    """What clients call the agent of a namespace."""
    return f"{namespace}.example"


def service(agent: Agent, backend: Backend) -> list[dict[str, Any]]:
    """The Service of a revision that runs here."""
    name = names.revision(agent.name, backend.revision)
    ports = [{"name": "http", "port": PORT, "targetPort": backend.port}]
    metadata = {"name": name, "namespace": agent.namespace}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [backend.address], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": backend.port}],
        },
    ]
