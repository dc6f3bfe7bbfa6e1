"""Writes that must reach one object, and not another one that has its name by then."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from chatagent_operator.kube.errors import RejectedError, StaleError
from tests.unit.operator_shell.serving import connect, serving
from tests.unit.operator_shell.test_reconcile import World


class Server:
    """An API server that refuses everything, and keeps what it was asked."""

    def __init__(self, status: int, message: str) -> None:
        self._status = status
        self._message = message
        self.asked: list[Any] = []
        self.content_types: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.content_types.append(request.content_type)
        body = {"kind": "Status", "message": self._message}
        return web.json_response(body, status=self._status)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (409, "the object has been modified; please apply your changes to the latest version"),
        (422, "the server rejected our request due to an error in our request"),
    ],
)
async def test_a_status_is_for_one_version_of_one_agent(status: int, message: str) -> None:
    server = Server(status, message)
    async with serving(server.answer) as url:
        kube = connect(url)
        written = {"replicas": 1, "url": None, "rollout": {"weight": 5, "step": None}}
        with pytest.raises(StaleError):
            await kube.write_status("demo", "shop", written, "uid-1", 7)
        await kube.close()
    assert server.content_types == ["application/json-patch+json"]
    (operations,) = server.asked
    assert operations == [
        {"op": "test", "path": "/metadata/uid", "value": "uid-1"},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/status", "value": {"replicas": 1, "rollout": {"weight": 5}}},
    ]


async def test_a_status_that_is_invalid_is_not_a_stale_one() -> None:
    server = Server(422, 'ChatAgent "shop" is invalid: status.phase: Unsupported value')
    async with serving(server.answer) as url:
        kube = connect(url)
        with pytest.raises(RejectedError):
            await kube.write_status("demo", "shop", {}, "uid-1", 7)
        await kube.close()


async def test_one_object_is_deleted_and_none_of_its_name() -> None:
    server = Server(409, "the UID in the precondition does not match the UID in record")
    async with serving(server.answer) as url:
        kube = connect(url)
        with pytest.raises(StaleError):
            await kube.delete("Service", "demo", "shop", "uid-7")
        await kube.close()
    (body,) = server.asked
    assert body["preconditions"] == {"uid": "uid-7"}


async def test_a_recreated_agent_does_not_get_the_status_of_its_predecessor() -> None:
    """As after a restore from a backup, which counts the versions of objects again."""
    world = World(rollout={"steps": []})
    await world.settle()
    world.cluster.spec["image"] = "runtime:2"
    world.kube.agent["metadata"]["generation"] += 1
    world.report()
    metadata = world.kube.agent["metadata"] | {"uid": "uid-2"}
    world.kube.agent = world.kube.agent | {"metadata": metadata, "status": {}}
    with pytest.raises(StaleError):
        await world.reconcile()
    assert world.kube.agent["status"] == {}


async def test_deletions_name_the_object_that_was_seen() -> None:
    world = World(rollout={"steps": [], "keepPrevious": "0s"})
    await world.settle()
    deleted: list[str] = []
    delete = world.kube.delete

    async def record(kind: str, namespace: str, name: str, uid: str) -> None:
        deleted.append(uid)
        await delete(kind, namespace, name, uid)

    for number, body in enumerate(world.cluster.objects.values()):
        body["metadata"]["uid"] = f"uid-{number}"
    known = {body["metadata"]["uid"] for body in world.cluster.objects.values()}
    world.kube.delete = record  # type: ignore[method-assign]
    await world.change(image="runtime:2")
    assert deleted
    assert set(deleted) <= known
