"""What the real API server does with the Leases and the statuses that the operator writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.election import Election, Timing
from chatagent_operator.kube.errors import NotLeaderError, StaleError
from chatagent_operator.kube.fence import Fence, read_clock
from chatagent_operator.kube.lease import Lease
from tests.cluster.kubectl import Kubectl, manifest

TIMING = Timing(duration=3, renew_deadline=2, retry=0.2, poll=0.1)


class Candidate:
    """One replica's part in an election."""

    def __init__(self, kube: Kube, fence: Fence, namespace: str, identity: str) -> None:
        self.kube = kube
        lease = Lease(kube, namespace, "operator", read_clock)
        self.election = Election(lease, f"{namespace}/operator", identity, fence, TIMING)
        self.leads = asyncio.Event()
        self.task = asyncio.create_task(self.election.run(self.leads.set, self._stop))

    async def _stop(self) -> None:
        self.leads.clear()

    async def end(self) -> None:
        """End without a word."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def candidates(namespace: Kubectl) -> AsyncGenerator[tuple[Candidate, Candidate]]:
    """Two candidates, the first of which leads."""
    async with asyncio.timeout(60):
        made: list[Candidate] = []
        for identity in ("a", "b"):
            fence = Fence()
            kube = await Kube.connect(namespace.kubeconfig, fence=fence)
            made.append(Candidate(kube, fence, namespace.namespace, identity))
            await made[0].leads.wait()
        first, second = made
        yield first, second
        for candidate in made:
            await candidate.end()
            await candidate.kube.close()


async def get(namespace: Kubectl) -> dict[str, Any]:
    """Return the Lease. The candidates go on meanwhile."""
    return await asyncio.to_thread(namespace.get, "lease", "operator")


async def spec(namespace: Kubectl) -> dict[str, Any]:
    return (await get(namespace))["spec"]


async def test_a_lease_is_acquired_renewed_released_and_acquired_again(
    namespace: Kubectl, candidates: tuple[Candidate, Candidate]
) -> None:
    first, second = candidates
    taken = await spec(namespace)
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("a", 0)
    await asyncio.sleep(2 * TIMING.duration)
    renewed = await spec(namespace)
    assert renewed["renewTime"] > taken["renewTime"]
    assert renewed["acquireTime"] == taken["acquireTime"]
    assert not second.leads.is_set()
    await first.end()
    await first.election.release()
    async with asyncio.timeout(2):
        await second.leads.wait()
    found = await spec(namespace)
    assert (found["holderIdentity"], found["leaseTransitions"]) == ("b", 1)


async def test_a_lease_whose_holder_has_ended_expires(
    namespace: Kubectl, candidates: tuple[Candidate, Candidate]
) -> None:
    first, second = candidates
    await first.end()
    async with asyncio.timeout(TIMING.duration + 5):
        await second.leads.wait()


async def test_a_deleted_lease_is_recreated(
    namespace: Kubectl, candidates: tuple[Candidate, Candidate]
) -> None:
    _, second = candidates
    uid = (await get(namespace))["metadata"]["uid"]
    await asyncio.to_thread(namespace.run, "delete", "lease", "operator", "--wait=false")
    await asyncio.sleep(1)
    found = await get(namespace)
    assert found["metadata"]["uid"] != uid
    assert found["spec"]["holderIdentity"] == "a"
    assert not second.leads.is_set()


async def test_a_status_made_from_an_older_version_is_refused(namespace: Kubectl) -> None:
    namespace.apply(manifest("stale", suspend=True))
    metadata = namespace.get("chatagent", "stale")["metadata"]
    uid, version = metadata["uid"], int(metadata["resourceVersion"])
    namespace.run("annotate", "chatagent", "stale", "touched=yes")
    fence = Fence()
    kube = await Kube.connect(namespace.kubeconfig, fence=fence)
    with pytest.raises(NotLeaderError):
        await kube.write_status(namespace.namespace, "stale", {"replicas": 1}, uid, version)
    fence.extend(read_clock() + 60)
    with pytest.raises(StaleError, match="modified"):
        await kube.write_status(namespace.namespace, "stale", {"replicas": 1}, uid, version)
    version = int(namespace.get("chatagent", "stale")["metadata"]["resourceVersion"])
    other = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(StaleError):
        await kube.write_status(namespace.namespace, "stale", {"replicas": 1}, other, version)
    assert "replicas" not in namespace.get("chatagent", "stale")["status"]
    await kube.write_status(namespace.namespace, "stale", {"replicas": 1}, uid, version)
    await kube.close()


async def test_a_recreated_object_is_not_deleted(namespace: Kubectl) -> None:
    namespace.run("create", "configmap", "remade")
    kube = await Kube.connect(namespace.kubeconfig)
    other = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(StaleError):
        await kube.delete("ConfigMap", namespace.namespace, "remade", other)
    uid = namespace.get("configmap", "remade")["metadata"]["uid"]
    await kube.delete("ConfigMap", namespace.namespace, "remade", uid)
    await kube.close()
