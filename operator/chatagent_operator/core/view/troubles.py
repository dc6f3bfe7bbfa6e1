"""Finds what keeps an agent's pods from being ready."""

from __future__ import annotations

from collections.abc import Iterator

from chatagent_operator.core import names
from chatagent_operator.core.observed.facts import PodFacts
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.trouble import PODS_CANNOT_BE_MADE, Trouble


def find_troubles(observed: Observed, *roles: str) -> Iterator[Trouble]:
    """Return the troubles of the pods of these roles, in the order of the roles; first those of
    pods that cannot be created."""
    for role in roles:
        yield from observed.find_refusals(role)
        for child, pod in observed.pods(role):
            if trouble := _find_trouble(child.name, pod, observed):
                yield trouble


def find_trouble_of_revision(agent: str, revision: str, observed: Observed) -> Trouble | None:
    """Return what keeps pods of a revision from being ready; None if nothing is known."""
    workload = observed.workload("Deployment", names.revision(agent, revision))
    if workload and workload.failure:
        return Trouble(PODS_CANNOT_BE_MADE, workload.failure)
    return next(
        (
            trouble
            for child, pod in observed.pods(names.ROLE_AGENT, revision)
            if (trouble := _find_trouble(child.name, pod, observed))
        ),
        None,
    )


def find_trouble_of_index(revision: str, observed: Observed) -> Trouble | None:
    """Return what keeps a revision's documents from being indexed; None if nothing is known."""
    role = names.ROLE_INGESTION
    pods = (pod.trouble for _, pod in observed.pods(role, revision) if pod.trouble)
    return next(iter([*observed.find_refusals(role, revision), *pods]), None)


def is_unschedulable(revision: str | None, observed: Observed) -> bool:
    """Return whether a pod of the revision is unschedulable."""
    pods = observed.pods(names.ROLE_AGENT, revision) if revision else []
    return any(pod.trouble and pod.trouble.is_unschedulable for _, pod in pods)


def _find_trouble(pod_name: str, pod: PodFacts, observed: Observed) -> Trouble | None:
    if pod.trouble:
        return pod.trouble
    found = observed.reports.get(pod_name)
    has_condition = found is not None and (found.is_expected or found.is_cache)
    return None if has_condition else found
