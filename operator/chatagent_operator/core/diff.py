"""Computes the writes and deletions that lead from the observed to the desired objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chatagent_operator.core.children import COMPONENTS
from chatagent_operator.core.children.component import Component, Removal
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.kinds import REGISTRY
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.writes import Apply, Create, Delete, DesiredObject, Scale, Write

_PRUNED = tuple(kind.name for kind in REGISTRY.values() if kind.is_pruned)
_BY_ROLE = {component.role: component for component in COMPONENTS}
_OTHER = Component()


def find_writes(
    desired: Iterable[DesiredObject], secrets: Iterable[Create], state: DesiredState
) -> tuple[Write, ...]:
    """Return the writes, in the order of their waves."""
    found = (_find_write(each, state) for each in desired)
    writes: list[Write] = [*secrets, *(write for write in found if write)]
    return tuple(sorted(writes, key=lambda write: write.wave))


def find_deletions(
    desired: Iterable[DesiredObject], state: DesiredState
) -> Iterator[tuple[Delete, Removal]]:
    """Return the objects that are no longer desired, and whether each may be deleted."""
    kept = {(each.kind, each.name) for each in desired}
    for kind in _PRUNED:
        for child in state.observed.list_children(kind):
            if (kind, child.name) in kept:
                continue
            if child.owner != state.agent.uid:
                continue  # an object of another owner with the agent's labels
            component = _BY_ROLE.get(child.role, _OTHER)
            yield Delete(kind, child.name, child.uid), component.judge_removal(child, state)


def _find_write(desired: DesiredObject, state: DesiredState) -> Write | None:
    child = state.observed.get(desired.kind, desired.name)
    if child is None or child.owner != state.agent.uid:
        return Apply(desired, is_ours=child is not None)
    if desired.is_due_again:
        return Delete(desired.kind, desired.name, child.uid)  # it is recreated next
    if child.applied != desired.digest and not desired.is_frozen:
        if not desired.is_replaceable:
            return Apply(desired, is_ours=True)
        if not _is_complete(desired, state.observed):
            return Delete(desired.kind, desired.name, child.uid)  # it is recreated next
        return None
    if desired.replicas is not None:
        workload = state.observed.workload(desired.kind, desired.name)
        if workload and workload.replicas != desired.replicas:
            return Scale(desired.name, desired.replicas)
    return None


def _is_complete(desired: DesiredObject, observed: Observed) -> bool:
    child = observed.get(desired.kind, desired.name)
    return bool(child and getattr(child.facts, "complete", False))
