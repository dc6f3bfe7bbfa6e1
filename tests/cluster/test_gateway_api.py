"""A Gateway API implementation as it is: Contour and Envoy follow the agent's HTTPRoute."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from chatagent_operator.core.observed.http_route import UNANSWERED
from chatagent_operator.kube.client import Kube
from chatagent_operator.signals.http_route import RouteReport
from tests.cluster.contour import HOST, ContourFront, agent, host_of
from tests.cluster.kubectl import Kubectl, dev
from tests.contract.gateway.behaviour import (
    CANARY,
    STABLE,
    Clients,
    GatewayBehaviour,
    Revision,
    clients,
    header_of,
    running,
)

__all__ = ["clients"]


@pytest.fixture(scope="module")
def gateway_url() -> Iterator[str]:
    """Contour and Envoy, beside the cluster."""
    yield dev("gateway-api", "on").rpartition(" ")[2]
    dev("gateway-api", "off")


@pytest.fixture
def plain_namespace(gateway_url: str) -> Iterator[Kubectl]:
    """A namespace; no operator is needed here."""
    kubectl = Kubectl(f"test-{uuid.uuid4().hex[:8]}")
    kubectl.run("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture
async def kube(plain_namespace: Kubectl) -> AsyncIterator[Kube]:
    kube = await Kube.connect(plain_namespace.kubeconfig)
    yield kube
    await kube.close()


@pytest.fixture
def front(plain_namespace: Kubectl, kube: Kube, gateway_url: str) -> ContourFront:
    name = plain_namespace.namespace
    return ContourFront(kube, plain_namespace, agent(name), gateway_url, host_of(name))


@pytest.fixture
async def stable() -> AsyncIterator[Revision]:
    async with running(STABLE, HOST) as revision:
        yield revision


@pytest.fixture
async def canary() -> AsyncIterator[Revision]:
    async with running(CANARY, HOST) as revision:
        yield revision


def is_refused(report: RouteReport) -> bool:
    return report.trouble is not None and report.trouble.reason != UNANSWERED


class TestContour(GatewayBehaviour):
    """The suite of all gateways."""


async def test_a_client_cannot_pass_for_an_evaluation(
    front: ContourFront, clients: Clients, stable: Revision
) -> None:
    await front.intends(stable.takes("s1", 100))
    await clients.ask(**{"X-Agent-Evaluation": "1", "X-Other": "kept"})
    assert header_of(stable, "X-Agent-Evaluation") is None
    assert header_of(stable, "X-Other") == "kept"


async def test_the_operator_knows_where_the_agent_is(front: ContourFront, stable: Revision) -> None:
    await front.intends(stable.takes("s1", 100))
    assert (await front.asked()).trouble is None
    assert (await front.asked()).url == f"http://{front.host}:8080"


@pytest.mark.parametrize(
    ("gateway", "reason", "words"),
    [
        (
            {"parentRefs": [{"name": "nowhere", "namespace": "projectcontour"}]},
            "GatewayNotFound",
            "Gateway projectcontour/nowhere does not exist",
        ),
        (
            {
                "parentRefs": [
                    {"name": "contour", "namespace": "projectcontour", "sectionName": "https"}
                ]
            },
            "NoMatchingParent",
            "No listeners match this parent ref",
        ),
    ],
)
async def test_a_route_that_no_gateway_accepts_has_a_reason(
    front: ContourFront, stable: Revision, gateway: Any, reason: str, words: str
) -> None:
    front.agent = agent(front.agent.namespace, **gateway)
    await front.writes(stable.takes("s1", 100), stable=STABLE)
    report = await front.until(is_refused)
    assert report.trouble
    assert report.trouble.reason == reason
    assert words in report.trouble.message
    assert report.accepted_generation is None


async def test_a_service_that_does_not_exist_is_named(
    front: ContourFront, stable: Revision
) -> None:
    await front.writes(stable.takes("s1", 100), stable=STABLE)
    report = await front.until(is_refused)
    assert report.trouble
    assert report.trouble.reason == "BackendNotFound"
    assert f"shop-{STABLE}" in report.trouble.message
