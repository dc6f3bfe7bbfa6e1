"""What is known of the cluster: what the watches brought, and what was written since.

A write is known before the watch reports it; without that, a look right after a write would see
the old object and write again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chatagent_operator.core.names import Key
from chatagent_operator.core.observed import Child, Observed, project

WATCH_LAG_SECONDS = 10.0
"""How long a write is believed that no watch has reported."""


class Index(Protocol):
    """A kopf index: several values for a key, one of each object that has it."""

    def get(self, key: Any, default: Any = None, /) -> Iterable[Any] | None:
        """The values of a key."""
        ...


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """A ChatAgent as the watch brought it."""

    uid: str
    generation: int
    resource_version: int
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]


class Store:
    """The one view of the cluster that decisions are made on."""

    def __init__(self, agents: Index, sources: Index, children: Mapping[str, Index]) -> None:
        self._agents = agents
        self._sources = sources
        self._children = children
        self._statuses: dict[Key, AgentRecord] = {}
        self._gone: set[str] = set()
        self._written: dict[Key, dict[tuple[str, str], tuple[float, Child]]] = {}

    def agent(self, key: Key) -> AgentRecord | None:
        """A ChatAgent; None where there is none (any more)."""
        seen: AgentRecord | None = next(iter(self._agents.get(key) or ()), None)
        if seen is None or seen.uid in self._gone:
            self._statuses.pop(key, None)
            self._written.pop(key, None)
            return None
        written = self._statuses.get(key)
        if (
            written
            and written.uid == seen.uid
            and (written.resource_version > seen.resource_version)
        ):
            return written
        self._statuses.pop(key, None)
        return seen

    def observed(self, key: Key) -> Observed:
        """Everything known of an agent's children."""
        namespace, _ = key
        children: dict[tuple[str, str], Child] = {
            (kind, child.name): child
            for kind, index in self._children.items()
            for child in index.get(key) or ()
        }
        written = self._written.get(key, {})
        for identity, (since, child) in list(written.items()):
            seen = children.get(identity)
            if seen and seen.resource_version >= child.resource_version:
                del written[identity]
            elif time.monotonic() - since > WATCH_LAG_SECONDS:
                del written[identity]  # deleted by somebody before the watch ever saw it
            else:
                children[identity] = child
        sources = dict(self._sources.get(namespace) or ())
        return Observed(children, sources)

    def wrote_child(self, key: Key, body: Mapping[str, Any]) -> None:
        """Remember an object as the API server returned it from a write."""
        child = project(body["kind"], body)
        if child:
            written = self._written.setdefault(key, {})
            written[child.kind, child.name] = (time.monotonic(), child)

    def deleted_child(self, key: Key, kind: str, name: str) -> None:
        """Forget a write to an object that is gone."""
        self._written.get(key, {}).pop((kind, name), None)

    def lost_agent(self, uid: str) -> None:
        """Remember that a ChatAgent is gone, of which no watch may have told."""
        self._gone.add(uid)

    def wrote_agent(self, key: Key, body: Mapping[str, Any]) -> None:
        """Remember a ChatAgent as the API server returned it from a write."""
        self._statuses[key] = record(body)


def record(body: Mapping[str, Any]) -> AgentRecord:
    """A ChatAgent from its JSON."""
    metadata = body["metadata"]
    return AgentRecord(
        uid=metadata["uid"],
        generation=metadata["generation"],
        resource_version=int(metadata["resourceVersion"]),
        annotations=dict(metadata.get("annotations") or {}),
        spec=dict(body.get("spec") or {}),
        status=dict(body.get("status") or {}),
    )
