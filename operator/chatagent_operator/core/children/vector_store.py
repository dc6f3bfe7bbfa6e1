"""The managed vector store: one Chroma server with a volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.api.v1alpha1 import MANAGED_ENGINES, ManagedStore
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest, Platform
from chatagent_operator.core.children import stateful
from chatagent_operator.core.children.agent import have_pods_followed
from chatagent_operator.core.children.component import (
    Component,
    Removal,
    desire_all,
    find_workload_condition,
)
from chatagent_operator.core.children.resources import fill_resources
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.observed.facts import ServiceFacts
from chatagent_operator.core.observed.objects import Child
from chatagent_operator.core.servers import STORE_PORT, find_managed_store
from chatagent_operator.core.view.troubles import find_troubles
from chatagent_operator.core.writes import DesiredObject

_REQUESTS = {"cpu": "100m"}


class VectorStore(Component):
    """The vector store, managed or external."""

    role = names.ROLE_VECTOR_STORE
    order = 10
    reports_trouble = True
    images = MANAGED_ENGINES

    def build_objects(self, state: DesiredState) -> Iterator[DesiredObject]:
        """Return the objects of a managed store."""
        if settings := find_managed_store(state.agent):
            name = names.vector_store(state.agent.name)
            is_parallel = stateful.may_be_parallel(name, state.observed)
            build = partial(build_objects, state.agent, settings, state.view.platform, is_parallel)
            for each in desire_all(state.agent, self.role, build):
                yield replace(each, is_replaceable=_is_headless(each, state))

    def find_condition(self, state: DesiredState) -> Finding:
        """Return whether the store is available."""
        aspect = ConditionType.VECTOR_STORE_READY
        if find_managed_store(state.agent):
            name = names.vector_store(state.agent.name)
            starting = "the vector store is starting"
            return find_workload_condition(aspect, name, starting, self, state)
        pods = find_troubles(state.observed, names.ROLE_AGENT, names.ROLE_INGESTION)
        if trouble := next((each for each in pods if each.is_store), None):
            return Finding(aspect, "False", trouble.reason, trouble.message)
        if any(pod.ready for _, pod in state.observed.pods(names.ROLE_AGENT)):
            return Finding(aspect, "True", "Answers")
        return Finding(
            aspect, "Unknown", "NotAskedYet", "no pod has connected to the vector store yet"
        )

    def judge_removal(self, child: Child, state: DesiredState) -> Removal:
        """Keep the server until the store that replaces it has the documents, and every pod uses
        it."""
        # Without all sources nothing is indexed, and nobody knows what is missing.
        is_indexed = not state.view.missing_sources and all(
            state.view.is_complete(each) for each in state.ingestions
        )
        return Removal.NOW if is_indexed and have_pods_followed(state) else Removal.KEEP


COMPONENT = VectorStore()


def _is_headless(desired: DesiredObject, state: DesiredState) -> bool:
    """Return whether an object is the Service of an earlier operator, whose name is in the DNS only
    while the pod exists. A Service cannot get an address later."""
    child = state.observed.get(desired.kind, desired.name)
    facts = child.facts if child else None
    return isinstance(facts, ServiceFacts) and facts.cluster_ip == "None"


def build_objects(
    agent: Agent, settings: ManagedStore, platform: Platform, is_parallel: bool
) -> list[Manifest]:
    """Return the Service and the StatefulSet."""
    probe = {"httpGet": {"path": "/api/v2/heartbeat", "port": "http"}}
    port = str(STORE_PORT)
    container: Manifest = {
        "name": "chroma",
        "image": platform.images["chroma"],
        "command": ["chroma"],
        "args": ["run", "--host", "0.0.0.0", "--port", port, "--path", "/data"],  # noqa: S104
        "env": [
            {"name": "ANONYMIZED_TELEMETRY", "value": "False"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108
        ],
        "ports": [{"name": "http", "containerPort": STORE_PORT}],
        "resources": fill_resources(settings.resources, requests=_REQUESTS),
        **stateful.build_probes(probe),
    }
    return stateful.build_objects(
        agent, names.ROLE_VECTOR_STORE, names.vector_store(agent.name), container, platform,
        is_parallel=is_parallel, placement=settings.pod, storage=settings.storage,
        when_deleted=settings.deletion_policy,
    )  # fmt: skip
