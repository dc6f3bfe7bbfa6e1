"""Knowledge: the Job that brings the documents into a collection of the vector store.

A Job is named by what it indexes and where: store, collection, content of the sources. Changed
documents or another store make a new Job, a new image alone does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chatagent_operator.core import names
from chatagent_operator.core.agent import (
    CONFIG_FILE,
    CONFIG_PATH,
    Agent,
    Manifest,
    Platform,
    Servers,
    Store,
    pod_template,
)
from chatagent_operator.core.observed.objects import JobFacts, Observed
from chatagent_operator.core.revision import Revision, collection

_SOURCES_PATH = "/var/lib/chatagent/sources"
_NEVER_GIVE_UP = 1_000_000
_RESOURCES = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
"""Not those of the serving pods: documents are embedded on the CPU, and a GPU is dear."""


@dataclass(frozen=True)
class Ingestion:
    """One content for one collection, indexed with the image of one revision."""

    job: str
    collection: str
    revision: Revision

    def is_complete(self, observed: Observed) -> bool:
        """The collection holds this content."""
        child = observed.get("Job", self.job)
        return child is not None and isinstance(child.facts, JobFacts) and child.facts.complete


def missing_sources(agent: Agent, sources: Mapping[str, str]) -> list[str]:
    """What is wrong with `spec.knowledge.sources`, one sentence for each."""
    return [
        f"spec.knowledge.sources[{index}].configMap: there is no ConfigMap "
        f"{source.config_map.name!r} in namespace {agent.namespace!r}; create it"
        for index, source in enumerate(agent.spec.knowledge.sources)
        if source.config_map.name not in sources
    ]


def ingestions(
    agent: Agent, live: list[Revision], sources: Mapping[str, str], store: Store
) -> list[Ingestion]:
    """One for each collection that a live revision reads, in the order of the revisions.

    The first revision that reads a collection indexes it: a canary never writes to the stable
    revision's collection with an image that nobody has judged yet.
    """
    if missing_sources(agent, sources):
        return []
    content = [
        [source.name, sources[source.config_map.name]] for source in agent.spec.knowledge.sources
    ]
    result: dict[str, Ingestion] = {}
    for revision in live:
        place = collection(agent.namespace, agent.name, revision)
        job = names.ingestion(agent.name, names.digest([store.url, place, content]))
        result.setdefault(place, Ingestion(job, place, revision))
    return list(result.values())


def job(agent: Agent, ingestion: Ingestion, servers: Servers, platform: Platform) -> Manifest:
    """The Job. Its pod is restarted with back-off for as long as it fails."""
    sources = agent.spec.knowledge.sources
    mounts = tuple(
        {"name": f"source-{i}", "mountPath": f"{_SOURCES_PATH}/{source.name}", "readOnly": True}
        for i, source in enumerate(sources)
    )
    volumes = tuple(
        {"name": f"source-{i}", "configMap": {"name": source.config_map.name}}
        for i, source in enumerate(sources)
    )
    arguments = [
        word
        for source in sources
        for word in ("--source", f"{source.name}={_SOURCES_PATH}/{source.name}")
    ]
    template = pod_template(
        agent,
        ingestion.revision,
        servers,
        platform,
        role=names.ROLE_INGESTION,
        container={
            "name": "ingest",
            "args": ["ingest", f"{CONFIG_PATH}/{CONFIG_FILE}", *arguments],
            "resources": _RESOURCES,
        },
        volumes=volumes,
        mounts=mounts,
    )
    template["spec"]["restartPolicy"] = "OnFailure"
    return agent.child(
        "batch/v1",
        "Job",
        ingestion.job,
        names.ROLE_INGESTION,
        ingestion.revision.name,
        spec={"backoffLimit": _NEVER_GIVE_UP, "template": template},
    )
