"""The serving pods: a set of objects for each revision, and their ServiceAccount."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import yaml

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.api.rollout import LONGEST_DEADLINE_SECONDS
from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT, Agent, Manifest, build_service_account
from chatagent_operator.core.children.component import Component, Removal, desire_all
from chatagent_operator.core.children.disruption import build_disruption_budget
from chatagent_operator.core.children.pod import CONFIG_FILE, CONFIG_PATH, RuntimePod
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.observed.facts import DataFacts
from chatagent_operator.core.observed.objects import Child
from chatagent_operator.core.revision import Revision
from chatagent_operator.core.view.troubles import find_trouble_of_revision
from chatagent_operator.core.writes import DesiredObject


class AgentPods(Component):
    """The revisions: ControllerRevision, ConfigMap, Service and Deployment of each, and a
    PodDisruptionBudget if it has several pods."""

    role = names.ROLE_AGENT
    order = 60

    def build_objects(self, state: DesiredState) -> Iterator[DesiredObject]:
        """Return the objects of every live revision."""
        agent = state.agent
        yield from desire_all(
            agent, self.role, lambda: [build_service_account(agent, agent.name, self.role)]
        )
        for revision in state.live:
            yield from self._build_revision(state, revision)
        for name in state.unreadable:
            yield from self._keep_revision(state, name)

    def _keep_revision(self, state: DesiredState, revision: str) -> Iterator[DesiredObject]:
        """Return what can be kept of a revision of which only the name is known: its pods must
        still be scaled, such as after an abort."""
        agent, name = state.agent, names.revision(state.agent.name, revision)
        yield DesiredObject("Service", name, revision, lambda: _build_service(agent, revision))
        deployment = state.observed.get("Deployment", name)
        if deployment and deployment.owner == agent.uid:
            yield DesiredObject(
                "Deployment",
                name,
                deployment.applied or "",
                dict,
                is_frozen=True,
                is_known=False,
                replicas=state.replicas[revision],
            )

    def _build_revision(self, state: DesiredState, revision: Revision) -> Iterator[DesiredObject]:
        agent, number = state.agent, state.numbers[revision.name]
        name = names.revision(agent.name, revision.name)
        pod, replicas = _find_pod(state, revision), state.replicas[revision.name]
        yield DesiredObject(
            "ControllerRevision",
            name,
            revision.name,
            lambda: _build_controller_revision(agent, revision, number),
            is_frozen=True,
        )
        yield DesiredObject(
            "ConfigMap",
            name,
            revision.name,
            lambda: _build_config_map(agent, revision),
            is_frozen=True,
        )
        yield DesiredObject(
            "Service", name, revision.name, lambda: _build_service(agent, revision.name)
        )
        if replicas > 1:  # of its own: pods of a canary that fail must not block those that serve
            yield DesiredObject(
                "PodDisruptionBudget",
                name,
                revision.name,
                lambda: build_disruption_budget(agent, name, self.role, revision.name),
            )
        yield DesiredObject(
            "Deployment",
            name,
            _digest_inputs(pod),
            lambda: _build_deployment(pod, replicas),
            replicas=replicas,
        )

    def find_condition(self, state: DesiredState) -> Finding:
        """Return whether enough pods of the serving revision are available: as many as are desired,
        but at least one. A canary may replace the others."""
        serving = state.serving
        available = state.view.count_available(serving)
        desired = max(1, state.replicas.get(serving, 0))
        count = f"{available} of {desired} pods of revision {serving} are available"
        if available >= desired:
            return Finding(ConditionType.WORKLOADS_READY, "True", "Available", count)
        trouble = find_trouble_of_revision(state.agent.name, serving, state.reported)
        message = f"{count}: {trouble.message}" if trouble else count
        previous = state.status.previous
        if not available and previous and state.view.is_available(previous.revision):
            message += (
                f"; those of the previous revision {previous.revision} still run, and "
                "`kubectl chatagent undo` rolls back to it"
            )
        reason = trouble.reason if trouble else "Starting"
        return Finding(ConditionType.WORKLOADS_READY, "False", reason, message)

    def judge_removal(self, child: Child, state: DesiredState) -> Removal:
        """Keep live revisions and the history. Delete others once the gateway is done."""
        if child.revision in state.decision.live:
            return Removal.KEEP
        if child.kind == "ControllerRevision":
            return Removal.KEEP if _is_in_history(child, state) else Removal.NOW
        is_routed = state.view.previous.stable_revision is not None and not state.is_applied
        return Removal.SOON if is_routed and child.revision and child.serves else Removal.NOW


COMPONENT = AgentPods()


def have_pods_followed(state: DesiredState) -> bool:
    """Return whether all pods have what is desired now, such as the address of the vector store."""
    for revision in state.live:
        name = names.revision(state.agent.name, revision.name)
        child = state.observed.get("Deployment", name)
        if child is None or child.applied != _digest_inputs(_find_pod(state, revision)):
            return False  # it is written next
        workload = state.view.find_deployment(revision.name)
        if not (workload and workload.settled and workload.available):
            return False
    return not state.unreadable  # those pods keep what they have


def _find_pod(state: DesiredState, revision: Revision) -> RuntimePod:
    pod = RuntimePod.for_revision(revision, state.view)
    if not pod.servers.redis.is_managed:
        return pod
    name = names.revision(state.agent.name, revision.name)
    return replace(pod, password=state.view.find_new_password("Deployment", name))


def _digest_inputs(pod: RuntimePod) -> str:
    restarted_at = pod.agent.restarted_at
    return names.digest([*pod.inputs, *([restarted_at] if restarted_at else [])])


def _is_in_history(child: Child, state: DesiredState) -> bool:
    """Return whether a ControllerRevision is within the history limit."""
    history = sorted(
        (
            (each.facts.revision, each.name)
            for each in state.observed.list_children("ControllerRevision")
            if each.revision not in state.decision.live and isinstance(each.facts, DataFacts)
        ),
        reverse=True,
    )
    limit = state.agent.spec.rollout.revision_history_limit
    return child.name in {name for _, name in history[:limit]}


def _build_controller_revision(agent: Agent, revision: Revision, number: int) -> Manifest:
    """Return the ControllerRevision of a revision."""
    return agent.child(
        "apps/v1",
        "ControllerRevision",
        names.revision(agent.name, revision.name),
        names.ROLE_AGENT,
        revision.name,
        data=revision.content,
    ) | {"revision": number}


def _build_config_map(agent: Agent, revision: Revision) -> Manifest:
    """Return the ConfigMap with the pipeline, as `agent-runtime serve` reads it, and the content
    of the revision, as a second copy of its ControllerRevision."""
    pipeline = revision.spec.pipeline.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return agent.child(
        "v1",
        "ConfigMap",
        names.revision(agent.name, revision.name),
        names.ROLE_AGENT,
        revision.name,
        immutable=True,
        data={
            CONFIG_FILE: yaml.safe_dump(pipeline, sort_keys=True, allow_unicode=True),
            names.CONTENT_KEY: json.dumps(revision.content, ensure_ascii=False, sort_keys=True),
        },
    )


def _build_service(agent: Agent, revision: str) -> Manifest:
    """Return the Service of the revision's pods, for the gateway."""
    return agent.child(
        "v1",
        "Service",
        names.revision(agent.name, revision),
        names.ROLE_AGENT,
        revision,
        spec={
            "selector": names.selector(agent.name, names.ROLE_AGENT, revision),
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    )


def _build_deployment(pod: RuntimePod, replicas: int) -> Manifest:
    """Return the Deployment of the revision."""
    agent, revision = pod.agent, pod.revision
    template = pod.build_template(
        names.ROLE_AGENT,
        container={
            "name": "agent",
            "args": ["serve", f"{CONFIG_PATH}/{CONFIG_FILE}"],
            "ports": [{"name": "http", "containerPort": PORT}],
            "resources": revision.spec.resources.model_dump(
                mode="json", by_alias=True, exclude_defaults=True
            ),
            # A model may load for as long as the progress deadline allows. That changes while pods
            # start, and a template that followed it would replace them: no deadline is longer.
            "startupProbe": _build_probe("/readyz", period=1, failures=LONGEST_DEADLINE_SECONDS),
            "readinessProbe": _build_probe("/readyz", period=2, failures=2),
            "livenessProbe": _build_probe("/livez", period=10, failures=6),
        },
    )
    if agent.restarted_at:
        template["metadata"]["annotations"] = {names.RESTARTED_ANNOTATION: agent.restarted_at}
    return agent.child(
        "apps/v1",
        "Deployment",
        names.revision(agent.name, revision.name),
        names.ROLE_AGENT,
        revision.name,
        spec={
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "selector": {
                "matchLabels": names.selector(agent.name, names.ROLE_AGENT, revision.name)
            },
            "template": template,
        },
    )


def _build_probe(path: str, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
