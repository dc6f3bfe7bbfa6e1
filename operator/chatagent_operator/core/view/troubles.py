"""Finds what keeps an agent's pods from being ready."""

from __future__ import annotations

from collections.abc import Iterator

from chatagent_operator.core import names
from chatagent_operator.core.observed.facts import JobFacts, PodFacts
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.trouble import PODS_CANNOT_BE_MADE, Trouble

JOB_FAILED = "JobFailed"


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
    # A rollout waits for a Job that is suspended: it may be in a queue.
    stopped = (e for e in find_stopped_ingestions(observed, revision) if e.reason == JOB_FAILED)
    return next(iter([*observed.find_refusals(role, revision), *pods, *stopped]), None)


def find_stopped_ingestions(observed: Observed, revision: str | None = None) -> Iterator[Trouble]:
    """Return why Jobs that index documents do not run: another client stopped them, since
    they retry without a limit."""
    for child in observed.list_children("Job"):
        is_asked = child.role == names.ROLE_INGESTION and revision in (None, child.revision)
        if not is_asked or not isinstance(child.facts, JobFacts):
            continue
        if child.facts.failure is not None:
            message = (
                f"Job {child.name} was ended before it succeeded ({child.facts.failure}); correct "
                "what ended it and delete the Job: it is created again"
            )
            yield Trouble(JOB_FAILED, message)
        elif child.facts.is_suspended:
            yield Trouble("JobSuspended", describe_suspended(child.name))


def describe_suspended(job: str) -> str:
    """Return the message for a Job that somebody suspended."""
    return (
        f"Job {job} is suspended; set its spec.suspend to false, or check the queue that admits it"
    )


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
