"""What is known of the cluster: what the reflectors report, and what was written since.

A write is known before its watch reports it; without that, a reconciliation right after a write
would see the old object and write again. Indices are kept with each change; nothing is scanned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from chatagent_operator.api.group import KIND
from chatagent_operator.core import names
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.facts import JobFacts, PodFacts, WorkloadFacts
from chatagent_operator.core.observed.objects import Child, Observed, project
from chatagent_operator.core.observed.trouble import Trouble, parse_event

WATCH_LAG_SECONDS = 10.0
"""How long a write is believed whose kind is not watched."""

MAX_DELETED_REVISIONS = 4
"""Deleted ControllerRevisions of an agent that are remembered: more than have pods at a time."""

Identity = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """A ChatAgent as its watch reports it."""

    name: str
    uid: str
    generation: int
    resource_version: int
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Labelled:
    """An object with the operator's label."""

    agent: Key | None
    """The agent that it says it belongs to."""

    kind: str
    name: str
    uid: str
    resource_version: int
    child: Child | None
    """None: it is being deleted."""


@dataclass(frozen=True, slots=True)
class Source:
    """A ConfigMap, of which only the version is known."""

    uid: str
    resource_version: int


@dataclass(frozen=True, slots=True)
class FailedStart:
    """An Event that says that a pod cannot be created or started."""

    uid: str
    resource_version: int
    namespace: str
    about: Identity
    """The StatefulSet, Job or Pod."""

    about_uid: str
    trouble: Trouble


class Store:
    """The one view of the cluster that decisions are made on."""

    def __init__(
        self,
        mark: Callable[[Key], object] = lambda key: None,
        mark_soon: Callable[[Key], object] = lambda key: None,
        position: Callable[[str, str], int | None] = lambda kind, namespace: None,
        forget_source: Callable[[Key], object] = lambda key: None,
    ) -> None:
        """
        Args:
            mark: is called with each agent that a person changed.
            mark_soon: is called with each agent whose objects changed, often many at once.
            position: resource version up to which a kind has been seen in a namespace; None: it
                is not watched there.
            forget_source: is called with each ConfigMap that no agent names any more.
        """
        self._mark = mark
        self._mark_soon = mark_soon
        self._position = position
        self._forget_source = forget_source
        self._agents: dict[Key, AgentRecord] = {}
        self._readers: dict[Key, set[Key]] = {}
        self._children: dict[Key, dict[Identity, Child]] = {}
        self._deleted_revisions: dict[Key, dict[str, Child]] = {}
        """By the name of the ControllerRevision, the last one at the end."""
        self._statuses: dict[Key, AgentRecord] = {}
        self._written: dict[Key, dict[Identity, tuple[float, Child]]] = {}
        self._failed_starts: dict[tuple[str, Identity], FailedStart] = {}
        """The newest about each object, by namespace: until it has its pods, or has started."""
        self._verified: dict[Key, dict[Identity, tuple[str | None, bytes]]] = {}

    # What the reflectors report.

    def agent_changed(self, key: Key, old: AgentRecord | None, new: AgentRecord | None) -> None:
        """A ChatAgent is new, changed or gone."""
        before, after = _sources_of(key, old), _sources_of(key, new)
        for source in before - after:
            self._readers[source].discard(key)
            if not self._readers[source]:
                del self._readers[source]
                self._forget_source(source)
        for source in after - before:
            self._readers.setdefault(source, set()).add(key)
        if new:
            self._agents[key] = new
        else:
            del self._agents[key]
            self._deleted_revisions.pop(key, None)
            if key in self._statuses and old and self._statuses[key].uid == old.uid:
                del self._statuses[key]
        if _differ(old, new):
            mark = self._mark_soon if _is_status_change(old, new) else self._mark
            mark(key)

    def child_changed(self, key: Key, old: Labelled | None, new: Labelled | None) -> None:
        """An object with the operator's label is new, changed or gone."""
        if old and old.agent and old.child:
            children = self._children.get(old.agent, {})
            children.pop((old.kind, old.name), None)
            if not children:
                self._children.pop(old.agent, None)
            if old.kind == "ControllerRevision" and not (new and new.child):
                self._remember_deleted(old.agent, old.child)
        if new and new.agent and new.child:
            self._children.setdefault(new.agent, {})[new.kind, new.name] = new.child
            if not _may_fail_to_start(new.child):  # what an older Event says is over
                self._failed_starts.pop((key[0], (new.kind, new.name)), None)
        if _differ(old, new):
            for agent in {each.agent for each in (old, new) if each and each.agent}:
                self._mark_soon(agent)

    def _remember_deleted(self, key: Key, revision: Child) -> None:
        if key not in self._agents:
            return
        deleted = self._deleted_revisions.setdefault(key, {})
        deleted.pop(revision.name, None)
        deleted[revision.name] = revision
        if len(deleted) > MAX_DELETED_REVISIONS:
            del deleted[next(iter(deleted))]

    def start_failed(self, key: Key, old: FailedStart | None, new: FailedStart | None) -> None:
        """An Event about pods that cannot be created or started is new, repeated or has expired."""
        for each in (old, new):
            if each is None:
                continue
            place = each.namespace, each.about
            if each is new:
                self._failed_starts[place] = each
            elif self._failed_starts.get(place) == each:
                del self._failed_starts[place]
            for agent, children in self._children.items():
                if agent[0] == each.namespace and each.about in children:
                    self._mark_soon(agent)

    def source_changed(self, key: Key) -> None:
        """A ConfigMap is new, changed or gone, from which documents or questions may be read."""
        for agent in self._readers.get(key, ()):
            self._mark_soon(agent)

    def listed(self, kind: str, namespace: str | None, went_back: bool) -> None:
        """A kind was listed as a whole: what was written and is not there any more is gone.

        Args:
            namespace: where; None: everywhere.
            went_back: the versions of the list are lower than known ones: the cluster was restored
                from a backup, and nothing that was written before counts.
        """
        if kind == KIND:
            if went_back:
                self._statuses.clear()
            return
        for key, written in list(self._written.items()):
            if namespace not in (None, key[0]):
                continue
            for identity, (_, child) in list(written.items()):
                if identity[0] != kind or not (went_back or self._is_known(key, child)):
                    continue
                del written[identity]
                if identity not in self._children.get(key, {}):
                    self._mark_soon(key)

    # What was written.

    def wrote_agent(self, key: Key, body: Mapping[str, Any]) -> None:
        """Remember a ChatAgent as the API server returned it from a write."""
        self._statuses[key] = record(body)

    def wrote_child(
        self, key: Key, body: Mapping[str, Any], *, is_as_desired: bool = False
    ) -> None:
        """Remember an object as the API server returned it from a write.

        Args:
            is_as_desired: whether all that is desired was applied to it.
        """
        child = project(body["kind"], body)
        if child:
            written = self._written.setdefault(key, {})
            written[child.kind, child.name] = (time.monotonic(), child)
            if is_as_desired:
                verified = self._verified.setdefault(key, {})
                verified[child.kind, child.name] = (child.applied, child.live)

    def deleted_child(self, key: Key, kind: str, name: str) -> None:
        """Forget a write to an object that was deleted."""
        self._written.get(key, {}).pop((kind, name), None)

    # What decisions are made on.

    def keys(self) -> list[Key]:
        """Return the keys of all ChatAgents."""
        return list(self._agents)

    def statuses(self) -> list[tuple[Key, Mapping[str, Any]]]:
        """Return the status of each ChatAgent. It may be called in another thread."""
        return [
            (key, self._newest(seen, self._statuses.get(key)).status)
            for key, seen in list(self._agents.items())
        ]

    def sources(self) -> list[Key]:
        """The ConfigMaps that agents name, whether they exist or not."""
        return list(self._readers)

    def agent(self, key: Key) -> AgentRecord | None:
        """A ChatAgent; None where there is none (any more)."""
        seen = self._agents.get(key)
        written = self._statuses.get(key)
        if seen is None:
            self._statuses.pop(key, None)
            self._written.pop(key, None)
            self._verified.pop(key, None)
            return None
        newest = self._newest(seen, written)
        if newest is seen:
            self._statuses.pop(key, None)
        return newest

    def observed(self, key: Key) -> Observed:
        """Everything known of an agent's children; nothing of its documents."""
        children = dict(self._children.get(key, {}))
        written = self._written.get(key, {})
        for identity, (since, child) in list(written.items()):
            if self._is_outdated(key, child, since):
                del written[identity]  # by now the watch has the last word
            else:
                children[identity] = child
        refused: dict[Identity, Trouble] = {}
        for identity, child in list(children.items()):
            failed = self._failed_starts.get((key[0], identity))
            if failed is None or failed.about_uid != child.uid or not _may_fail_to_start(child):
                continue
            if not isinstance(child.facts, PodFacts):
                refused[identity] = failed.trouble
            elif child.facts.trouble is None:
                facts = replace(child.facts, trouble=failed.trouble)
                children[identity] = replace(child, facts=facts)
        deleted = self._deleted_revisions.get(key, {})
        verified = self._verified.setdefault(key, {})
        return Observed(children, refused=refused, deleted_revisions=deleted, verified=verified)

    def _newest(self, seen: AgentRecord, written: AgentRecord | None) -> AgentRecord:
        if written and written.uid == seen.uid and written.resource_version > seen.resource_version:
            return written
        return seen

    def _is_outdated(self, key: Key, written: Child, since: float) -> bool:
        if self._position(written.kind, key[0]) is None:
            return time.monotonic() - since > WATCH_LAG_SECONDS
        return self._is_known(key, written)

    def _is_known(self, key: Key, written: Child) -> bool:
        """Whether the watch has reported everything up to a write, so that it has the last word."""
        position = self._position(written.kind, key[0])
        return position is not None and position >= written.resource_version


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


def live_record(body: Mapping[str, Any]) -> AgentRecord | None:
    """A ChatAgent from its JSON; None: it is being deleted.

    Then it is reconciled no more, whatever keeps it: its objects are deleted before it or lose
    their owner, as the deletion asks for, and must not be recreated or adopted again meanwhile.
    """
    return None if body["metadata"].get("deletionTimestamp") else record(body)


def labelled(kind: str, body: Mapping[str, Any]) -> Labelled:
    """An object with the operator's label from its JSON, which need not say its kind."""
    metadata = body["metadata"]
    agent = (metadata.get("labels") or {}).get(names.AGENT_LABEL)
    return Labelled(
        agent=(metadata.get("namespace") or "", agent) if agent else None,
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        child=project(kind, body),
    )


def failed_start(body: Mapping[str, Any]) -> FailedStart | None:
    """What an Event says of pods that cannot start; None where it is about something else."""
    metadata, about = body["metadata"], body["involvedObject"]
    trouble = parse_event(body)
    if trouble is None:
        return None
    return FailedStart(
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        namespace=metadata.get("namespace") or "",
        about=(about["kind"], about.get("name", "")),
        about_uid=about.get("uid", ""),
        trouble=trouble,
    )


def source(body: Mapping[str, Any]) -> Source:
    """A ConfigMap from its metadata."""
    metadata = body["metadata"]
    return Source(metadata["uid"], int(metadata["resourceVersion"]))


def _may_fail_to_start(child: Child) -> bool:
    """Whether pods are not created yet, or a pod has not started."""
    if isinstance(child.facts, PodFacts):
        return child.facts.is_unprepared
    return isinstance(child.facts, WorkloadFacts | JobFacts) and child.facts.lacks_pods


def _sources_of(key: Key, agent: AgentRecord | None) -> set[Key]:
    """The ConfigMaps that an agent's spec names, whether or not the rest of it can be read."""
    if agent is None:
        return set()
    sources = _get(agent.spec, "knowledge", "sources")
    evaluation = _get(agent.spec, "rollout", "analysis", "evaluation")
    each = [*(cast(list[Any], sources) if isinstance(sources, list) else []), evaluation]
    found = (_get(one, "configMap", "name") for one in each)
    return {(key[0], name) for name in found if isinstance(name, str)}


def _get(value: Any, *path: str) -> Any:
    for name in path:
        value = cast(dict[str, Any], value).get(name) if isinstance(value, dict) else None
    return value


def _is_status_change(old: AgentRecord | None, new: AgentRecord | None) -> bool:
    """Whether it was the operator itself that changed an agent."""
    if old is None or new is None:
        return False
    unchanged = replace(new, status=old.status, resource_version=old.resource_version)
    return unchanged == old


def _differ(old: AgentRecord | Labelled | None, new: AgentRecord | Labelled | None) -> bool:
    """Whether two versions of an object differ in anything that a decision depends on."""
    if old is None or new is None or type(old) is not type(new):
        return old is not new
    version = new.resource_version
    old = replace(old, resource_version=version)
    if isinstance(old, Labelled) and old.child:
        old = replace(old, child=replace(old.child, resource_version=version))
    return old != new
