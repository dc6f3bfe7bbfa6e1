"""What the commands read and write of one namespace."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from chatagent_operator.api.group import GROUP, PLURAL, VERSION
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.core import names
from chatagent_operator.core.agent import Manifest
from chatagent_operator.kube.errors import NotFoundError

FIELD_MANAGER = "kubectl-chatagent"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
WATCH_SECONDS = 60.0
"""Without any event, a watch is given up."""


class Requests(Protocol):
    """A connection to the API server."""

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Manifest:
        """One request; returns the answer's JSON. Raises ApiError."""
        ...

    def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        """One request; yields the lines of its answer as they come. Raises ApiError."""
        ...


class Cluster:
    """One namespace, or for lists all of them where it is None."""

    def __init__(self, requests: Requests, namespace: str | None) -> None:
        self.requests = requests
        self.namespace = namespace

    async def agent(self, name: str) -> Manifest:
        """A ChatAgent.

        Raises:
            CommandError: there is none of that name.
        """
        try:
            return await self.requests.request("GET", self._agent(name))
        except NotFoundError:
            raise CommandError(
                f"there is no ChatAgent {name!r} in namespace {self.namespace!r}; "
                "`kubectl chatagent get -A` lists them all"
            ) from None

    async def changes(self, name: str, version: str) -> AsyncIterator[Manifest]:
        """A ChatAgent as it becomes after a version, every state of it, for a while.

        Raises:
            ApiError: it may not be watched, or the server broke off.
        """
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": version}
        path = f"{self._agents()}?{urlencode(query)}"
        async for line in self.requests.lines("GET", path, None, {}, WATCH_SECONDS):
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED"):
                yield event["object"]

    async def agents(self) -> list[Manifest]:
        """All ChatAgents."""
        return (await self.requests.request("GET", self._agents()))["items"]

    async def revisions(self, name: str) -> list[Manifest]:
        """The ControllerRevisions of an agent, the newest first."""
        found = await self._children("controllerrevisions", name)
        return sorted(found, key=lambda body: body.get("revision", 0), reverse=True)

    async def deployments(self, name: str) -> list[Manifest]:
        """The Deployments of an agent's revisions."""
        return await self._children("deployments", name)

    async def config_map(self, name: str) -> Manifest | None:
        """A ConfigMap, where there is one."""
        try:
            return await self.requests.request(
                "GET", f"/api/v1/namespaces/{self.namespace}/configmaps/{quote(name)}"
            )
        except NotFoundError:
            return None

    async def patch(self, name: str, patch: Any, content_type: str) -> Manifest:
        """Change a ChatAgent; returns it as stored."""
        path = f"{self._agent(name)}?fieldManager={FIELD_MANAGER}"
        return await self.requests.request("PATCH", path, patch, content_type)

    def service(self, name: str, port: int, path: str) -> str:
        """Path of a Service behind the API server's proxy."""
        return f"/api/v1/namespaces/{self.namespace}/services/http:{name}:{port}/proxy{path}"

    async def _children(self, plural: str, name: str) -> list[Manifest]:
        labels = names.selector(name, names.ROLE_AGENT)
        selector = urlencode({"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())})
        path = f"/apis/apps/v1/namespaces/{self.namespace}/{plural}?{selector}"
        return (await self.requests.request("GET", path))["items"]

    def _agents(self) -> str:
        place = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"/apis/{GROUP}/{VERSION}{place}/{PLURAL}"

    def _agent(self, name: str) -> str:
        return f"{self._agents()}/{quote(name, safe='')}"
