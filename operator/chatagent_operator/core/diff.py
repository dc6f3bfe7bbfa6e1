"""Computes the writes and deletions that lead from the observed to the desired objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.children import COMPONENTS
from chatagent_operator.core.children.component import Component, Removal
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.kinds import REGISTRY
from chatagent_operator.core.observed.live import covers
from chatagent_operator.core.observed.objects import Child, Observed
from chatagent_operator.core.observed.refusals import Refusal
from chatagent_operator.core.writes import (
    Apply,
    Create,
    Delete,
    DesiredObject,
    Scale,
    Write,
)

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
            is_orphan = _is_orphan(child, state.agent)
            if child.owner != state.agent.uid and not is_orphan:
                continue  # an object of another owner, or a copy, with the agent's labels
            component = _BY_ROLE.get(child.role, _OTHER)
            removal = Removal.NOW if is_orphan else component.judge_removal(child, state)
            is_needed = any(_depends(each, child) for each in state.view.refusals.values())
            yield Delete(kind, child.name, child.uid), Removal.KEEP if is_needed else removal


def _is_orphan(child: Child, agent: Agent) -> bool:
    """Return whether an object of a revision has no owner: an agent of this name was deleted
    without its objects. A copy that a person made has another name."""
    name = names.revision(agent.name, child.revision or "")
    return child.owner is None and child.revision is not None and child.name == name


def _depends(refusal: Refusal, child: Child) -> bool:
    """Return whether something still uses an object because a write was refused."""
    if child.revision:
        return child.revision == refusal.revision and child.role == refusal.role
    # The pods of every revision use what belongs to none.
    return refusal.role in (child.role, names.ROLE_AGENT, names.ROLE_INGESTION)


def _find_write(desired: DesiredObject, state: DesiredState) -> Write | None:
    child = state.observed.get(desired.kind, desired.name)
    if child is None or child.owner != state.agent.uid:
        return Apply(desired, is_ours=False)
    if desired.is_due_again:
        return Delete(desired.kind, desired.name, child.uid)  # it is recreated next
    if child.applied != desired.digest and not desired.is_frozen:
        if not desired.is_replaceable:
            return Apply(desired, is_ours=True)
        if not _is_complete(desired, state.observed):
            return Delete(desired.kind, desired.name, child.uid)  # it is recreated next
        return None
    is_whole = REGISTRY[desired.kind].is_compared and not desired.is_frozen
    if desired.is_known and _has_drifted(desired, child, state.observed, is_whole=is_whole):
        # Where not all is compared, only the labels are restored, as of an orphan.
        return Apply(desired, is_ours=is_whole)
    if desired.replicas is not None:
        workload = state.observed.workload(desired.kind, desired.name)
        if workload and workload.replicas != desired.replicas:
            return Scale(desired.name, desired.replicas)
    return None


def _has_drifted(
    desired: DesiredObject, child: Child, observed: Observed, *, is_whole: bool
) -> bool:
    """Return whether an object lacks something that was applied to it."""
    identity, state = (desired.kind, desired.name), (desired.digest, child.live)
    if observed.verified.get(identity) == state:
        return False
    if not covers(child.live, desired.render(), is_whole=is_whole):
        return True
    observed.verified[identity] = state
    return False


def _is_complete(desired: DesiredObject, observed: Observed) -> bool:
    child = observed.get(desired.kind, desired.name)
    return bool(child and getattr(child.facts, "complete", False))
