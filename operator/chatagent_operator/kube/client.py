"""Writes to the API server: server-side apply, deletion, scale, status and Events, as raw JSON.

Everything is idempotent and nothing is retried here: the queue tries again with back-off.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from chatagent_operator.api.group import API_VERSION, KIND
from chatagent_operator.core import names
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.kinds import CHAT_AGENT, REGISTRY, Kind
from chatagent_operator.core.managed_fields import join_entries
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.kube.connection import TIMEOUT_SECONDS, Connection
from chatagent_operator.kube.errors import (
    CONFLICT,
    ApiError,
    NotFoundError,
    RejectedError,
    StaleError,
)

FIELD_MANAGER = names.MANAGED_BY
METADATA_MANAGER = f"{FIELD_MANAGER}-metadata"
"""Of changes of the metadata alone: they are not in the entry that tells when the data of a Secret
was written."""
LOG_BYTES = 8 * 1024 * 1024
"""Most that is read of a pod's log: eight times what a report stores of it."""

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_TEST_FAILED = "the server rejected our request due to an error in our request"
"""What the API server says where a `test` of a JSON Patch fails."""
_ONLY_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MAX_APPLIES = 4
"""Of one object, while others change it between an apply and the next request."""
PAGE = 500
"""Most objects in one answer of a list, as kubectl asks for."""


class Kube(Connection):
    """What the operator and the command line do with objects, on one connection."""

    async def apply(self, manifest: Manifest, digest: str) -> Manifest:
        """Server-side apply to an object of the agent, which takes over fields that others have
        set; returns the object as stored.

        Args:
            digest: stored on the object, by which the next reconciliation sees whether it is
                current.
        """
        metadata = manifest["metadata"]
        path = _path(manifest["kind"], metadata["namespace"], metadata["name"])
        path += f"?fieldManager={FIELD_MANAGER}"
        annotated = _annotate(manifest, digest)
        for _ in range(MAX_APPLIES):
            body = await self.request("PATCH", f"{path}&force=true", annotated, _APPLY)
            entries = join_entries(body["metadata"], FIELD_MANAGER, METADATA_MANAGER)
            if entries is None:
                return body
            # It was created or scaled: fields of then that are not desired any more are removed.
            patch = [
                _replace("/metadata/managedFields", entries),
                _replace("/metadata/resourceVersion", body["metadata"]["resourceVersion"]),
            ]
            try:
                await self.request("PATCH", path, patch, _JSON_PATCH)
            except RejectedError as error:
                if error.status != CONFLICT:
                    raise
        raise ApiError(CONFLICT, f"{manifest['kind']} {metadata['name']} changes too often")

    async def create(self, manifest: Manifest, digest: str | None = None) -> Manifest | None:
        """Create an object; returns it as stored, None: there is one of its name.

        Args:
            digest: as in `apply`. None: it is not stored.
        """
        path = _path(manifest["kind"], manifest["metadata"]["namespace"])
        # As an apply does, it rejects a field that the API server does not know.
        path += f"?fieldManager={FIELD_MANAGER}&fieldValidation=Strict"
        body = _annotate(manifest, digest) if digest else manifest
        try:
            return await self.request("POST", path, body)
        except RejectedError as error:
            if error.status != CONFLICT or error.reason != "AlreadyExists":
                raise
            return None

    async def find_metadata(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The metadata of an object; None where there is none. It needs permission to list."""
        page = await self._list(
            REGISTRY[kind], (namespace,), _ONLY_METADATA, fieldSelector=f"metadata.name={name}"
        )
        found = page.get((namespace, name))
        return found["metadata"] if found else None

    async def patch_metadata(
        self, kind: str, namespace: str, name: str, metadata: Manifest
    ) -> Manifest:
        """Merge a patch into the metadata of an object; returns it."""
        path = _path(kind, namespace, name) + f"?fieldManager={METADATA_MANAGER}"
        return await self.request("PATCH", path, {"metadata": metadata}, _MERGE)

    async def scale(self, namespace: str, name: str, replicas: int) -> Manifest:
        """Change the replicas of a Deployment; returns the Deployment."""
        path = _path("Deployment", namespace, name) + f"?fieldManager={FIELD_MANAGER}"
        return await self.request("PATCH", path, {"spec": {"replicas": replicas}}, _MERGE)

    async def delete(self, kind: str, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object and, in the background, what it owns. One that is gone is fine.

        Args:
            uid: of the object; empty: any object of this name.

        Raises:
            StaleError: another object has the name now.
        """
        options: Manifest = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self.request("DELETE", _path(kind, namespace, name), options)
        except NotFoundError:
            return
        except RejectedError as error:
            if error.status == CONFLICT:
                raise StaleError(error.status, error.message) from error
            raise

    async def secret(self, namespace: str, name: str, key: str) -> str | None:
        """A value of a Secret; None where there is none, or the operator may not read it."""
        try:
            body = await self.request("GET", _path("Secret", namespace, name))
        except (NotFoundError, RejectedError):
            return None
        value = (body.get("data") or {}).get(key)
        return base64.b64decode(value).decode() if value else None

    async def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """An object that is not watched; None where there is none, or no such kind."""
        try:
            return await self.request("GET", _path(kind, namespace, name))
        except NotFoundError:
            return None

    async def list_labels(
        self, kind: Kind, namespaces: Sequence[str]
    ) -> dict[names.Key, Mapping[str, str]]:
        """List the labels of the operator's own objects of a kind that is not watched, by namespace
        and name; none where the cluster lacks the kind.

        Args:
            namespaces: where; empty: everywhere.
        """
        selector = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}"
        try:
            found = await self._list(kind, namespaces, _ONLY_METADATA, labelSelector=selector)
        except NotFoundError:
            return {}
        return {key: item["metadata"].get("labels") or {} for key, item in found.items()}

    async def list_agents(self, namespaces: Sequence[str]) -> dict[names.Key, Manifest]:
        """List the ChatAgents as they are now, by namespace and name.

        Args:
            namespaces: where; empty: everywhere.
        """
        return await self._list(CHAT_AGENT, namespaces)

    async def _list(
        self,
        kind: Kind,
        namespaces: Sequence[str],
        accept: str = "application/json",
        **selectors: str,
    ) -> dict[names.Key, Manifest]:
        found: dict[names.Key, Manifest] = {}
        for namespace in namespaces or (None,):
            query = {"limit": str(PAGE), **selectors}
            while True:
                path = f"{kind.path(namespace)}?{urlencode(query)}"
                page = await self.request("GET", path, accept=accept)
                for item in page["items"] or []:
                    metadata = item["metadata"]
                    found[metadata["namespace"], metadata["name"]] = item
                if not (following := page["metadata"].get("continue")):
                    break
                query["continue"] = following
        return found

    async def write_status(
        self, namespace: str, name: str, status: Manifest, uid: str, resource_version: int
    ) -> Manifest:
        """Replace a ChatAgent's status; returns the ChatAgent.

        Args:
            uid: of the ChatAgent that the status was made from. A cluster that is restored from a
                backup counts its versions again, and another agent may have the name by then.
            resource_version: of the same. A new leader whose watch is behind must not undo what
                the previous one wrote last.

        Raises:
            StaleError: the ChatAgent has changed since, or is another one of that name.
        """
        path = _path(KIND, namespace, name) + f"/status?fieldManager={FIELD_MANAGER}"
        operations = [
            # Not by a merge patch: the API server ignores the uid in one of a status.
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": str(resource_version)},
            {"op": "add", "path": "/status", "value": _drop_nulls(status)},
        ]
        try:
            return await self.request("PATCH", path, operations, _JSON_PATCH)
        except RejectedError as error:
            if error.status == CONFLICT or error.message == _TEST_FAILED:
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

    async def log(self, namespace: str, pod: str) -> str:
        """What the container of a pod has written so far.

        Raises:
            NotFoundError: there is no such pod.
            ApiError: its node does not give it.
        """
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log?limitBytes={LOG_BYTES}"
        lines = self.lines("GET", path, None, {"Accept": "*/*"}, TIMEOUT_SECONDS)
        return b"\n".join([line async for line in lines]).decode(errors="replace")


def _drop_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return {key: _drop_nulls(inner) for key, inner in fields.items() if inner is not None}
    if isinstance(value, list):
        return [_drop_nulls(inner) for inner in cast(list[Any], value)]
    return value


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    return REGISTRY[kind].path(namespace, name)


def _annotate(manifest: Manifest, digest: str) -> Manifest:
    metadata = manifest["metadata"]
    annotations = metadata.get("annotations", {}) | {names.APPLIED_ANNOTATION: digest}
    return manifest | {"metadata": metadata | {"annotations": annotations}}


def _replace(path: str, value: object) -> Manifest:
    return {"op": "replace", "path": path, "value": value}
