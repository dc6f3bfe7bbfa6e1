"""The Jobs that index the documents into the collections of the vector store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.core import names
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.children.component import Component, Removal
from chatagent_operator.core.children.pod import CONFIG_FILE, CONFIG_PATH, RuntimePod
from chatagent_operator.core.children.resources import fill_resources
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.observed.objects import Child
from chatagent_operator.core.observed.trouble import Trouble, parse_trouble
from chatagent_operator.core.view.ingestions import Ingestion, count_rebuilds
from chatagent_operator.core.view.troubles import find_stopped_ingestions
from chatagent_operator.core.writes import DesiredObject

_SOURCES_PATH = "/var/lib/chatagent/sources"
_UNLIMITED_RETRIES = 1_000_000
_REQUESTS, _LIMITS = {"cpu": "100m", "memory": "512Mi"}, {"memory": "4Gi"}
"""Not the resources of the serving pods: documents are embedded on the CPU, without a GPU."""


class Ingestions(Component):
    """The Jobs, one for each collection that a live revision reads."""

    role = names.ROLE_INGESTION
    order = 20
    reports_trouble = True

    def build_objects(self, state: DesiredState) -> Iterator[DesiredObject]:
        """Return the Jobs of the live revisions."""
        knowledge = state.agent.spec.knowledge
        sources = [each.config_map.name for each in knowledge.sources]
        settings = knowledge.ingestion.model_dump(mode="json", exclude_defaults=True)
        for each in state.ingestions:
            pod = RuntimePod.for_revision(each.revision, state.view)
            yield DesiredObject(
                "Job",
                each.job,
                names.digest([each.job, sources, *pod.inputs, *([settings] if settings else [])]),
                lambda each=each, pod=pod: _build_job(each, pod),
                is_replaceable=True,
                is_due_again=each in state.rebuilt,
            )

    def find_condition(self, state: DesiredState) -> Finding:
        """Return whether the current documents are indexed."""
        aspect = ConditionType.INDEX_READY
        if state.view.missing_sources:
            has_index = state.status.stable_revision is not None
            effect = "the previous index is kept" if has_index else "nothing is indexed until then"
            message = (
                "ConfigMaps of spec.knowledge.sources do not exist, and the condition ResolvedRefs "
                f"names them; create them; {effect}"
            )
            return Finding(aspect, "False", "SourcesMissing", message)
        waiting = [each for each in state.ingestions if not state.view.is_complete(each)]
        if not waiting:
            return Finding(aspect, "True", "Indexed")
        if lost := self._find_loss(state):
            return Finding(aspect, "False", lost.reason, lost.message)
        troubles = state.reported.find_refusals(self.role)
        troubles += [
            trouble
            for _, pod in state.reported.pods(self.role)
            if (trouble := pod.trouble or parse_trouble(pod.report))
        ]
        troubles += find_stopped_ingestions(state.reported)
        if troubles:
            return Finding(aspect, "False", troubles[0].reason, troubles[0].message)
        message = f"Job {waiting[0].job} is indexing collection {waiting[0].collection}"
        return Finding(aspect, "False", "Ingesting", message)

    def find_trouble(self, state: DesiredState) -> Trouble | None:
        """Return the first trouble of the Jobs' pods, or the loss of an index."""
        stopped = next(find_stopped_ingestions(state.reported), None)
        return super().find_trouble(state) or self._find_loss(state) or stopped

    def _find_loss(self, state: DesiredState) -> Trouble | None:
        if not state.lost:
            return None
        first, now, knowledge = state.lost[0], state.view.now, state.view.previous.knowledge
        message = (
            f"collection {first.collection} does not exist any more, as the agent's pods report; "
            "if it was not deleted, check the volume of the vector store. "
        )
        if first in state.rebuilt or not first.find_complete_job(state.observed):
            return Trouble("IndexMissing", message + f"Job {first.job} indexes it again")
        due = datetime.fromisoformat(now) + timedelta(seconds=state.rebuild_delay)
        return Trouble(
            "IndexMissing",
            f"{message}Job {first.job} indexes it again at {due:%H:%M:%S} UTC; rebuilds "
            f"so far: {count_rebuilds(knowledge, now)}",
        )

    def judge_removal(self, child: Child, state: DesiredState) -> Removal:
        """Keep all Jobs while sources are missing: the previous index is used."""
        return Removal.KEEP if state.view.missing_sources else Removal.NOW


COMPONENT = Ingestions()


def _build_job(ingestion: Ingestion, pod: RuntimePod) -> Manifest:
    """Return the Job. Its pod is restarted with back-off while it fails."""
    agent = pod.agent
    sources, settings = agent.spec.knowledge.sources, agent.spec.knowledge.ingestion
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
    template = pod.build_template(
        names.ROLE_INGESTION,
        container={
            "name": "ingest",
            "args": ["ingest", f"{CONFIG_PATH}/{CONFIG_FILE}", *arguments],
            "resources": fill_resources(settings.resources, requests=_REQUESTS, limits=_LIMITS),
        },
        volumes=volumes,
        mounts=mounts,
        placement=settings.pod,
    )
    template["spec"]["restartPolicy"] = "OnFailure"
    return agent.child(
        "batch/v1",
        "Job",
        ingestion.job,
        names.ROLE_INGESTION,
        ingestion.revision.name,
        spec={"backoffLimit": _UNLIMITED_RETRIES, "template": template},
    )
