"""Every object that an agent should have, given which revisions are live and their weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chatagent_operator.core import agent as agent_objects
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest, Platform, Servers
from chatagent_operator.core.children import cache, evaluation, gateway, http_route, vector_store
from chatagent_operator.core.children import ingestion as knowledge
from chatagent_operator.core.revision import Revision
from chatagent_operator.core.routing.routes import Routes


@dataclass(frozen=True)
class Desired:
    """One object: what identifies its content, and how to make it.

    It is made only where the digest differs from the one that was last applied. The digest of a
    revision's objects is that of what goes into them, not of what comes out: a later operator
    that renders them differently restarts no pod.
    """

    kind: str
    name: str
    digest: str
    render: Callable[[], Manifest]
    replaceable: bool = False
    """Cannot be changed, only made anew (a Job)."""

    frozen: bool = False
    """Made once, never touched again."""

    replicas: int | None = None
    """Replicas that it should have, where these change on their own."""


def objects(
    agent: Agent,
    live: list[Revision],
    replicas: Mapping[str, int],
    ingestions: list[knowledge.Ingestion],
    questions: evaluation.Evaluation | None,
    routes: Routes,
    numbers: dict[str, int],
    platform: Platform,
) -> list[Desired]:
    """All objects, in the order in which they are applied: weights first.

    Args:
        live: revisions that have pods, the stable one first.
        replicas: pods of each.
        questions: what both revisions are asked now.
        numbers: number of each live revision, counting up in the agent's history.
    """
    store = vector_store.address(agent, platform)
    servers = Servers(store, cache.address(agent, platform))
    result = [
        *map(_whole, _weights(agent, routes)),
        _whole(agent_objects.service_account(agent, agent.name, names.ROLE_AGENT)),
    ]
    if settings := vector_store.managed(agent):
        result += [_whole(m) for m in vector_store.objects(agent, settings, platform)]
    if redis := cache.managed(agent):
        result += [_whole(m) for m in cache.objects(agent, redis, platform)]
    for revision in live:
        pods, number = replicas[revision.name], numbers[revision.name]
        result += _of_revision(agent, revision, servers, pods, number, platform)
    for ingestion in ingestions:
        inputs = [ingestion.job, ingestion.revision.content, store.url]
        result.append(
            Desired(
                "Job",
                ingestion.job,
                names.digest(inputs),
                lambda i=ingestion: knowledge.job(agent, i, servers, platform),
                replaceable=True,
            )
        )
    if questions:
        result.append(
            Desired(
                "Job",
                questions.job,
                questions.job,
                lambda: evaluation.job(agent, questions, servers, platform),
                replaceable=True,
            )
        )
    own = agent.spec.gateway.provider == "haproxy"
    return result + [_whole(m) for m in (gateway.objects(agent, platform) if own else [])]


def _weights(agent: Agent, routes: Routes) -> list[Manifest]:
    """The intent, which HAProxy follows; for a Gateway of the cluster's own, its route."""
    intent = gateway.routes_config_map(agent, routes)
    if agent.spec.gateway.provider == "haproxy" or not routes.backends:
        return [intent]  # a route must lead somewhere
    # The route first: it is what takes a revision back.
    return [http_route.routes_object(agent, routes), intent]


def _of_revision(
    agent: Agent,
    revision: Revision,
    servers: Servers,
    pods: int,
    number: int,
    platform: Platform,
) -> list[Desired]:
    name = names.of_revision(agent.name, revision.name)
    store, redis = servers.store, servers.redis
    token = store.token.model_dump(mode="json") if store.token else None
    password = redis.password.model_dump(mode="json") if redis.password else None
    # Its own one counts for nothing: an operator that brings Redis along restarts no pod.
    extra = [] if redis.is_managed else [redis.url, password]
    inputs = names.digest([revision.name, store.url, token, *extra])
    return [
        Desired(
            "ControllerRevision",
            name,
            revision.name,
            lambda: agent_objects.controller_revision(agent, revision, number),
            frozen=True,
        ),
        Desired(
            "ConfigMap",
            name,
            revision.name,
            lambda: agent_objects.config_map(agent, revision),
            frozen=True,
        ),
        Desired("Service", name, revision.name, lambda: agent_objects.service(agent, revision)),
        Desired(
            "Deployment",
            name,
            inputs,
            lambda: agent_objects.deployment(agent, revision, servers, pods, platform),
            replicas=pods,
        ),
    ]


def _whole(manifest: Manifest) -> Desired:
    content = json.loads(json.dumps(manifest))
    return Desired(
        manifest["kind"], manifest["metadata"]["name"], names.digest(content), lambda: manifest
    )
