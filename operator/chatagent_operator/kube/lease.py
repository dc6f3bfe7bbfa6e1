"""A Lease as one client sees it: what it holds, since when it has not changed, and writes to it.

A write replaces the Lease that was seen, and is refused where it has changed since. The times in a
Lease are written for people; they come from the clocks of other machines and are never read here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol, cast

from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.fence import LEASES

NOT_FOUND = 404


class Client(Protocol):
    """The part of the API server's client that a Lease needs."""

    async def request(self, method: str, path: str, body: Any = None, *, limit: float) -> Any:
        """Send one request that may take `limit` seconds; return the answer's JSON."""
        ...


def write_time() -> str:
    """Return the time as the API server writes a MicroTime."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Lease:
    """One Lease, which need not exist yet."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        clock: Callable[[], float],
        now: Callable[[], str] = write_time,
        annotations: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            annotations: written with it.
        """
        self._client = client
        self._clock = clock
        self._now = now
        self._annotations = annotations
        self._name = name
        self._path = f"{LEASES}v1/namespaces/{namespace}/leases"
        self._body: dict[str, Any] = {}
        self._spec: dict[str, Any] = {}
        self._changed_at = -math.inf

    @property
    def exists(self) -> bool:
        """Whether there was one when it was read last."""
        return bool(self._body)

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations when it was read last."""
        return (self._body.get("metadata") or {}).get("annotations") or {}

    @property
    def holder(self) -> str:
        """Who held it when it was seen last, deleted or not; empty: nobody."""
        return str(self._spec.get("holderIdentity") or "")

    def expires_at(self, default_duration: float) -> float:
        """Return the time of the local clock at which it may be taken if it does not change."""
        duration = _count(self._spec.get("leaseDurationSeconds")) or default_duration
        return self._changed_at + duration

    async def read(self, limit: float) -> None:
        """Read it.

        Raises:
            ApiError: the server refused, did not answer, or answered with something else.
        """
        try:
            self._observe(await self._client.request("GET", self._object, limit=limit))
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            self._body = {}  # its holder may not know yet: what was seen of it still counts

    async def hold(self, identity: str, duration: float, limit: float) -> None:
        """Take it, or renew it where this identity holds it already.

        Raises:
            ApiError: with status 404 or 409 where another client was faster.
        """
        transitions = _count(self._spec.get("leaseTransitions"))
        held: dict[str, Any] = {"leaseDurationSeconds": max(1, round(duration))}
        if not self.exists or self.holder != identity:
            transitions = transitions + 1 if self.exists else 0
            held |= {"acquireTime": self._now()}
        await self._write(identity, held | {"leaseTransitions": transitions}, limit)

    async def release(self, limit: float) -> None:
        """Say that nobody holds it.

        Raises:
            ApiError: with status 404 or 409 where another client was faster.
        """
        await self._write("", {"leaseDurationSeconds": 1}, limit)

    @property
    def _object(self) -> str:
        return f"{self._path}/{self._name}"

    async def _write(self, holder: str, changes: dict[str, Any], limit: float) -> None:
        spec = (self._body.get("spec") or {}) | changes
        metadata: dict[str, Any] = dict(self._body.get("metadata") or {"name": self._name})
        if self._annotations:
            metadata["annotations"] = {**self.annotations, **self._annotations}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec | {"holderIdentity": holder, "renewTime": self._now()},
        }
        method, path = ("PUT", self._object) if self.exists else ("POST", self._path)
        self._observe(await self._client.request(method, path, body, limit=limit))
        if self.holder != holder:
            words = f"the holder should be {holder!r} and is {self.holder!r}"
            raise ApiError(0, f"{method} {path}: the answer is not what was written: {words}")

    def _observe(self, body: Any) -> None:
        """Remember what it is now. Its holder was alive when anything in its spec changed."""
        found = cast(dict[str, Any], body) if isinstance(body, dict) else {}
        metadata, spec = found.get("metadata"), found.get("spec") or {}
        if not isinstance(metadata, dict) or not metadata.get("resourceVersion"):
            raise ApiError(0, f"{self._object} is no Lease with a resourceVersion: {body!s:.200}")
        if not isinstance(spec, dict):
            raise ApiError(0, f"the spec of {self._object} is no object: {spec!s:.200}")
        self._body = found
        if spec != self._spec:
            self._spec = cast(dict[str, Any], spec)
            self._changed_at = self._clock()


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
