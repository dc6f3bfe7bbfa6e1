"""A fake API server with one agent, as the commands read and write it.

It is a fake and only for unit tests: it merges, patches and refuses as the real one does for the
few requests that the commands make. `operator` is the operator.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from chatagent_operator.cli.cluster import JSON_PATCH, MERGE, Cluster
from chatagent_operator.core.names import COMMAND_ANNOTATION, REVISION_LABEL
from chatagent_operator.kube.errors import ApiError, NotFoundError, RejectedError

Body = dict[str, Any]

AGENTS = "/apis/chatagent.dev/v1alpha1"
SHOP = f"{AGENTS}/namespaces/demo/chatagents/shop"
REVISIONS = "/apis/apps/v1/namespaces/demo/controllerrevisions"
DEPLOYMENTS = "/apis/apps/v1/namespaces/demo/deployments"


def revision(number: int, name: str, **content: Any) -> Body:
    """A ControllerRevision of the agent."""
    return {
        "metadata": {
            "name": f"shop-{name}",
            "labels": {REVISION_LABEL: name},
            "creationTimestamp": f"2026-01-0{number}T08:00:00Z",
        },
        "revision": number,
        "data": content,
    }


def deployment(name: str, ready: int, desired: int) -> Body:
    """A Deployment of a revision."""
    return {
        "metadata": {"name": f"shop-{name}", "labels": {REVISION_LABEL: name}},
        "spec": {"replicas": desired, "template": {"metadata": {}}},
        "status": {"readyReplicas": ready},
    }


def agent(status: Body | None = None, **spec: Any) -> Body:
    """The agent."""
    return {
        "metadata": {
            "namespace": "demo",
            "name": "shop",
            "uid": "uid-1",
            "generation": 7,
            "resourceVersion": "100",
            "creationTimestamp": "2026-01-01T08:00:00Z",
        },
        "spec": {"image": "registry.example/agent-runtime:1.5.0"} | spec,
        "status": {"observedGeneration": 7} | (status or {}),
    }


@dataclass
class FakeServer:
    """What is stored, by path; lists end in the plural."""

    objects: dict[str, Any]
    operator: Callable[[FakeServer, Body], None] | None = None
    """Reconciles the agent after each write to it and before each read."""
    writes: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    streams: list[tuple[str, Any, Mapping[str, str]]] = field(
        default_factory=list[tuple[str, Any, Mapping[str, str]]]
    )
    answers: list[list[bytes] | ApiError] = field(default_factory=list[list[bytes] | ApiError])
    """What the agent behind the proxy says, turn by turn."""
    watched: list[Body] | None = None
    """States of the agent that a watch returns; None: the watch is forbidden."""

    @property
    def cluster(self) -> Cluster:
        """Namespace `demo` of it."""
        return Cluster(self, "demo")

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Body:
        """Read or patch."""
        path = urlsplit(path).path
        if path not in self.objects:
            plural, name = path.split("/")[-2:]
            raise NotFoundError(404, f'{plural} "{name}" not found')
        if method == "PATCH":
            self.writes.append((content_type, body))
            self._patch(path, body, content_type)
        if self.operator and path == SHOP:
            self.operator(self, self.objects[path])
        found = self.objects[path]
        return copy.deepcopy({"items": found} if isinstance(found, list) else found)

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        """The agent behind the proxy, or a watch of the ChatAgent."""
        if "watch=1" in path:
            for seen in self.watched if self.watched is not None else ():
                yield json.dumps({"type": "MODIFIED", "object": seen}).encode()
            if self.watched is None:
                raise ApiError(403, "you may not watch")
            return
        self.streams.append((path, body, headers))
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        for line in answer:
            yield line

    def _patch(self, path: str, body: Any, content_type: str) -> None:
        stored = self.objects[path]
        if content_type == MERGE:
            version = body["metadata"].pop("resourceVersion", None)
            if version not in (None, stored["metadata"]["resourceVersion"]):
                raise RejectedError(409, "the object has been modified")
            _merge(stored, body)
        else:
            assert content_type == JSON_PATCH
            stored = _patched(stored, body)
        stored["metadata"]["resourceVersion"] = str(int(stored["metadata"]["resourceVersion"]) + 1)
        self.objects[path] = stored


def apply_command(server: FakeServer, stored: Body) -> None:
    """Play an operator that executes every command."""
    text = stored["metadata"].get("annotations", {}).get(COMMAND_ANNOTATION)
    order = json.loads(text) if text else {}
    rollout = stored["status"].setdefault("rollout", {})
    if order and rollout.get("lastCommandId") != order["id"]:
        rollout["lastCommandId"] = order["id"]
        rollout["lastCommandResult"] = f"{order['action']} done"


def _merge(into: Body, patch: Body) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _patched(stored: Body, operations: list[Body]) -> Body:
    """RFC 6902, as far as it is used."""
    result = copy.deepcopy(stored)
    for each in operations:
        *parents, last = re.split("/", each["path"])[1:]
        place = result
        for parent in parents:
            place = place[parent]
        match each["op"]:
            case "test":
                if place[last] != each["value"]:
                    raise RejectedError(422, f"testing path {each['path']} failed: test failed")
            case "add":
                place[last] = each["value"]
            case "remove":
                del place[last]
            case _:
                raise AssertionError(each)
    return result
