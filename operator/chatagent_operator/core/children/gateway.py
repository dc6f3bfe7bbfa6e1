"""The gateway's objects: HAProxy, the sidecar that follows the operator's intent, and the Service
that clients talk to.

A StatefulSet, because the pods tell each other which conversation is where, and must be known to
each other by name before they start.
"""

from __future__ import annotations

from chatagent_operator.core import names
from chatagent_operator.core.agent import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Agent,
    Manifest,
    Platform,
    pull_secrets,
    service_account,
)
from chatagent_operator.core.routing.haproxy import (
    CONFIG_FILE,
    DRAIN_SECONDS,
    ENDED_FILE,
    ENDING_FILE,
    HARD_STOP_SECONDS,
    LINGER_SECONDS,
    GatewaySettings,
    Peer,
    render_config_files,
)
from chatagent_operator.core.routing.routes import ROUTES_KEY, Routes

SYNC_PORT = 8405
_GRACE_SECONDS = LINGER_SECONDS + DRAIN_SECONDS + HARD_STOP_SECONDS + 5
_START = """\
# A container that was stopped alone, and starts again, ends no more.
rm -f {ending}
# HAProxy refuses names that the cluster's DNS does not know yet.
tries=0
until haproxy -c -q -L "$POD_NAME" -f {config} || [ $((tries=tries+1)) -ge 10 ]; do sleep 1; done
exec haproxy -db -L "$POD_NAME" -f {config}
"""


def routes_config_map(agent: Agent, routes: Routes) -> Manifest:
    """The weights, for the sidecar."""
    return agent.child(
        "v1",
        "ConfigMap",
        names.routes(agent.name),
        names.ROLE_GATEWAY,
        data={ROUTES_KEY: routes.to_json()},
    )


def objects(agent: Agent, platform: Platform) -> list[Manifest]:
    """Everything but the weights."""
    settings = _settings(agent)
    config = agent.child(
        "v1",
        "ConfigMap",
        names.gateway(agent.name),
        names.ROLE_GATEWAY,
        data=render_config_files(settings),
    )
    return [
        service_account(agent, names.gateway(agent.name), names.ROLE_GATEWAY),
        *_rights(agent),
        config,
        # HAProxy looks its peers' names up when it starts.
        *(
            _peer_service(agent, settings, ordinal)
            for ordinal in range(agent.spec.gateway.replicas)
        ),
        _stateful_set(agent, platform, settings, config["data"]),
        _disruption_budget(agent),
        _service(agent),
    ]


def _settings(agent: Agent) -> GatewaySettings:
    port = GatewaySettings.peer_port
    pods = [_pod(agent, ordinal) for ordinal in range(agent.spec.gateway.replicas)]
    return GatewaySettings(
        affinity_ttl_seconds=agent.spec.gateway.affinity_ttl_seconds,
        # The name of a pod is that of the Service which is its address.
        peers=tuple(Peer(pod, f"{pod}:{port}") for pod in pods),
    )


def _pod(agent: Agent, ordinal: int) -> str:
    return f"{names.gateway(agent.name)}-{ordinal}"


def _rights(agent: Agent) -> list[Manifest]:
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


def _stateful_set(
    agent: Agent, platform: Platform, settings: GatewaySettings, config: Manifest
) -> Manifest:
    selector = names.selector(agent.name, names.ROLE_GATEWAY)
    spread = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": selector}}
    return agent.child(
        "apps/v1",
        "StatefulSet",
        names.gateway(agent.name),
        names.ROLE_GATEWAY,
        spec={
            "replicas": agent.spec.gateway.replicas,
            "serviceName": agent.name,
            "revisionHistoryLimit": 0,
            # They start together, and one that fails keeps no other from being made. A change is
            # rolled out to one after the other all the same, each ready before the next.
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {
                    "labels": names.labels(agent.name, names.ROLE_GATEWAY),
                    # a changed configuration is read by new pods, one after the other
                    "annotations": {"chatagent.dev/config": names.digest(config)},
                },
                "spec": {
                    "serviceAccountName": names.gateway(agent.name),
                    "automountServiceAccountToken": True,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    "securityContext": RESTRICTED_POD,
                    "affinity": {
                        "podAntiAffinity": {
                            "preferredDuringSchedulingIgnoredDuringExecution": [
                                {"weight": 100, "podAffinityTerm": spread}
                            ]
                        }
                    },
                    "containers": [_haproxy(platform, settings), _sync(agent, platform, settings)],
                    "volumes": [
                        {"name": "config", "configMap": {"name": names.gateway(agent.name)}},
                        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
                    ],
                    **pull_secrets(platform),
                },
            },
        },
    )


def _peer_service(agent: Agent, settings: GatewaySettings, ordinal: int) -> Manifest:
    pod = _pod(agent, ordinal)
    return agent.child(
        "v1",
        "Service",
        pod,
        names.ROLE_GATEWAY,
        spec={
            # A pod gets the others' conversations before it is ready.
            "publishNotReadyAddresses": True,
            "selector": names.selector(agent.name, names.ROLE_GATEWAY)
            | {"statefulset.kubernetes.io/pod-name": pod},
            "ports": [{"name": "peers", "port": settings.peer_port, "targetPort": "peers"}],
        },
    )


def _disruption_budget(agent: Agent) -> Manifest:
    return agent.child(
        "policy/v1",
        "PodDisruptionBudget",
        names.gateway(agent.name),
        names.ROLE_GATEWAY,
        spec={
            "maxUnavailable": 1,
            # One that is not ready protects nobody, and must not stop a node from being emptied.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": names.selector(agent.name, names.ROLE_GATEWAY)},
        },
    )


def _haproxy(platform: Platform, settings: GatewaySettings) -> Manifest:
    config = f"{settings.config_dir}/{CONFIG_FILE}"
    ending, ended = (f"{_folder(settings)}/{name}" for name in (ENDING_FILE, ENDED_FILE))
    return {
        "name": "haproxy",
        "image": platform.haproxy_image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["/bin/sh", "-c", _START.format(ending=ending, config=config)],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [
            {"name": "http", "containerPort": settings.http_port},
            {"name": "ops", "containerPort": settings.ops_port},
            {"name": "peers", "containerPort": settings.peer_port},
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": RESTRICTED_CONTAINER,
        # The sidecar says when no request is left: SIGTERM, which comes next, cuts them.
        "lifecycle": {
            "preStop": {
                "exec": {
                    "command": [
                        "/bin/sh",
                        "-c",
                        f"touch {ending}; while [ ! -e {ended} ]; do sleep 1; done; "
                        "kill -USR1 1; while kill -0 1; do sleep 1; done",
                    ]
                }
            }
        },
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "ops"}, "periodSeconds": 1},
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "ops"},
            "periodSeconds": 10,
            "failureThreshold": 6,
            # One that hangs has nothing to wait for.
            "terminationGracePeriodSeconds": 5,
        },
        "volumeMounts": [
            {"name": "config", "mountPath": settings.config_dir, "readOnly": True},
            _run_directory(settings),
        ],
    }


def _sync(agent: Agent, platform: Platform, settings: GatewaySettings) -> Manifest:
    return {
        "name": "sync",
        "image": platform.operator_image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["python3", "-m", "chatagent_operator.gateway.sync"],
        "env": [
            {"name": "ROUTES_NAMESPACE", "value": agent.namespace},
            {"name": "ROUTES_CONFIGMAP", "value": names.routes(agent.name)},
        ],
        "ports": [{"name": "sync", "containerPort": SYNC_PORT}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": RESTRICTED_CONTAINER,
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "sync"},
            "periodSeconds": 10,
            "failureThreshold": 6,
        },
        # no readiness probe: HAProxy goes on without its sidecar
        "volumeMounts": [_run_directory(settings)],
    }


def _run_directory(settings: GatewaySettings) -> Manifest:
    return {"name": "run", "mountPath": _folder(settings)}


def _folder(settings: GatewaySettings) -> str:
    return settings.socket.rsplit("/", 1)[0]


def _service(agent: Agent) -> Manifest:
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
