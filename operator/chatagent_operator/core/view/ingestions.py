"""The collections of the vector store, and the Jobs that index the documents into them.

The name of a Job is derived from the store, the collection and the content of the sources. Changed
documents or another store need a new Job; a new image alone does not.

A Job that completed does not prove that its collection still exists: the volume of the store may be
lost since. The agent's pods report that, and the Job is run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chatagent_operator.api.status import KnowledgeStatus
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.observed.facts import JobFacts
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.revision import Revision, name_collection
from chatagent_operator.core.rollout.times import elapsed
from chatagent_operator.core.servers import Store

REPORT_SECONDS = 15.0
"""Time after the end of a Job within which every pod has seen its collection."""

FIRST_REBUILD_SECONDS, LAST_REBUILD_SECONDS = 120.0, 3600.0
"""Time from one rebuild of a lost index to the next, which doubles each time. A rebuild that is
older than twice the last of them does not count any more."""


@dataclass(frozen=True)
class Ingestion:
    """One content of one collection, indexed with the image of one revision."""

    job: str
    collection: str
    revision: Revision

    def find_complete_job(self, observed: Observed) -> JobFacts | None:
        """Return the facts of its Job, if that is complete."""
        child = observed.get("Job", self.job)
        facts = child.facts if child and isinstance(child.facts, JobFacts) else None
        return facts if facts and facts.complete else None


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


def count_rebuilds(knowledge: KnowledgeStatus, now: str) -> int:
    """Return how often the index was built again lately."""
    since = knowledge.rebuilt_at
    is_recent = since is not None and elapsed(since, now) < 2 * LAST_REBUILD_SECONDS
    return knowledge.rebuilds if is_recent else 0


def find_rebuild_delay(knowledge: KnowledgeStatus, now: str, *, is_served: bool) -> float:
    """Return the seconds until a lost index may be built again.

    Args:
        is_served: pods serve without it. Otherwise users wait for it: it is built a second time at
            once, and then every two minutes. Not sooner, since pods on a slow node may just not
            have seen it yet.
    """
    rebuilds = count_rebuilds(knowledge, now)
    if not rebuilds or knowledge.rebuilt_at is None:
        return 0.0
    delay = min(FIRST_REBUILD_SECONDS * 2.0 ** (rebuilds - 1), LAST_REBUILD_SECONDS)
    if not is_served:
        delay = FIRST_REBUILD_SECONDS if rebuilds > 1 else 0.0
    return max(delay - elapsed(knowledge.rebuilt_at, now), 0.0)
