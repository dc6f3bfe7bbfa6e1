"""Writes to the API server: server-side apply, deletion, scale, status and Events, as raw JSON.

Everything is idempotent and nothing is retried here: the queue tries again with back-off.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config  # pyright: ignore[reportMissingTypeStubs]

from chatagent_operator.api.group import API_VERSION, KIND
from chatagent_operator.core import names
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.kinds import REGISTRY
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.kube.errors import (
    ApiError,
    NotFoundError,
    NotLeaderError,
    RejectedError,
    StaleError,
    from_response,
)
from chatagent_operator.kube.fence import Fence, finish
from chatagent_operator.kube.store import Listing

FIELD_MANAGER = names.MANAGED_BY
TIMEOUT_SECONDS = 15.0
ALREADY_EXISTS = CONFLICT = 409
LOG_BYTES = 16 * 1024 * 1024
"""Most that is read of a pod's log; more than a kubelet keeps of one."""
PAGE = 500
"""Most objects in one answer of a list, as kubectl asks for."""

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_ONLY_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Kube:
    """One connection to one API server."""

    def __init__(self, api: client.ApiClient, fence: Fence | None = None) -> None:
        self._api = api
        self._fence = fence
        if fence:
            # Read when the first request makes the session.
            api.configuration.trace_configs = [fence.trace()]

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        fence: Fence | None = None,
    ) -> Kube:
        """Connect as a pod does where nothing is named, or else as kubectl does.

        Args:
            kubeconfig: its path.
            context: one of its contexts.
            fence: asked before every write; None: this process may always write.

        Raises:
            ConfigException: there is no configuration, or no such context in it.
        """
        configuration = client.Configuration()
        if kubeconfig is None and context is None:
            try:
                config.load_incluster_config(client_configuration=configuration)
                return cls(client.ApiClient(configuration), fence)
            except config.ConfigException:
                pass  # not in a pod
        await config.load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=configuration
        )
        return cls(client.ApiClient(configuration), fence)

    async def close(self) -> None:
        """Close the connection."""
        await self._api.close()

    async def apply(self, manifest: Manifest, digest: str, force: bool) -> Manifest:
        """Server-side apply; returns the object as stored.

        Args:
            force: take fields over that others have set. Without, that is a RejectedError.
            digest: remembered on the object, so that the next look can tell that it is current.
        """
        metadata = manifest["metadata"]
        annotated = manifest | {
            "metadata": metadata
            | {"annotations": metadata.get("annotations", {}) | {names.APPLIED_ANNOTATION: digest}}
        }
        path = _path(manifest["kind"], metadata["namespace"], metadata["name"])
        query = f"?fieldManager={FIELD_MANAGER}&force={str(force).lower()}"
        return await self.request("PATCH", path + query, annotated, _APPLY)

    async def create(self, manifest: Manifest) -> None:
        """Create an object, unless there is one of its name."""
        path = _path(manifest["kind"], manifest["metadata"]["namespace"])
        try:
            await self.request("POST", f"{path}?fieldManager={FIELD_MANAGER}", manifest)
        except RejectedError as error:
            if error.status != ALREADY_EXISTS:
                raise

    async def scale(self, namespace: str, name: str, replicas: int) -> Manifest:
        """Change the replicas of a Deployment; returns the Deployment."""
        path = _path("Deployment", namespace, name) + f"?fieldManager={FIELD_MANAGER}"
        return await self.request("PATCH", path, {"spec": {"replicas": replicas}}, _MERGE)

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and, in the background, what it owns. One that is gone is fine."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self.request("DELETE", _path(kind, namespace, name), options)
        except NotFoundError:
            return

    async def secret(self, namespace: str, name: str, key: str) -> str | None:
        """A value of a Secret; None where there is none, or the operator may not read it."""
        try:
            body = await self.request("GET", _path("Secret", namespace, name))
        except (NotFoundError, RejectedError):
            return None
        value = (body.get("data") or {}).get(key)
        return base64.b64decode(value).decode() if value else None

    async def require_crd(self, namespace: str | None) -> None:
        """Make sure that there are ChatAgents to watch.

        Raises:
            NotFoundError: the CustomResourceDefinition is not installed.
        """
        await self.request("GET", _path(KIND, namespace) + "?limit=1")

    async def list_uids(self, kind: str, namespace: str | None, selector: str | None) -> Listing:
        """All that there is of a kind, without what is in it.

        Args:
            namespace: None: all of them.
            selector: of labels.

        Raises:
            ApiError: the server refused or did not answer, be it for one page only.
        """
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        uids: set[str] = set()
        version = None
        while True:
            path = f"{_path(kind, namespace)}?{urlencode(query)}"
            page = await self.request("GET", path, accept=_ONLY_METADATA)
            uids.update(item["metadata"]["uid"] for item in page["items"] or [])
            if version is None:  # that of the first page is every page's
                version = int(page["metadata"]["resourceVersion"])
            if not (rest := page["metadata"].get("continue")):
                return Listing(kind, namespace, version, frozenset(uids))
            query["continue"] = rest

    async def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """An object that is not watched; None where there is none, or no such kind."""
        try:
            return await self.request("GET", _path(kind, namespace, name))
        except NotFoundError:
            return None

    async def get_agent(self, namespace: str, name: str) -> Manifest:
        """A ChatAgent.

        Raises:
            NotFoundError: there is none of that name.
        """
        return await self.request("GET", _path(KIND, namespace, name))

    async def patch_agent(self, namespace: str, name: str, patch: Manifest) -> Manifest:
        """Merge a patch into a ChatAgent; returns it."""
        path = _path(KIND, namespace, name) + "?fieldManager=kubectl-chatagent"
        return await self.request("PATCH", path, patch, _MERGE)

    async def write_status(
        self, namespace: str, name: str, status: Manifest, resource_version: int
    ) -> Manifest:
        """Replace the fields of a ChatAgent's status; returns the ChatAgent.

        Args:
            resource_version: that of the ChatAgent that the status was made from. A new leader
                whose watch is behind must not undo what the previous one wrote last.

        Raises:
            StaleError: the ChatAgent has changed since.
        """
        path = _path(KIND, namespace, name) + f"/status?fieldManager={FIELD_MANAGER}"
        body = {"metadata": {"resourceVersion": str(resource_version)}, "status": status}
        try:
            return await self.request("PATCH", path, body, _MERGE)
        except RejectedError as error:
            if error.status == CONFLICT:
                raise StaleError(error.status, error.message) from error
            raise

    async def create_event(self, namespace: str, name: str, uid: str, record: EventRecord) -> None:
        """Create an Event about a ChatAgent."""
        now = datetime.now(UTC)
        stamp = now.isoformat(timespec="seconds").replace("+00:00", "Z")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{name}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": namespace,
                "name": name,
                "uid": uid,
            },
            "type": record.type,
            "reason": record.reason,
            "message": record.message[:1024],
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        await self.request("POST", _path("Event", namespace), event)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        limit: float = TIMEOUT_SECONDS,
    ) -> Manifest:
        """One request; returns the answer's JSON.

        Args:
            limit: seconds that it may take. A write of a leader ends before its Lease does.

        Raises:
            NotLeaderError: it is a write, and this process is not the leader.
            ApiError: the server refused or did not answer, or not with JSON.
        """
        exchange = self._exchange(method, path, body, content_type, accept, limit)
        if self._fence and self._fence.covers(method, path):
            return await finish(exchange)
        return await exchange

    async def _exchange(
        self, method: str, path: str, body: Any, content_type: str, accept: str, limit: float
    ) -> Manifest:
        headers = {"Accept": accept}
        response = await self._send(method, path, body, content_type, limit, headers)
        try:
            text: bytes = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unanswered(method, path, error) from error
        if response.status >= 400:
            raise from_response(response.status, text)
        try:
            return cast(Manifest, json.loads(text))
        except ValueError as error:
            raise ApiError(0, f"{method} {path}: the answer is no JSON: {text[:200]!r}") from error

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        """One request; yields the lines of its answer as they come.

        Args:
            headers: beside the usual ones.
            silence: seconds without a byte after which it has ended.

        Raises:
            ApiError: the server refused, did not answer, or broke off.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=silence)
        sent = await self._send(method, path, body, "application/json", timeout, headers)
        response: aiohttp.ClientResponse = sent.response  # what it is wrapped in reads it whole
        rest = b""
        try:
            if response.status >= 400:
                raise from_response(response.status, await response.read())
            async for piece in response.content.iter_any():
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield line
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            response.close()
        if rest:
            yield rest

    async def log(self, namespace: str, pod: str) -> str:
        """What the container of a pod has written so far.

        Raises:
            NotFoundError: there is no such pod.
            ApiError: its node does not give it.
        """
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log?limitBytes={LOG_BYTES}"
        lines = self.lines("GET", path, None, {"Accept": "*/*"}, TIMEOUT_SECONDS)
        return b"\n".join([line async for line in lines]).decode(errors="replace")

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        content_type: str,
        limit: Any,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        headers: dict[str, str] = {"Content-Type": content_type, "Accept": "application/json"}
        headers |= more or {}
        query: list[tuple[str, str]] = []
        await self._api.update_params_for_auth(headers, query, ["BearerToken"], path, method, body)
        url = self._api.configuration.host + path
        if self._fence:
            left = self._fence.check(method, path)
            limit = limit if isinstance(limit, aiohttp.ClientTimeout) else min(limit, left)
        try:
            return await self._api.call_api(
                method, url, headers, body, _request_timeout=limit, _preload_content=False
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unanswered(method, path, error) from error

    def _unanswered(self, method: str, path: str, error: Exception) -> ApiError:
        try:
            if self._fence:
                self._fence.check(method, path)
        except NotLeaderError as refused:
            return refused
        return ApiError(0, f"{method} {path}: {error or type(error).__name__}")


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    return REGISTRY[kind].path(namespace, name)
