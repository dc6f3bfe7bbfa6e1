"""The collections of the vector store, and the Jobs that index the documents into them.

The name of a Job is derived from the store, the collection and the content of the sources. Changed
documents or another store need a new Job; a new image alone does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.observed.facts import JobFacts
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.revision import Revision, name_collection
from chatagent_operator.core.servers import Store


@dataclass(frozen=True)
class Ingestion:
    """One content of one collection, indexed with the image of one revision."""

    job: str
    collection: str
    revision: Revision

    def is_complete(self, observed: Observed) -> bool:
        """Return whether the collection has this content."""
        child = observed.get("Job", self.job)
        return child is not None and isinstance(child.facts, JobFacts) and child.facts.complete


def find_missing_sources(agent: Agent, sources: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is wrong with `spec.knowledge.sources`, one sentence for each."""
    return tuple(
        f"spec.knowledge.sources[{index}].configMap: ConfigMap {source.config_map.name!r} "
        f"does not exist in namespace {agent.namespace!r}; create it"
        for index, source in enumerate(agent.spec.knowledge.sources)
        if source.config_map.name not in sources
    )


def find_ingestions(
    agent: Agent, revisions: Iterable[Revision], sources: Mapping[str, str], store: Store
) -> tuple[Ingestion, ...]:
    """Return an ingestion for each collection that a revision reads, in the order of the revisions.

    The first revision that reads a collection indexes it: a canary never writes to the stable
    revision's collection with an image that has not been judged yet.

    Args:
        sources: digest of each ConfigMap that the agent reads; all of them exist.
    """
    content = [
        [source.name, sources[source.config_map.name]] for source in agent.spec.knowledge.sources
    ]
    found: dict[str, Ingestion] = {}
    for revision in revisions:
        place = name_collection(agent.namespace, agent.name, revision)
        job = names.ingestion(agent.name, names.digest([store.url, place, content]))
        found.setdefault(place, Ingestion(job, place, revision))
    return tuple(found.values())
