"""The pods of an agent's own gateway: HAProxy, and the sidecar that applies the routes.

A StatefulSet, because the pods share the table of conversations and need each other's names before
they start.
"""

from __future__ import annotations

from chatagent_operator.core import names
from chatagent_operator.core.agent import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Agent,
    Manifest,
    Platform,
    build_pull_secrets,
)
from chatagent_operator.core.children.placement import build_metadata, build_placement
from chatagent_operator.core.children.resources import fill_resources
from chatagent_operator.core.routing.haproxy import (
    CONFIG_FILE,
    DRAIN_SECONDS,
    ENDED_FILE,
    ENDING_FILE,
    HARD_STOP_SECONDS,
    LINGER_SECONDS,
    GatewaySettings,
)

SYNC_PORT = 8405
_GRACE_SECONDS = LINGER_SECONDS + DRAIN_SECONDS + HARD_STOP_SECONDS + 5
_START = """\
# A container that was stopped alone and starts again is not ending.
rm -f {ending}
# HAProxy refuses names that the cluster's DNS does not know yet.
tries=0
until haproxy -c -q -L "$POD_NAME" -f {config} || [ $((tries=tries+1)) -ge 10 ]; do sleep 1; done
exec haproxy -db -L "$POD_NAME" -f {config}
"""


def build_stateful_set(
    agent: Agent, platform: Platform, settings: GatewaySettings, config: Manifest
) -> Manifest:
    """Return the StatefulSet."""
    selector = names.selector(agent.name, names.ROLE_GATEWAY)
    gateway = agent.spec.gateway
    return agent.child(
        "apps/v1",
        "StatefulSet",
        names.gateway(agent.name),
        names.ROLE_GATEWAY,
        spec={
            "replicas": gateway.replicas,
            "serviceName": agent.name,
            "revisionHistoryLimit": 0,
            # They start together, and one that fails does not block the others. A change is still
            # rolled out to one after the other, each ready before the next.
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": build_metadata(
                    names.labels(agent.name, names.ROLE_GATEWAY),
                    gateway.pod,
                    # a changed configuration replaces the pods, one after the other
                    {"chatagent.dev/config": names.digest(config)},
                ),
                "spec": {
                    "serviceAccountName": names.gateway(agent.name),
                    "automountServiceAccountToken": True,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    "securityContext": RESTRICTED_POD,
                    "containers": [
                        _build_haproxy(agent, platform, settings),
                        _build_sidecar(agent, platform, settings),
                    ],
                    "volumes": [
                        {"name": "config", "configMap": {"name": names.gateway(agent.name)}},
                        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
                    ],
                    **build_placement(gateway.pod, spread=selector),
                    **build_pull_secrets(platform),
                },
            },
        },
    )


def _build_haproxy(agent: Agent, platform: Platform, settings: GatewaySettings) -> Manifest:
    config = f"{settings.config_dir}/{CONFIG_FILE}"
    ending, ended = (f"{_find_folder(settings)}/{name}" for name in (ENDING_FILE, ENDED_FILE))
    return {
        "name": "haproxy",
        "image": platform.images["haproxy"],
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["/bin/sh", "-c", _START.format(ending=ending, config=config)],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [
            {"name": "http", "containerPort": settings.http_port},
            {"name": "ops", "containerPort": settings.ops_port},
            {"name": "peers", "containerPort": settings.peer_port},
        ],
        "resources": fill_resources(
            agent.spec.gateway.resources,
            requests={"cpu": "50m", "memory": "64Mi"},
            limits={"memory": "256Mi"},
        ),
        "securityContext": RESTRICTED_CONTAINER,
        # The sidecar reports when no request is left: SIGTERM, which follows, cuts them.
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
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "ops"},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "ops"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
            # A process that hangs need not be waited for.
            "terminationGracePeriodSeconds": 5,
        },
        "volumeMounts": [
            {"name": "config", "mountPath": settings.config_dir, "readOnly": True},
            _mount_run_directory(settings),
        ],
    }


def _build_sidecar(agent: Agent, platform: Platform, settings: GatewaySettings) -> Manifest:
    return {
        "name": "sync",
        "image": platform.images["operator"],
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["python3", "-m", "chatagent_operator.gateway.sync"],
        "env": [
            {"name": "ROUTES_NAMESPACE", "value": agent.namespace},
            {"name": "ROUTES_CONFIGMAP", "value": names.routes(agent.name)},
        ],
        "ports": [{"name": "sync", "containerPort": SYNC_PORT}],
        "resources": fill_resources(
            agent.spec.gateway.sync_resources,
            requests={"cpu": "10m", "memory": "64Mi"},
            limits={"memory": "256Mi"},
        ),
        "securityContext": RESTRICTED_CONTAINER,
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "sync"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        # no readiness probe: HAProxy serves without its sidecar
        "volumeMounts": [_mount_run_directory(settings)],
    }


def _mount_run_directory(settings: GatewaySettings) -> Manifest:
    return {"name": "run", "mountPath": _find_folder(settings)}


def _find_folder(settings: GatewaySettings) -> str:
    return settings.socket.rsplit("/", 1)[0]
