"""Two operators that watch the same namespace: one writes, and the other one takes over from it."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.lease import Lease
from chatagent_operator.kube.rivals import READ_SECONDS, Rivals, annotate_namespaces
from chatagent_operator.reconcile import RIVAL_SECONDS
from tests.unit.operator_shell.test_reconcile import World


class Server:
    """An API server with the Lease of another operator."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked: list[str] = []
        self.seconds = 0.0

    async def request(self, method: str, path: str, body: Any = None, *, limit: float) -> Any:
        self.asked.append(f"{method} {path}")
        if isinstance(self.answer, ApiError):
            raise self.answer
        if method in ("POST", "PUT"):
            self.answer = body | {"metadata": body["metadata"] | {"resourceVersion": "1"}}
        return self.answer

    def clock(self) -> float:
        return self.seconds

    def hold(self, holder: str, renewed: str = "1", **annotations: str) -> None:
        self.answer = {
            "metadata": {"resourceVersion": renewed, "annotations": annotations},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 12, "renewTime": renewed},
        }


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def rivals(server: Server) -> Rivals:
    return Rivals(server, "here/operator", server.clock)


async def is_left(rivals: Rivals, operator: str | None = "there/operator") -> bool:
    return await rivals.is_reconciled_by(operator, "demo")


@pytest.mark.parametrize("operator", [None, "", "here/operator", "nonsense", "/x", "x/"])
async def test_no_lease_is_read_of_an_agent_that_is_ours(
    server: Server, rivals: Rivals, operator: str | None
) -> None:
    assert not await is_left(rivals, operator)
    assert not server.asked


async def test_an_operator_is_alive_while_its_lease_changes(server: Server, rivals: Rivals) -> None:
    for renewed in range(5):
        server.hold("pod-1", str(renewed))
        assert await is_left(rivals)
        server.seconds += RIVAL_SECONDS
    assert server.asked[0].endswith("/namespaces/there/leases/operator")
    assert not await is_left(rivals), "it was not renewed any more"


async def test_an_operator_that_has_ended_is_replaced_at_once(
    server: Server, rivals: Rivals
) -> None:
    server.hold("")
    assert not await is_left(rivals), "released, as by an uninstallation"
    server.seconds += READ_SECONDS
    server.answer = ApiError(404, "not found")
    assert not await is_left(rivals)


async def test_a_lease_that_cannot_be_read_is_believed_to_be_held(
    server: Server, rivals: Rivals
) -> None:
    server.answer = ApiError(403, "you may not read leases")
    assert await is_left(rivals)


async def test_an_operator_that_watches_other_namespaces_now_is_replaced(
    server: Server, rivals: Rivals
) -> None:
    lease = Lease(server, "there", "operator", server.clock, annotations=annotate_namespaces(["a"]))
    await lease.hold("pod-1", 12, 1)
    assert not await is_left(rivals)
    assert await rivals.is_reconciled_by("there/operator", "a")
    everywhere = annotate_namespaces([])
    await Lease(server, "there", "operator", server.clock, annotations=everywhere).hold("b", 12, 1)
    server.seconds += READ_SECONDS
    assert await is_left(rivals)


async def test_many_agents_need_one_read(server: Server, rivals: Rivals) -> None:
    server.hold("pod-1")
    for _ in range(10):
        assert await is_left(rivals)
    assert len(server.asked) == 1


async def test_an_agent_of_another_operator_is_left_alone() -> None:
    world = World("here/operator", rollout={"steps": []})
    await world.settle()
    assert world.kube.agent["status"]["operator"] == "here/operator"
    server = Server()
    server.hold("pod-1")
    world.kube.lease = server.answer
    world.kube.agent["status"]["operator"] = "there/operator"
    world.kube.events.clear()
    before = str(world.cluster.objects)
    world.cluster.spec["image"] = "runtime:2"
    world.kube.agent["metadata"]["generation"] += 1
    for _ in range(3):
        assert await world.look() == RIVAL_SECONDS
    assert world.kube.events == ["OtherOperator"]
    assert str(world.cluster.objects) == before
    assert world.kube.agent["status"]["observedGeneration"] == 1
    assert not world.kube.agent["status"]["canaryRevision"]


async def test_an_agent_of_an_operator_that_has_ended_is_taken_over() -> None:
    world = World("here/operator", rollout={"steps": []})
    await world.settle()
    world.kube.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": ""}}
    world.kube.agent["status"]["operator"] = "there/operator"
    await world.change(image="runtime:2")
    assert world.kube.agent["status"]["operator"] == "here/operator"
    assert world.kube.agent["status"]["observedGeneration"] == 2
