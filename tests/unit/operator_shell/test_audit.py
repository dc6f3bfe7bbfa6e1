"""What is deleted while a watch has lost its place is found by listing what there is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import kopf
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from chatagent_operator import handlers
from chatagent_operator.api.group import GROUP, PLURAL, VERSION
from chatagent_operator.core import names
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import project
from chatagent_operator.handlers import CHILDREN, Shell
from chatagent_operator.kube import audit as audit_module
from chatagent_operator.kube import client as client_module
from chatagent_operator.kube.audit import Audit
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError, RejectedError
from chatagent_operator.kube.fence import Fence
from chatagent_operator.kube.store import Listing, Store
from chatagent_operator.metrics import Metrics
from chatagent_operator.settings import from_environment
from tests.unit.operator_shell.serving import connect, serving

KEY = ("demo", "shop")
NEEDED = ("OPERATOR_IMAGE", "HAPROXY_IMAGE", "CHROMA_IMAGE", "REDIS_IMAGE")


def pod(number: int, version: int) -> dict[str, Any]:
    """A gateway pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"shop-gateway-{number}",
            "namespace": "demo",
            "uid": f"uid-{number}",
            "resourceVersion": str(version),
            "labels": names.labels("shop", names.ROLE_GATEWAY),
        },
    }


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "AUDIT_SECONDS", 0.01)
    monkeypatch.setattr(audit_module, "WATCH_LAG_SECONDS", 0)


class Lists(Kube):
    """Answers lists, or fails them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.uids: dict[str, set[str]] = {}
        self.failures: dict[str, list[Exception]] = {}
        self.after_list: Callable[[], object] = lambda: None

    async def list_uids(self, kind: str, namespace: str | None, selector: str | None) -> Listing:
        self.asked.append((kind, namespace, selector))
        if failures := self.failures.get(kind):
            raise failures.pop(0)
        asyncio.get_running_loop().call_soon(self.after_list)
        return Listing(kind, namespace, 9, frozenset(self.uids.get(kind, ())))


class Audited:
    """Two pods and a Service in the indices, and an audit of them."""

    def __init__(self, *namespaces: str) -> None:
        self.kube = Lists()
        self.marked: asyncio.Queue[Key] = asyncio.Queue()
        self.children: dict[str, dict[Any, list[Any]]] = {
            "Pod": {KEY: [project("Pod", pod(number, 3)) for number in (0, 1)]},
            "Service": {KEY: [project("Service", pod(2, 3) | {"spec": {}})]},
        }
        self.store = Store({}, {}, self.children | {"ConfigMap": {}})
        kinds = ("ChatAgent", "ConfigMap", "Pod", "Service")
        self.audit = Audit(self.kube, self.store, kinds, namespaces, self.marked.put_nowait)

    def names(self) -> set[str]:
        return {name for _, name in self.store.observed(KEY).children}


async def test_a_ghost_is_hidden_and_its_agent_looked_at_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audited = Audited()
    audited.kube.uids = {"Pod": {"uid-0"}, "Service": {"uid-2"}}
    for _ in range(2):
        await audited.audit.once()
    assert audited.names() == {"shop-gateway-0", "shop-gateway-2"}
    assert audited.marked.get_nowait() == KEY
    assert audited.marked.empty()
    (said,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert "Pod shop-gateway-1 is gone" in said


async def test_watches_have_time_to_tell_what_has_just_been_deleted() -> None:
    audited = Audited()
    audited.kube.after_list = lambda: [index.clear() for index in audited.children.values()]
    await audited.audit.once()
    assert audited.marked.empty()


async def test_what_is_asked_for() -> None:
    ours = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}"
    audited = Audited("a", "b")
    await audited.audit.once()
    assert audited.kube.asked[:6] == [
        ("ChatAgent", "a", None),
        ("ChatAgent", "b", None),
        ("ConfigMap", "a", None),  # anybody's may be a source
        ("ConfigMap", "b", None),
        ("Pod", "a", ours),
        ("Pod", "b", ours),
    ]


async def test_a_list_that_fails_hides_nothing_and_keeps_no_other_from_it() -> None:
    audited = Audited()
    audited.kube.failures = {"Pod": [RejectedError(403, "you may not")]}
    await audited.audit.once()
    assert audited.names() == {"shop-gateway-0", "shop-gateway-1"}, "the Service is gone"
    await audited.audit.once()
    assert audited.names() == set()


async def test_where_nobody_answers_the_other_kinds_are_not_tried() -> None:
    audited = Audited()
    audited.kube.failures = {"ConfigMap": [ApiError(0, "cannot connect")]}
    await audited.audit.once()
    assert [kind for kind, _, _ in audited.kube.asked] == ["ChatAgent", "ConfigMap"]


async def test_audits_go_on_after_any_failure() -> None:
    audited = Audited()
    audited.kube.failures = {
        "ChatAgent": [ApiError(0, "cannot connect"), ValueError("no JSON"), ApiError(500, "oh")]
    }
    task = asyncio.create_task(audited.audit.run())
    async with asyncio.timeout(10):
        assert await audited.marked.get() == KEY
    assert audited.kube.failures == {"ChatAgent": []}
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class ApiServer:
    """An API server whose watch of pods loses its place when it is told to."""

    def __init__(self) -> None:
        self.pods = [pod(0, 10), pod(1, 11)]
        self.version = 20
        self.lost = asyncio.Event()
        self.ending = asyncio.Event()
        self.audited = asyncio.Event()
        self.may_audit = True
        self.breaks_at: str | None = None
        self.asked: list[web.Request] = []
        self._watches = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        kinds = {
            **CHILDREN,
            "ChatAgent": (GROUP, VERSION, PLURAL),
            "Namespace": ("", "v1", "namespaces"),  # kopf does not begin without
        }
        groups = {group or "": version for group, version, _ in kinds.values()}
        parts = request.path.strip("/").split("/")
        match parts:
            case ["api"]:
                return web.json_response({"versions": ["v1"]})
            case ["apis"]:
                found = [
                    {
                        "name": group,
                        "preferredVersion": {"version": version},
                        "versions": [{"version": version}],
                    }
                    for group, version in groups.items()
                    if group
                ]
                return web.json_response({"groups": found})
            case ["api", _] | ["apis", _, _]:
                group = parts[1] if parts[0] == "apis" else ""
                found = [
                    {
                        "name": plural,
                        "singularName": kind.lower(),
                        "kind": kind,
                        "namespaced": kind != "Namespace",
                        "verbs": ["list", "watch", "patch"],
                    }
                    for kind, (its, _, plural) in kinds.items()
                    if its == group
                ]
                return web.json_response({"resources": found})
            case _ if request.query.get("watch"):
                return await self._watch(request)
            case _ if "PartialObjectMetadataList" in request.headers["Accept"]:
                return self._metadata(request)
            case _:
                pods = self.pods if parts[-1] == "pods" else []
                return self._list(pods)

    def _list(self, items: list[Any], rest: str = "") -> web.Response:
        metadata = {"resourceVersion": str(self.version), "continue": rest}
        return web.json_response({"metadata": metadata, "items": items})

    def _metadata(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.audited.set()
        begin = request.query.get("continue", "")
        if not self.may_audit or self.breaks_at == begin:
            return web.json_response({"message": "not now"}, status=410)
        if not request.path.endswith("/pods"):
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": None})
        at = int(begin.removeprefix("at+/=") or 0)
        end = at + int(request.query["limit"])
        rest = f"at+/={end}" if end < len(self.pods) else ""
        return self._list([{"metadata": each["metadata"]} for each in self.pods[at:end]], rest)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if request.path == "/api/v1/pods":
            self._watches += 1
        if request.path == "/api/v1/pods" and self._watches == 1:
            await self.lost.wait()
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
        else:
            await self.ending.wait()
        return response


@pytest.fixture
def api_server() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def url(api_server: ApiServer) -> AsyncGenerator[str]:
    async with serving(api_server.answer) as url:
        yield url
        api_server.ending.set()


@pytest.fixture
def shell(url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The operator's shell, which connects to that API server."""

    async def connected(fence: Fence | None = None) -> Kube:
        return connect(url, fence)

    monkeypatch.setattr(Kube, "connect", staticmethod(connected))
    settings = from_environment(dict.fromkeys(NEEDED, "image:1"))
    return Shell(settings, Metrics(CollectorRegistry()), asyncio.Event())


@pytest.fixture
async def kube(url: str) -> AsyncGenerator[Kube]:
    found = connect(url)
    yield found
    await found.close()


async def test_a_list_of_several_pages(
    kube: Kube, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 2)
    api_server.pods = [pod(number, 10) for number in range(5)]
    listing = await kube.list_uids("Pod", "demo", "a=b")
    assert listing == Listing("Pod", "demo", 20, frozenset(f"uid-{n}" for n in range(5)))
    assert [each.query["labelSelector"] for each in api_server.asked] == ["a=b"] * 3
    assert {each.path for each in api_server.asked} == {"/api/v1/namespaces/demo/pods"}


async def test_a_list_of_nothing(kube: Kube) -> None:
    assert await kube.list_uids("Job", None, None) == Listing("Job", None, 1, frozenset())


async def test_a_list_that_breaks_off_is_none(
    kube: Kube, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 1)
    api_server.breaks_at = "at+/=1"
    with pytest.raises(ApiError, match="410"):
        await kube.list_uids("Pod", None, None)


class Looks:
    """In the place of the reconciler: tells what each look sees."""

    def __init__(self, store: Store, *_: Any) -> None:
        self._store = store

    async def reconcile(self, key: Key) -> None:
        self.seen.put_nowait({name for _, name in self._store.observed(key).children})

    seen: asyncio.Queue[set[str]]

    @classmethod
    async def until(cls, met: Callable[[set[str]], bool]) -> set[str]:
        """The first look from now on that is as it should be."""
        while True:
            seen = await cls.seen.get()
            if met(seen):
                return seen


async def test_with_kopf_a_pod_deleted_while_the_watch_had_lost_its_place(
    api_server: ApiServer, url: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=url)

    Looks.seen = asyncio.Queue()
    monkeypatch.setattr(handlers, "_login", login)
    monkeypatch.setattr(handlers, "Reconciler", Looks)
    registry = kopf.OperatorRegistry()
    shell.register(registry)
    stop = asyncio.Event()
    api_server.may_audit = False
    running = asyncio.create_task(
        kopf.operator(registry=registry, clusterwide=True, standalone=True, stop_flag=stop)
    )
    async with asyncio.timeout(30):
        both = {"shop-gateway-0", "shop-gateway-1"}
        await Looks.until(lambda seen: seen == both)
        api_server.pods, api_server.version = [pod(0, 10), pod(2, 21)], 30
        api_server.lost.set()
        seen = await Looks.until(lambda seen: "shop-gateway-2" in seen)
        assert seen == both | {"shop-gateway-2"}, "kopf was not told, so this test proves nothing"
        api_server.may_audit = True
        await Looks.until(lambda seen: seen == {"shop-gateway-0", "shop-gateway-2"})
        stop.set()
        await running


async def test_audits_begin_and_end_with_the_operator(api_server: ApiServer, shell: Shell) -> None:
    indices: dict[str, Any] = {index: {} for index in (*CHILDREN, "agents", "sources")}
    before = asyncio.all_tasks()
    await shell.start(kopf.OperatorSettings(), **indices)
    async with asyncio.timeout(10):
        await api_server.audited.wait()
    await shell.stop()
    assert {task for task in asyncio.all_tasks() - before if "Audit" in repr(task)} == set()
