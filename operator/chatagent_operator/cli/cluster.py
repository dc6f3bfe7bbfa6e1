"""Reads and writes the objects of one namespace."""

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
"""A watch ends when it gets no event for so long."""


class AgentNotFoundError(CommandError):
    """No ChatAgent has that name."""


class Requests(Protocol):
    """A connection to the API server."""

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Manifest:
        """Send a request and return the JSON of the response. Raises ApiError."""
        ...

    def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        """Send a request and yield the lines of the response as they arrive. Raises ApiError."""
        ...


class Cluster:
    """The objects of one namespace, or for lists of all namespaces where it is None."""

    def __init__(self, requests: Requests, namespace: str | None) -> None:
        self.requests = requests
        self.namespace = namespace

    async def agent(self, name: str) -> Manifest:
        """Get a ChatAgent.

        Raises:
            CommandError: no ChatAgent has that name, or the cluster has no ChatAgents at all.
        """
        try:
            return await self.requests.request("GET", self._agent(name))
        except NotFoundError as error:
            if f'"{name}"' not in error.message:  # the path is unknown, and not the name
                raise _no_such_kind() from None
            raise AgentNotFoundError(
                f"ChatAgent {name!r} not found in namespace {self.namespace!r}; "
                "list all with `kubectl chatagent get -A`"
            ) from None

    async def changes(self, name: str, version: str) -> AsyncIterator[Manifest]:
        """Watch a ChatAgent from a resource version on; yield every new state until the watch ends
        or the ChatAgent is deleted.

        Raises:
            ApiError: the watch is forbidden, or the connection is lost.
        """
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": version}
        path = f"{self._agents()}?{urlencode(query)}"
        async for line in self.requests.lines("GET", path, None, {}, WATCH_SECONDS):
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED"):
                yield event["object"]
            elif event["type"] in ("DELETED", "ERROR"):
                return

    async def agents(self) -> list[Manifest]:
        """List the ChatAgents.

        Raises:
            CommandError: the cluster has none at all.
        """
        try:
            return (await self.requests.request("GET", self._agents()))["items"]
        except NotFoundError:
            raise _no_such_kind() from None

    async def operators(self, namespace: str | None) -> list[Manifest]:
        """List the Deployments of operators in a namespace, or in all."""
        place = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        selector = urlencode({"labelSelector": f"app.kubernetes.io/name={names.MANAGED_BY}"})
        path = f"/apis/apps/v1{place}/deployments?{selector}"
        return (await self.requests.request("GET", path))["items"]

    async def namespaces(self) -> list[Manifest]:
        """List the namespaces."""
        return (await self.requests.request("GET", "/api/v1/namespaces"))["items"]

    async def revisions(self, name: str) -> list[Manifest]:
        """List the ControllerRevisions of an agent, the newest first."""
        found = await self._children("controllerrevisions", name)
        return sorted(found, key=lambda body: body.get("revision", 0), reverse=True)

    async def deployments(self, name: str) -> list[Manifest]:
        """List the Deployments of an agent's revisions."""
        return await self._children("deployments", name)

    async def config_map(self, name: str) -> Manifest | None:
        """Get a ConfigMap; None if it does not exist."""
        try:
            return await self.requests.request(
                "GET", f"/api/v1/namespaces/{self.namespace}/configmaps/{quote(name)}"
            )
        except NotFoundError:
            return None

    async def patch(self, name: str, patch: Any, content_type: str) -> Manifest:
        """Patch a ChatAgent and return it as stored."""
        path = f"{self._agent(name)}?fieldManager={FIELD_MANAGER}"
        return await self.requests.request("PATCH", path, patch, content_type)

    def service(self, name: str, port: int, path: str) -> str:
        """Return the path of a Service behind the API server's proxy."""
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


def _no_such_kind() -> CommandError:
    return CommandError(
        f"this cluster has no resource {PLURAL}.{GROUP}; install the operator with its "
        "CustomResourceDefinition, or check --context"
    )
