"""What is known of the cluster: what the watches brought, and what was written since.

A write is known before the watch reports it; without that, a look right after a write would see
the old object and write again.

A watch that lost its place (410 Gone) begins anew with a list, and of what was deleted in between
kopf never learns: its indices go on holding it. An audit compares them with what there is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from chatagent_operator.api.group import KIND
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import Child, Observed, content_digest, project

WATCH_LAG_SECONDS = 10.0
"""How long a write is believed that no watch has reported."""


class Index(Protocol):
    """A kopf index: several values for a key, one of each object that has it."""

    def get(self, key: Any, default: Any = None, /) -> Iterable[Any] | None:
        """The values of a key."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """The keys."""
        ...


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """A ChatAgent as the watch brought it."""

    name: str
    uid: str
    generation: int
    resource_version: int
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A ConfigMap that an agent may read documents or questions from."""

    name: str
    uid: str
    resource_version: int
    digest: str
    """Of its content."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that there was of a kind at one moment."""

    kind: str
    namespace: str | None
    """Where; None: everywhere."""

    resource_version: int
    """The moment: what was written later has a higher one."""

    uids: frozenset[str]


_Held = TypeVar("_Held", AgentRecord, Child, Source)


class Store:
    """The one view of the cluster that decisions are made on."""

    def __init__(self, agents: Index, sources: Index, children: Mapping[str, Index]) -> None:
        self._agents = agents
        self._sources = sources
        self._children = children
        self._statuses: dict[Key, AgentRecord] = {}
        self._gone: dict[str, float] = {}
        """By uid, the resource version at which an object was not there (any more)."""

        self._written: dict[Key, dict[tuple[str, str], tuple[float, Child]]] = {}

    def keys(self) -> list[Key]:
        """Return the keys of all ChatAgents."""
        return list(self._agents)

    def agent(self, key: Key) -> AgentRecord | None:
        """A ChatAgent; None where there is none (any more)."""
        records: list[AgentRecord] = self._present(self._agents.get(key))
        if not records:
            self._statuses.pop(key, None)
            self._written.pop(key, None)
            return None
        seen = records[-1]
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
            for child in self._present(index.get(key))
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
        sources: list[Source] = self._present(self._sources.get(namespace))
        return Observed(children, {each.name: each.digest for each in sources})

    def readers(self, namespace: str, config_map: str) -> list[Key]:
        """Agents that read documents or questions from a ConfigMap."""
        return [
            key
            for key in self._agents
            if key[0] == namespace
            and any(_reads(agent, config_map) for agent in self._agents.get(key) or ())
        ]

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
        self._gone[uid] = math.inf  # for good

    def audit(self, listing: Listing) -> set[tuple[Key, str]]:
        """Hide what the indices hold and the API server does not.

        Returns:
            What was not hidden before: each agent that it matters to, and its name.
        """
        self._forget()
        gone: set[str] = set()
        found: set[tuple[Key, str]] = set()
        for index in self._indices(listing.kind):
            for key in index:
                namespace = key if isinstance(key, str) else key[0]
                if listing.namespace not in (None, namespace):
                    continue
                for held in self._present(index.get(key)):
                    if held.uid in listing.uids:
                        continue
                    if held.resource_version >= listing.resource_version:
                        continue  # it is younger than the list
                    gone.add(held.uid)
                    agents = self.readers(key, held.name) if isinstance(key, str) else [key]
                    found.update((agent, held.name) for agent in agents)
        self._gone |= dict.fromkeys(gone, listing.resource_version)
        return found

    def _indices(self, kind: str) -> list[Index]:
        if kind == KIND:
            return [self._agents]
        return [self._children[kind], *([self._sources] if kind == "ConfigMap" else [])]

    def _present(self, held: Iterable[_Held] | None) -> list[_Held]:
        """What is not known to be gone, the newest last: of two with one name it counts."""
        there = [each for each in held or () if not self._is_gone(each.uid, each.resource_version)]
        return sorted(there, key=lambda each: each.resource_version)

    def _is_gone(self, uid: str, resource_version: int) -> bool:
        # What is written later is there again: an object that is given its labels back.
        return resource_version < self._gone.get(uid, 0)

    def _forget(self) -> None:
        """Forget what is gone from the indices too."""
        if self._gone:
            indices = [self._agents, self._sources, *self._children.values()]
            held = {each.uid for index in indices for key in index for each in index.get(key) or ()}
            self._gone = {uid: since for uid, since in self._gone.items() if uid in held}

    def wrote_agent(self, key: Key, body: Mapping[str, Any]) -> None:
        """Remember a ChatAgent as the API server returned it from a write."""
        self._statuses[key] = record(body)


def record(body: Mapping[str, Any]) -> AgentRecord:
    """A ChatAgent from its JSON."""
    metadata = body["metadata"]
    return AgentRecord(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        resource_version=int(metadata["resourceVersion"]),
        annotations=dict(metadata.get("annotations") or {}),
        spec=dict(body.get("spec") or {}),
        status=dict(body.get("status") or {}),
    )


def source(body: Mapping[str, Any]) -> Source:
    """A ConfigMap from its JSON."""
    metadata = body["metadata"]
    return Source(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        digest=content_digest(body),
    )


def _reads(agent: AgentRecord, config_map: str) -> bool:
    sources = (agent.spec.get("knowledge") or {}).get("sources") or []
    analysis = (agent.spec.get("rollout") or {}).get("analysis") or {}
    named = [*sources, analysis.get("evaluation") or {}]
    return any((each.get("configMap") or {}).get("name") == config_map for each in named)
