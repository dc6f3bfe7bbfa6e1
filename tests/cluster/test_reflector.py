"""The reflector and the real API server: streamed and paged lists, and 410 Gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest

from chatagent_operator.core.kinds import CHILDREN, CONFIG_MAP, Kind
from chatagent_operator.core.names import Key
from chatagent_operator.kube import paging
from chatagent_operator.kube.connection import Connection
from chatagent_operator.kube.errors import from_response
from chatagent_operator.kube.reflector import Reflector
from chatagent_operator.kube.store import Source, source
from tests.cluster.kubectl import Kubectl

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def plain_namespace() -> Iterator[Kubectl]:
    """A namespace; no operator is needed here."""
    kubectl = Kubectl(f"test-{uuid.uuid4().hex[:8]}")
    kubectl.run("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


class Server(Connection):
    """The real one; records what is asked, and refuses streamed lists if a test says so."""

    has_streams = True

    async def request(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        self.asked.append(arguments[1])
        return await super().request(*arguments, **options)

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        self.asked.append(path)
        if "sendInitialEvents" in path and not self.has_streams:
            raise from_response(422, b"{}")
        async with contextlib.aclosing(
            super().lines(method, path, body, headers, silence)
        ) as lines:
            async for line in lines:
                yield line

    asked: list[str]


@pytest.fixture
async def server(plain_namespace: Kubectl) -> AsyncIterator[Server]:
    server = await Server.connect(plain_namespace.kubeconfig)
    server.asked = []
    yield server
    await server.close()


@contextlib.asynccontextmanager
async def running(reflector: Reflector[Any]) -> AsyncGenerator[None]:
    task = asyncio.create_task(reflector.run())
    try:
        async with asyncio.timeout(20):
            yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.02)


class World:
    """ConfigMaps with a label, and a reflector of them."""

    def __init__(self, kubectl: Kubectl, server: Server) -> None:
        self.kubectl = kubectl
        self.label = f"run={uuid.uuid4().hex[:8]}"
        self.gone: list[str] = []
        self.reflector: Reflector[Source] = Reflector(
            server, CONFIG_MAP, source, self._change,
            namespace=kubectl.namespace, labels=self.label, metadata_only=True,
        )  # fmt: skip

    def apply(self, *names: str, text: str = "one") -> None:
        name, _, value = self.label.partition("=")
        for each in names:
            self.kubectl.apply(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": each, "labels": {name: value}},
                    "data": {"text": text},
                }
            )

    def delete(self, *names: str) -> None:
        self.kubectl.run("delete", "configmap", *names)

    def expected(self) -> dict[Key, Source]:
        """What kubectl lists."""
        found = json.loads(self.kubectl.run("get", "configmap", "-l", self.label, "-o", "json"))
        return {(self.kubectl.namespace, each["metadata"]["name"]): source(each)
                for each in found["items"]}  # fmt: skip

    async def settle(self) -> None:
        expected = self.expected()
        await until(lambda: dict(self.reflector) == expected)

    def _change(self, key: Key, old: Source | None, new: Source | None) -> None:
        if new is None:
            self.gone.append(key[1])


@pytest.mark.parametrize("has_streams", [True, False])
async def test_the_cache_equals_what_kubectl_lists(
    plain_namespace: Kubectl, server: Server, has_streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 2)
    server.has_streams = has_streams
    world = World(plain_namespace, server)
    world.apply(*NAMES)
    async with running(world.reflector):
        await world.settle()
        assert len(world.reflector) == len(NAMES)
        assert world.reflector.synced.is_set()
        world.apply("a", "f", text="two")
        world.delete("b")
        await world.settle()
    assert world.gone == ["b"]
    assert len(server.asked) == (1 if has_streams else 5), "one, or three pages and a watch"


@pytest.fixture
def thing_kind(plain_namespace: Kubectl) -> Iterator[Kind]:
    """A kind of its own. The server's history of its objects begins now, and not with version 1."""
    group = f"{plain_namespace.namespace}.example.com"
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Thing", "plural": "things"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }
    plain_namespace.apply(body)
    definition = f"crd/things.{group}"
    plain_namespace.run("wait", "--for=condition=Established", definition)
    yield Kind("Thing", group, "v1", "things", ())
    plain_namespace.run("delete", definition, "--wait=false")


async def test_410_gone_is_followed_by_a_list(
    plain_namespace: Kubectl, server: Server, thing_kind: Kind
) -> None:
    def apply(name: str) -> None:
        version = f"{thing_kind.group}/{thing_kind.version}"
        thing = {"apiVersion": version, "kind": "Thing", "metadata": {"name": name}}
        plain_namespace.apply(thing)

    apply("a")
    reflector = Reflector(server, thing_kind, source, lambda key, old, new: None)
    async with running(reflector):
        await reflector.synced.wait()
    assert {name for _, name in reflector} == {"a"}
    apply("b")
    reflector.position = 1
    async with running(reflector):
        await until(lambda: len(reflector) == 2)
    first, watch, again = server.asked
    assert "resourceVersion=1" in watch.split("&")
    assert "sendInitialEvents=true" in first
    assert "sendInitialEvents=true" in again


async def test_every_kind_of_child_can_be_watched(plain_namespace: Kubectl, server: Server) -> None:
    for kind in CHILDREN:
        reflector = Reflector(
            server, kind, source, lambda key, old, new: None, namespace=plain_namespace.namespace
        )
        async with running(reflector):
            await reflector.synced.wait()
            listed = {each["metadata"]["name"] for each in plain_namespace.list(kind.name)}
            assert {name for _, name in reflector} == listed
