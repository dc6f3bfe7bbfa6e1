"""The interface of a component: its objects, its condition, and when objects may be deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import cache
from typing import ClassVar

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.observed.objects import Child
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.view.troubles import find_troubles
from chatagent_operator.core.writes import Create, DesiredObject


class Removal(Enum):
    """Whether an object that is no longer desired may be deleted."""

    NOW = "now"
    SOON = "soon"
    """Once the gateway has applied the routes: requests may still be sent to its pods."""
    KEEP = "keep"


class Component:
    """A component of an agent."""

    role: ClassVar[str]
    """Value of the role label of its objects."""

    order: ClassVar[int]
    """Components that others depend on come first: their trouble is reported first."""

    reports_trouble: ClassVar[bool] = False
    """Whether trouble of its pods makes the agent Degraded."""

    images: ClassVar[tuple[str, ...]] = ()
    """Names of the images that its pods run. The chart sets each as `NAME_IMAGE`."""

    def build_objects(self, state: DesiredState) -> Iterable[DesiredObject]:
        """Return the desired objects."""
        return ()

    def build_secrets(self, state: DesiredState) -> Iterable[Create]:
        """Return the desired objects with a new secret."""
        return ()

    def find_condition(self, state: DesiredState) -> Finding | None:
        """Return the component's condition, if it has one."""
        return None

    def judge_removal(self, child: Child, state: DesiredState) -> Removal:
        """Return whether an object of its role that is no longer desired may be deleted."""
        return Removal.NOW

    def find_trouble(self, state: DesiredState) -> Trouble | None:
        """Return the first trouble of its pods."""
        return next(find_troubles(state.reported, self.role), None)


def desire(manifest: Manifest, *, is_weight: bool = False) -> DesiredObject:
    """Return an object whose digest is that of the whole manifest."""
    return DesiredObject(
        manifest["kind"],
        manifest["metadata"]["name"],
        names.digest(manifest),
        lambda: manifest,
        is_weight=is_weight,
    )


def desire_all(
    agent: Agent, role: str, build: Callable[[], list[Manifest]], version: str = ""
) -> Iterator[DesiredObject]:
    """Return objects that depend only on the agent and the platform.

    Their digests are remembered with the agent: they are built again only to be written, then all
    at once.

    Args:
        version: what else they depend on.
    """
    build = cache(build)
    key = role + version
    known = agent.digests.get(key)
    if known is None:
        known = agent.digests[key] = tuple(
            (each["kind"], each["metadata"]["name"], names.digest(each)) for each in build()
        )
    for index, (kind, name, digest) in enumerate(known):
        yield DesiredObject(kind, name, digest, lambda index=index: build()[index])


def find_workload_condition(
    aspect: ConditionType, workload: str, starting: str, component: Component, state: DesiredState
) -> Finding:
    """Return whether the pods of a component's StatefulSet are available.

    Args:
        workload: name of the StatefulSet.
        starting: message while nothing is known to be wrong.
    """
    found = state.observed.workload("StatefulSet", workload)
    if found and found.available:
        return Finding(aspect, "True", "Available")
    if trouble := component.find_trouble(state):
        return Finding(aspect, "False", trouble.reason, trouble.message)
    return Finding(aspect, "False", "Starting", starting)
