"""An agent's Redis on the real node, in a namespace that takes restricted pods only."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Generator

import pytest

from agent_runtime.domain import Session, Turn
from agent_runtime.state.address import parse
from agent_runtime.state.keys import Keys
from agent_runtime.state.redis import RedisState
from agent_runtime.state.sessions import RedisSessions
from chatagent_operator.api.v1alpha1 import ChatAgentSpec, ManagedRedis, VolumeSettings
from chatagent_operator.core.agent import Agent, Manifest, Platform
from chatagent_operator.core.children import cache
from tests.cluster.kubectl import IMAGES, Kubectl, Object, manifest, until

PASSWORD = "a-password"


@pytest.fixture(scope="module")
def restricted() -> Generator[Kubectl]:
    kubectl = Kubectl(f"redis-{uuid.uuid4().hex[:8]}")
    kubectl.run("create", "namespace", kubectl.namespace)
    kubectl.run(
        "label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    yield kubectl
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


def is_ready(pod: Object) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def listens(address: str) -> bool:
    """The node knows of the Service's pod a moment after it is ready."""
    try:
        with socket.create_connection((address, 6379), timeout=1):
            return True
    except OSError:
        return False


def orphaned(body: Manifest) -> Manifest:
    """Without an owner, since there is no ChatAgent here."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "ownerReferences"}
    return body | {"metadata": metadata}


@pytest.mark.parametrize("storage", [None, VolumeSettings(size="100Mi")])
def test_it_starts_requires_its_password_and_restarts(
    restricted: Kubectl, storage: VolumeSettings | None
) -> None:
    name = "kept" if storage else "shop"
    spec = ChatAgentSpec.model_validate(manifest(name)["spec"])
    agent = Agent(restricted.namespace, name, "uid", 1, spec)
    platform = Platform({"redis": f"{IMAGES}/redis:7.0"})
    objects = cache.build_objects(agent, ManagedRedis(storage=storage), platform, is_parallel=True)
    account = agent.child("v1", "ServiceAccount", name, "agent")
    for body in (account, cache.build_secret(agent, PASSWORD), *objects):
        restricted.apply(orphaned(body))
    pod = f"{name}-redis-0"
    restricted.run("rollout", "status", f"statefulset/{name}-redis", "--timeout=120s")
    address = restricted.get("service", f"{name}-redis")["spec"]["clusterIP"]

    async def remembered(password: str | None) -> int | None:
        """How many turns there are, after one more; None where it cannot be told."""
        state = RedisState(parse(f"redis://{address}", password), call_seconds=5)
        try:
            sessions = RedisSessions(state, Keys("demo/shop"), 3600, 100)
            found = await sessions.load("c") or Session("c")
            await sessions.save(
                Session("c", turns=(*found.turns, Turn("user", "hi")), loaded=found.loaded)
            )
            found = await sessions.load("c")
            return len(found.turns) if found else None
        finally:
            await state.aclose()

    until(lambda: listens(address), "the Service leads there")
    assert asyncio.run(remembered(PASSWORD)) == 1
    for wrong in (None, "another"):
        with pytest.raises(Exception, match=r"(?i)password|auth"):
            asyncio.run(remembered(wrong))
    uid = restricted.get("pod", pod)["metadata"]["uid"]
    restricted.run("delete", "pod", pod)

    def again() -> bool:
        return any(
            found["metadata"]["uid"] != uid and is_ready(found)
            for found in restricted.list("pods")
            if found["metadata"]["name"] == pod
        )

    until(again, "the pod is there again")
    until(lambda: listens(address), "the Service leads there")
    assert asyncio.run(remembered(PASSWORD)) == (2 if storage else 1)
    # Nobody on the node reads the password among the words of the command.
    words = restricted.run("exec", pod, "--", "cat", "/proc/1/cmdline")
    assert PASSWORD not in words
