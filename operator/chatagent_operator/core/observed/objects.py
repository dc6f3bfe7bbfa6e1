"""The observed state of one agent: small projections of its API objects.

A stored object has tens of kilobytes; its projection has a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from chatagent_operator.api.status import WindowStatus
from chatagent_operator.core import names
from chatagent_operator.core.judging.analysis import Reading
from chatagent_operator.core.kinds import REGISTRY
from chatagent_operator.core.observed.applied_routes import Applied
from chatagent_operator.core.observed.facts import Body, Facts, PodFacts, WorkloadFacts
from chatagent_operator.core.observed.live import read_live
from chatagent_operator.core.observed.trouble import Trouble, is_replaced

_SERVING = ("ConfigMap", "Deployment", "Service")
"""Kinds of the objects that each serving revision has."""
POD = "Pod"
"""Made by others from templates, and not compared."""
TRANSIENT = timedelta(seconds=5)
"""Time for which a trouble that is often transient is not reported."""


@dataclass(frozen=True, slots=True)
class Child:
    """An object that the operator created, or a pod of one."""

    kind: str
    name: str
    uid: str
    role: str
    revision: str | None
    applied: str | None
    """Digest of the manifest that was last applied."""

    owner: str | None
    """UID of the controlling owner; empty: no owner controls it; None: it has no owner."""

    resource_version: int
    """Later versions of the same object have higher ones."""

    facts: Facts
    created: str = ""
    """When it was created, RFC 3339."""

    live: bytes = b""
    """What it has of what may be desired of it, compressed."""

    @property
    def serves(self) -> bool:
        """Whether the gateway needs the object to reach a revision."""
        return self.role == names.ROLE_AGENT and self.kind in _SERVING


@dataclass(frozen=True)
class Observed:
    """The observed state of one agent."""

    children: Mapping[tuple[str, str], Child] = field(default_factory=dict[tuple[str, str], Child])
    """By kind and name."""

    deleted_revisions: Mapping[str, Child] = field(default_factory=dict[str, Child], kw_only=True)
    """Deleted ControllerRevisions, by name, as far as they are remembered."""

    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Digest of the content of each ConfigMap in the namespace, by name."""

    reports: Mapping[str, Trouble] = field(default_factory=dict[str, Trouble])
    """Why running pods are not ready, or serve with less than they should, as they report it, by
    pod name."""

    applied: Applied = field(default_factory=Applied)
    """The state of the gateway, as it reports it."""

    reading: Reading | None = None
    """The newest metrics of the canary and the stable revision."""

    window: WindowStatus | None = None
    """The start of the measurements at the current weight."""

    refused: Mapping[tuple[str, str], Trouble] = field(
        default_factory=dict[tuple[str, str], Trouble]
    )
    """Why the API server refuses the pods of StatefulSets and Jobs, by their kind and name."""

    verified: dict[tuple[str, str], tuple[str | None, bytes]] = field(
        default_factory=dict[tuple[str, str], tuple[str | None, bytes]], compare=False, repr=False
    )
    """By kind and name: what an object had when it was as desired, and the digest of that. It is
    remembered, so that an object is compared only after it changed."""

    def get(self, kind: str, name: str) -> Child | None:
        """Return a child; None if it does not exist."""
        return self.children.get((kind, name))

    def list_children(self, kind: str) -> Iterator[Child]:
        """Return all children of a kind, in the order of their names."""
        return (self.children[key] for key in sorted(self.children) if key[0] == kind)

    def revisions(self) -> set[str]:
        """Return the revisions that have at least one object that serves."""
        return {
            child.revision for child in self.children.values() if child.revision and child.serves
        }

    def pods(self, role: str, revision: str | None = None) -> list[tuple[Child, PodFacts]]:
        """Return the pods of a role, and of a revision if one is given."""
        return [
            (child, child.facts)
            for child in self.list_children("Pod")
            if isinstance(child.facts, PodFacts)
            and child.role == role
            and (revision is None or child.revision == revision)
        ]

    def find_refusals(self, role: str, revision: str | None = None) -> list[Trouble]:
        """Return why pods of a role cannot be created, of a revision if one is given."""
        return [
            trouble
            for key, trouble in sorted(self.refused.items())
            if (child := self.children.get(key))
            and child.role == role
            and revision in (None, child.revision)
        ]

    def without_transient_troubles(self, now: str) -> Observed:
        """Return a copy without expired troubles, and without recent ones that are often transient,
        such as a pod that waits for its PersistentVolumeClaim."""
        return self.without(lambda trouble: not _is_current(trouble, now))

    def without(self, is_left_out: Callable[[Trouble], bool]) -> Observed:
        """Return a copy without some troubles."""
        children = {
            key: replace(child, facts=replace(child.facts, trouble=None))
            if isinstance(child.facts, PodFacts)
            and child.facts.trouble
            and is_left_out(child.facts.trouble)
            else child
            for key, child in self.children.items()
        }
        reports = {pod: found for pod, found in self.reports.items() if not is_left_out(found)}
        refused = {key: found for key, found in self.refused.items() if not is_left_out(found)}
        return replace(self, children=children, reports=reports, refused=refused)

    def workload(self, kind: str, name: str) -> WorkloadFacts | None:
        """Return the facts of a Deployment or StatefulSet."""
        child = self.get(kind, name)
        return child.facts if child and isinstance(child.facts, WorkloadFacts) else None


def project(kind: str, body: Body) -> Child | None:
    """Return the projection of an API object; None if it is being deleted, is not managed, or is a
    pod that was evicted and replaced."""
    metadata = body["metadata"]
    labels, owners = metadata.get("labels") or {}, metadata.get("ownerReferences") or []
    if metadata.get("deletionTimestamp") or names.AGENT_LABEL not in labels:
        return None
    if labels.get(names.MANAGED_BY_LABEL) != names.MANAGED_BY:
        return None
    if kind == POD and is_replaced(body):
        return None
    return Child(
        kind=kind,
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        role=labels.get(names.ROLE_LABEL, ""),
        revision=labels.get(names.REVISION_LABEL),
        applied=(metadata.get("annotations") or {}).get(names.APPLIED_ANNOTATION),
        owner=_find_owner(owners),
        resource_version=int(metadata.get("resourceVersion", 0)),
        facts=read(body) if (read := REGISTRY[kind].read_facts) else None,
        created=metadata.get("creationTimestamp") or "",
        live=b"" if kind == POD else read_live(body, is_whole=REGISTRY[kind].is_compared),
    )


def _find_owner(references: Sequence[Body]) -> str | None:
    controllers = (each["uid"] for each in references if each.get("controller"))
    return next(controllers, "" if references else None)


def content_digest(body: Body) -> str:
    """Compute the digest of a ConfigMap's content."""
    return names.digest([body.get("data") or {}, body.get("binaryData") or {}], 16)


def _is_current(trouble: Trouble, now: str) -> bool:
    seen = datetime.fromisoformat(now)
    if trouble.until and seen > datetime.fromisoformat(trouble.until):
        return False
    # One in the future is not recent: this node's clock is behind.
    return not trouble.since or abs(seen - datetime.fromisoformat(trouble.since)) >= TRANSIENT
