"""The gateway: the routes that move conversations, and the objects that apply them.

By default these are HAProxy pods of the agent's own with a Service for clients; with `gateway-api`
it is an HTTPRoute for the cluster's Gateways.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest, Platform, build_service_account
from chatagent_operator.core.children.component import (
    Component,
    Removal,
    desire,
    desire_all,
    find_workload_condition,
)
from chatagent_operator.core.children.disruption import build_disruption_budget
from chatagent_operator.core.children.gateway_pods import build_stateful_set
from chatagent_operator.core.children.http_route import build_http_route
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.observed.objects import Child
from chatagent_operator.core.routing.haproxy import GatewaySettings, Peer, render_config_files
from chatagent_operator.core.routing.routes import ROUTES_KEY, Routes
from chatagent_operator.core.writes import DesiredObject


class Gateway(Component):
    """The routes, and the agent's own gateway or its HTTPRoute."""

    role = names.ROLE_GATEWAY
    order = 40
    reports_trouble = True
    images = ("haproxy",)

    def build_objects(self, state: DesiredState) -> Iterator[DesiredObject]:
        """Return the objects, the routes first: they roll a revision back."""
        agent, routes = state.agent, state.routes
        has_own = agent.spec.gateway.provider == "haproxy"
        if not has_own and routes.backends:  # a route must have a backend
            yield desire(build_http_route(agent, routes), is_weight=True)
        yield desire(_build_routes(agent, routes), is_weight=True)
        if has_own:
            build = partial(build_objects, agent, state.view.platform)
            yield from desire_all(agent, self.role, build)

    def find_condition(self, state: DesiredState) -> Finding:
        """Return whether the gateway is available, or the Gateways have accepted the route."""
        aspect = ConditionType.GATEWAY_READY
        if state.agent.spec.gateway.provider == "haproxy":
            name = names.gateway(state.agent.name)
            return find_workload_condition(aspect, name, "the gateway is starting", self, state)
        applied = state.observed.applied
        if not state.routes.backends:
            return Finding(aspect, "False", "Starting", "no revision is ready yet")
        if applied.trouble:
            return Finding(aspect, "False", applied.trouble.reason, applied.trouble.message)
        if applied.generation is None:
            message = "no Gateway has accepted the HTTPRoute yet"
            return Finding(aspect, "False", "RouteUnanswered", message)
        return Finding(aspect, "True", "Programmed")

    def judge_removal(self, child: Child, state: DesiredState) -> Removal:
        """Keep the objects of the previous provider until those of the desired one serve."""
        if state.agent.spec.gateway.provider == "gateway-api":
            return Removal.NOW if state.is_applied else Removal.SOON
        workload = state.observed.workload("StatefulSet", names.gateway(state.agent.name))
        return Removal.NOW if workload and workload.available else Removal.SOON


COMPONENT = Gateway()


def _build_routes(agent: Agent, routes: Routes) -> Manifest:
    """Return the ConfigMap with the routes, for the sidecar."""
    return agent.child(
        "v1",
        "ConfigMap",
        names.routes(agent.name),
        names.ROLE_GATEWAY,
        data={ROUTES_KEY: routes.to_json()},
    )


def build_objects(agent: Agent, platform: Platform) -> list[Manifest]:
    """Return all objects of the agent's own gateway except the routes."""
    settings = _build_settings(agent)
    config = agent.child(
        "v1",
        "ConfigMap",
        names.gateway(agent.name),
        names.ROLE_GATEWAY,
        data=render_config_files(settings),
    )
    return [
        build_service_account(agent, names.gateway(agent.name), names.ROLE_GATEWAY),
        *_build_rbac(agent),
        config,
        # HAProxy resolves its peers' names when it starts.
        *(
            _build_peer_service(agent, settings, ordinal)
            for ordinal in range(agent.spec.gateway.replicas)
        ),
        build_stateful_set(agent, platform, settings, config["data"]),
        build_disruption_budget(agent, names.gateway(agent.name), names.ROLE_GATEWAY),
        _build_service(agent),
    ]


def _build_settings(agent: Agent) -> GatewaySettings:
    port = GatewaySettings.peer_port
    pods = [_name_pod(agent, ordinal) for ordinal in range(agent.spec.gateway.replicas)]
    return GatewaySettings(
        affinity_ttl_seconds=agent.spec.gateway.affinity_ttl_seconds,
        # The name of a pod is that of the Service which is its address.
        peers=tuple(Peer(pod, f"{pod}:{port}") for pod in pods),
    )


def _name_pod(agent: Agent, ordinal: int) -> str:
    return f"{names.gateway(agent.name)}-{ordinal}"


def _build_rbac(agent: Agent) -> list[Manifest]:
    name = names.gateway(agent.name)
    role = agent.child(
        "rbac.authorization.k8s.io/v1",
        "Role",
        name,
        names.ROLE_GATEWAY,
        rules=[
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": [names.routes(agent.name)],
                "verbs": ["get", "list", "watch"],
            }
        ],
    )
    binding = agent.child(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        name,
        names.ROLE_GATEWAY,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": agent.namespace}],
    )
    return [role, binding]


def _build_peer_service(agent: Agent, settings: GatewaySettings, ordinal: int) -> Manifest:
    pod = _name_pod(agent, ordinal)
    return agent.child(
        "v1",
        "Service",
        pod,
        names.ROLE_GATEWAY,
        spec={
            # A pod receives the pins of the others before it is ready.
            "publishNotReadyAddresses": True,
            "selector": names.selector(agent.name, names.ROLE_GATEWAY)
            | {"statefulset.kubernetes.io/pod-name": pod},
            "ports": [{"name": "peers", "port": settings.peer_port, "targetPort": "peers"}],
        },
    )


def _build_service(agent: Agent) -> Manifest:
    settings = agent.spec.gateway.service
    manifest = agent.child(
        "v1",
        "Service",
        agent.name,
        names.ROLE_GATEWAY,
        spec={
            "type": settings.type,
            "selector": names.selector(agent.name, names.ROLE_GATEWAY),
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    )
    if settings.annotations:
        manifest["metadata"]["annotations"] = dict(settings.annotations)
    return manifest
