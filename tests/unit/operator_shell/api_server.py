"""An API server in memory: objects with resource versions, a history of events, lists and watches.

It keeps what is true, and breaks what it sends when a test says so. A test speaks to it directly
(it is a `Transport`) or over HTTP (`handle`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from chatagent_operator.kube.errors import ApiError, SilentError, from_response

DISCOVERY: dict[str, Any] = {
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": []},
    "/api/v1": {
        "resources": [
            {
                "name": "namespaces",
                "singularName": "namespace",
                "kind": "Namespace",
                "namespaced": False,
                "verbs": ["list", "watch"],
            }
        ]
    },
}
"""As little as kopf begins with."""

NAMED = 2
"""Slashes after the namespace's in the path of one object."""

Body = dict[str, Any]
Identity = tuple[str, str, str]
"""Path of all objects of a kind, namespace, name."""


@dataclass(frozen=True)
class Happened:
    """One entry of the history."""

    version: int
    collection: str
    before: Body | None
    after: Body | None


@dataclass
class Request:
    """One request for a list or a watch."""

    path: str
    query: Mapping[str, str]
    accept: str

    @property
    def collection(self) -> str:
        """Path of all objects of the kind."""
        head, marker, rest = self.path.partition("/namespaces/")
        return f"{head}/{rest.partition('/')[2]}" if marker else self.path

    @property
    def namespace(self) -> str | None:
        _, marker, rest = self.path.partition("/namespaces/")
        return rest.partition("/")[0] if marker else None

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"

    @property
    def is_streamed_list(self) -> bool:
        return self.query.get("sendInitialEvents") == "true"

    def selects(self, body: Body | None) -> bool:
        if body is None or self.namespace not in (None, body["metadata"].get("namespace")):
            return False
        labels = body["metadata"].get("labels") or {}
        fields = body | {
            "metadata.name": body["metadata"]["name"],
            "involvedObject.kind": body.get("involvedObject", {}).get("kind"),
        }
        return self._matches("labelSelector", labels) and self._matches("fieldSelector", fields)

    def _matches(self, selector: str, found: Mapping[str, Any]) -> bool:
        for term in filter(None, self.query.get(selector, "").split(",")):
            name, differs, value = term.partition("!=")
            if not differs:
                name, _, value = term.partition("=")
            if (found.get(name) == value) == bool(differs):
                return False
        return True


Fault = Callable[[Request], ApiError | None]


@dataclass
class ApiServer:
    """What is true, and how it is sent."""

    objects: dict[Identity, Body] = field(default_factory=dict[Identity, Body])
    history: list[Happened] = field(default_factory=list[Happened])
    version: int = 100
    compacted: int = 0
    has_streams: bool = True
    known: set[str] | None = None
    """Collections that there are; None: every one that is asked for."""

    refuse: Fault = lambda request: None
    """An error instead of an answer."""

    garble: Callable[[Request, bytes], list[bytes]] = lambda request, line: [line]
    """The lines that are sent in place of one line of a watch."""

    requests: list[Request] = field(default_factory=list[Request])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _created: int = 0
    _restarts: int = 0

    # What is true.

    def put(self, collection: str, namespace: str, name: str, **body: Any) -> Body:
        """Create an object, or replace what it has."""
        old = self.objects.get((collection, namespace, name))
        if old is None:
            self._created += 1
        uid = old["metadata"]["uid"] if old else f"uid-{self._created}"
        metadata = body.pop("metadata", {}) | {"namespace": namespace, "name": name, "uid": uid}
        new = body | {"metadata": metadata | {"resourceVersion": str(self.version + 1)}}
        self.objects[collection, namespace, name] = new
        self._happened(collection, old, new)
        return new

    def delete(self, collection: str, namespace: str, name: str) -> None:
        if old := self.objects.pop((collection, namespace, name), None):
            self._happened(collection, old, None)

    def compact(self) -> None:
        """Begin no watch any more at a version of the past; those that run go on."""
        self.compacted = self.version

    def restore(self, objects: Mapping[Identity, Body], version: int) -> None:
        """Go back to a backup; connections break."""
        self.objects = dict(objects)
        self.version = version
        self.history.clear()
        self.compacted = version
        self.restart()

    def restart(self) -> None:
        """Break every connection."""
        self._restarts += 1
        self._wake()

    def progress(self) -> None:
        """Something else in the cluster changed."""
        self.version += 1
        self._wake()

    def select(self, request: Request) -> list[Body]:
        return [
            body
            for (collection, _, _), body in sorted(self.objects.items())
            if collection == request.collection and request.selects(body)
        ]

    def calls(self) -> Counter[str]:
        return Counter(request.collection for request in self.requests)

    def _happened(self, collection: str, old: Body | None, new: Body | None) -> None:
        self.version += 1
        self.history.append(Happened(self.version, collection, old, new))
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    # How it is sent.

    async def request(
        self, method: str, path: str, *, accept: str = "application/json"
    ) -> dict[str, Any]:
        if path.partition("/namespaces/")[2].count("/") == NAMED:
            return self._get(path, accept)
        request = self._accept(path, accept)
        version, begin = self.version, 0
        if token := request.query.get("continue"):
            version, begin = (int(word) for word in token.split("."))
            if version < self.compacted:
                raise ApiError(410, "the token of the list is too old")
        found = self._at(request, version)
        limit = int(request.query.get("limit", "1000000"))
        rest = f"{version}.{begin + limit}" if begin + limit < len(found) else ""
        return {
            "metadata": {"resourceVersion": str(version), "continue": rest},
            "items": [_shown(body, request) for body in found[begin : begin + limit]] or None,
        }

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        request = self._accept(path, headers["Accept"])
        async with aclosing(self.watch(request)) as lines:
            async for line in lines:
                for sent in self.garble(request, line):
                    yield sent

    async def watch(self, request: Request) -> AsyncGenerator[bytes]:
        """The lines of a watch, for as long as somebody reads them."""
        restarts = self._restarts
        if request.is_streamed_list:
            position = self.version
            for body in self.select(request):
                yield build_event("ADDED", _shown(body, request))
            yield build_bookmark(position, ends_list=True)
        else:
            position = int(request.query["resourceVersion"])
            if position < self.compacted:
                gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
                yield build_event("ERROR", gone)
                return
        while restarts == self._restarts:
            for each in [entry for entry in self.history if entry.version > position]:
                position = each.version
                if each.collection == request.collection and (kind := _type(request, each)):
                    shown = _shown(each.after or each.before or {}, request)
                    version = {"resourceVersion": str(each.version)}
                    yield build_event(kind, shown | {"metadata": shown["metadata"] | version})
            if position < self.version and request.query.get("allowWatchBookmarks"):
                position = self.version
                yield build_bookmark(position)
            if position >= self.version and restarts == self._restarts:
                await self.changed.wait()
        raise ApiError(0, "connection reset")

    def _get(self, path: str, accept: str) -> Body:
        head, name = path.rsplit("/", 1)
        request = self._accept(head, accept)
        found = self.objects.get((request.collection, request.namespace or "", name))
        if found is None:
            raise from_response(404, b'{"message": "not found"}')
        return found

    def _accept(self, path: str, accept: str) -> Request:
        parts = urlsplit(path)
        request = Request(parts.path, dict(parse_qsl(parts.query)), accept)
        self.requests.append(request)
        if error := self.refuse(request):
            raise error
        if self.known is not None and request.collection not in self.known:
            raise from_response(404, b"404 page not found")
        if request.is_streamed_list and not self.has_streams:
            raise from_response(422, b'{"message": "sendInitialEvents is forbidden"}')
        return request

    def _at(self, request: Request, version: int) -> list[Body]:
        """What was selected at a version: pages of one list show one moment."""
        objects = dict(self.objects)
        for each in reversed(self.history):
            if each.version <= version:
                break
            body = each.after or each.before or {}
            key = each.collection, body["metadata"]["namespace"], body["metadata"]["name"]
            if each.before:
                objects[key] = each.before
            else:
                objects.pop(key, None)
        return [
            body
            for (collection, _, _), body in sorted(objects.items())
            if collection == request.collection and request.selects(body)
        ]

    async def handle(self, web_request: web.Request) -> web.StreamResponse:
        """Answer over HTTP."""
        accept = web_request.headers["Accept"]
        if web_request.path in DISCOVERY:
            return web.json_response(DISCOVERY[web_request.path])
        try:
            if web_request.query.get("watch") != "true":
                page = await self.request("GET", web_request.path_qs, accept=accept)
                return web.json_response(page)
            request = self._accept(web_request.path_qs, accept)
        except ApiError as error:
            return web.json_response({"message": error.message}, status=error.status or 500)
        response = web.StreamResponse()
        await response.prepare(web_request)
        async for line in self.watch(request):
            await response.write(line + b"\n")
        return response


class Faults:
    """Breaks what an API server sends, one fault after the other."""

    def __init__(self, server: ApiServer) -> None:
        self.due: list[str] = []
        """Each happens at the next opportunity."""

        self._sent: list[bytes] = []
        self._listed: Request | None = None
        server.refuse = self._refuse
        server.garble = self._garble

    def _refuse(self, request: Request) -> ApiError | None:
        match self._take("refused", "410", "429", "500", "503"):
            case "refused":
                return ApiError(0, "connection refused")
            case None:
                return None
            case status:
                return from_response(int(status), b'{"message": "no"}', "1")

    def _garble(self, request: Request, line: bytes) -> list[bytes]:
        is_list_over = request is self._listed or not request.is_streamed_list
        if b"initial-events-end" in line:
            self._listed = request
        if is_list_over:
            self._sent = [*self._sent[-5:], line]
        match self._take("break", "silence", "repeat", "garbage", "cut", "error", "skip"):
            case "break":
                raise ApiError(0, "connection reset")
            case "silence":
                raise SilentError(0, "silent")
            case "repeat":
                return [line, self._sent[0] if is_list_over else line]
            case "garbage":
                return [b'{"type": "ADDED", "obj', line]
            case "cut":
                return [line[: len(line) // 2]]
            case "error":
                return [build_event("ERROR", {"code": 500, "message": "etcd is away"})]
            case "skip" if b"BOOKMARK" not in line:
                return []
            case _:
                return [line]

    def _take(self, *kinds: str) -> str | None:
        return self.due.pop(0) if self.due and self.due[0] in kinds else None


def _type(request: Request, each: Happened) -> str | None:
    before, after = request.selects(each.before), request.selects(each.after)
    if after:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


def _shown(body: Body, request: Request) -> Body:
    return {"metadata": body["metadata"]} if "PartialObjectMetadata" in request.accept else body


def build_event(kind: str, body: Body) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": kind, "object": body}).encode()


def build_bookmark(version: int, ends_list: bool = False) -> bytes:
    """A line that says how far a watch has come."""
    annotations = {"k8s.io/initial-events-end": "true"} if ends_list else {}
    metadata = {"resourceVersion": str(version), "annotations": annotations}
    return build_event("BOOKMARK", {"metadata": metadata})
