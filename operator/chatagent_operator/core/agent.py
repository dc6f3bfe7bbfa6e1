"""The agent's own objects: what it is as a whole, and one set of objects for each revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from chatagent_operator.api.group import API_VERSION, KIND
from chatagent_operator.api.pods import ResourceRequirements, SecretKeyRef
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import names
from chatagent_operator.core.revision import Revision, collection

Manifest = dict[str, Any]

PORT = 8080
CONFIG_FILE = "agent.yaml"
CONFIG_PATH = "/etc/chatagent"

RESTRICTED_POD: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Platform:
    """What the operator's own installation decides for every agent."""

    operator_image: str
    haproxy_image: str
    chroma_image: str
    redis_image: str
    gpu_runtime_class: str | None = None
    cluster_domain: str = "cluster.local"
    image_pull_secrets: tuple[str, ...] = ()
    image_pull_policy: str = "IfNotPresent"


@dataclass(frozen=True)
class Agent:
    """A ChatAgent as read from the API server."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: ChatAgentSpec

    def child(
        self,
        api_version: str,
        kind: str,
        name: str,
        role: str,
        revision: str | None = None,
        **body: Any,
    ) -> Manifest:
        """A child with its labels and its owner."""
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": names.labels(self.name, role, revision),
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": KIND,
                        "name": self.name,
                        "uid": self.uid,
                        "controller": True,
                    }
                ],
            },
            **body,
        }


@dataclass(frozen=True)
class Store:
    """How a pod reaches the vector store."""

    url: str
    """Such as `chroma://HOST:PORT` or `weaviate+https://HOST:PORT`; the collection follows."""

    token: SecretKeyRef | None = None
    query: str = ""
    """What follows the collection."""


@dataclass(frozen=True)
class Redis:
    """How a pod reaches Redis."""

    url: str
    """`redis://HOST:PORT/DATABASE`, or `rediss://` with TLS."""

    password: SecretKeyRef | None = None
    is_managed: bool = False
    """It is the agent's own."""


@dataclass(frozen=True)
class Servers:
    """What the pods of an agent talk to."""

    store: Store
    redis: Redis


def service_account(agent: Agent, name: str, role: str) -> Manifest:
    """A ServiceAccount whose token is mounted only where a pod asks for it."""
    return agent.child("v1", "ServiceAccount", name, role, automountServiceAccountToken=False)


def controller_revision(agent: Agent, revision: Revision, number: int) -> Manifest:
    """The revision as the API server remembers it."""
    return agent.child(
        "apps/v1",
        "ControllerRevision",
        names.of_revision(agent.name, revision.name),
        names.ROLE_AGENT,
        revision.name,
        data=revision.content,
    ) | {"revision": number}


def config_map(agent: Agent, revision: Revision) -> Manifest:
    """The pipeline of the revision, as `agent-runtime serve` reads it."""
    pipeline = revision.spec.pipeline.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return agent.child(
        "v1",
        "ConfigMap",
        names.of_revision(agent.name, revision.name),
        names.ROLE_AGENT,
        revision.name,
        immutable=True,
        data={CONFIG_FILE: yaml.safe_dump(pipeline, sort_keys=True, allow_unicode=True)},
    )


def service(agent: Agent, revision: Revision) -> Manifest:
    """The address of the revision's pods, for the gateway."""
    return agent.child(
        "v1",
        "Service",
        names.of_revision(agent.name, revision.name),
        names.ROLE_AGENT,
        revision.name,
        spec={
            "selector": names.selector(agent.name, names.ROLE_AGENT, revision.name),
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    )


def deployment(
    agent: Agent, revision: Revision, servers: Servers, pods: int, platform: Platform
) -> Manifest:
    """The pods of the revision."""
    template = pod_template(
        agent,
        revision,
        servers,
        platform,
        role=names.ROLE_AGENT,
        container={
            "name": "agent",
            "args": ["serve", f"{CONFIG_PATH}/{CONFIG_FILE}"],
            "ports": [{"name": "http", "containerPort": PORT}],
            "resources": _resources(revision.spec.resources),
            "startupProbe": _probe("/readyz", period=1, failures=600),
            "readinessProbe": _probe("/readyz", period=2, failures=2),
            "livenessProbe": _probe("/livez", period=10, failures=6),
        },
    )
    return agent.child(
        "apps/v1",
        "Deployment",
        names.of_revision(agent.name, revision.name),
        names.ROLE_AGENT,
        revision.name,
        spec={
            "replicas": pods,
            "revisionHistoryLimit": 0,
            "selector": {
                "matchLabels": names.selector(agent.name, names.ROLE_AGENT, revision.name)
            },
            "template": template,
        },
    )


def pod_template(
    agent: Agent,
    revision: Revision,
    servers: Servers,
    platform: Platform,
    role: str,
    container: Manifest,
    volumes: tuple[Manifest, ...] = (),
    mounts: tuple[Manifest, ...] = (),
) -> Manifest:
    """A pod of the runtime image, serving or ingesting, with the revision's pod settings."""
    pod = revision.spec.pod
    spec: Manifest = {
        "serviceAccountName": pod.service_account_name or agent.name,
        "automountServiceAccountToken": role == names.ROLE_AGENT and asks_api_server(revision),
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pod.termination_grace_period_seconds,
        "securityContext": RESTRICTED_POD,
        "containers": [
            {
                "image": revision.spec.image,
                "imagePullPolicy": pod.image_pull_policy,
                "env": _environment(agent, revision, servers),
                "envFrom": list(pod.env_from),
                "securityContext": RESTRICTED_CONTAINER,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                    *mounts,
                ],
                **container,
            }
        ],
        "volumes": [
            {
                "name": "config",
                "configMap": {"name": names.of_revision(agent.name, revision.name)},
            },
            {"name": "tmp", "emptyDir": {}},
            *volumes,
        ],
        **_placement(revision, platform, serves=role == names.ROLE_AGENT),
    }
    return {
        "metadata": {"labels": names.labels(agent.name, role, revision.name)},
        "spec": spec,
    }


def asks_api_server(revision: Revision) -> bool:
    """The pods ask the API server whose token it is or who may use a tool."""
    identity = revision.spec.pipeline.identity
    return identity.token_review is not None or identity.decision == "subjectAccessReview"


def pull_secrets(platform: Platform) -> Manifest:
    """Secrets for pulling the operator's own images, as a part of a pod."""
    secrets = [{"name": name} for name in platform.image_pull_secrets]
    return {"imagePullSecrets": secrets} if secrets else {}


def gpu_taints(resources: ResourceRequirements) -> list[str]:
    """Keys of the taints on nodes that have the GPUs that are asked for.

    NVIDIA's resources have many names (`nvidia.com/gpu`, `nvidia.com/mig-1g.5gb`), their nodes one
    taint; others name the taint like the resource.
    """
    asked = [name for name, amount in resources.limits.items() if str(amount) != "0"]
    nvidia = {"nvidia.com/gpu" for name in asked if name.startswith("nvidia.com/")}
    others = {name for name in asked if "/" in name and "gpu" in name}
    return sorted(nvidia | {name for name in others if not name.startswith("nvidia.com/")})


def _environment(agent: Agent, revision: Revision, servers: Servers) -> list[Manifest]:
    store, redis = servers.store, servers.redis
    place = collection(agent.namespace, agent.name, revision)
    own: list[Manifest] = [
        {"name": "AGENT_NAME", "value": f"{agent.namespace}/{agent.name}"},
        {"name": "AGENT_REVISION", "value": revision.name},
        {"name": "AGENT_VECTOR_STORE", "value": f"{store.url}/{place}{store.query}"},
        {"name": "AGENT_REDIS", "value": redis.url},
    ]
    secrets = {"AGENT_VECTOR_STORE_TOKEN": store.token, "AGENT_REDIS_PASSWORD": redis.password}
    for name, key in secrets.items():
        if key:
            reference = key.model_dump(mode="json", by_alias=True)
            if key == redis.password and redis.is_managed:
                reference["optional"] = True  # no pod waits for Redis, nor for its password
            own.append({"name": name, "valueFrom": {"secretKeyRef": reference}})
    theirs = [
        variable.model_dump(mode="json", by_alias=True, exclude_none=True)
        for variable in revision.spec.pod.env
    ]
    return theirs + own


def _placement(revision: Revision, platform: Platform, serves: bool) -> Manifest:
    pod = revision.spec.pod
    taints = gpu_taints(revision.spec.resources)
    tolerations = [
        toleration.model_dump(mode="json", by_alias=True, exclude_none=True)
        for toleration in pod.tolerations
    ] + [{"key": name, "operator": "Exists", "effect": "NoSchedule"} for name in taints]
    runtime_class = pod.runtime_class_name or (platform.gpu_runtime_class if taints else None)
    optional: Mapping[str, Any] = {
        "nodeSelector": dict(pod.node_selector),
        "tolerations": tolerations,
        "affinity": pod.affinity,
        "runtimeClassName": runtime_class if serves else None,
        "priorityClassName": pod.priority_class_name,
        "imagePullSecrets": [{"name": secret.name} for secret in pod.image_pull_secrets],
    }
    return {key: value for key, value in optional.items() if value}


def _resources(resources: ResourceRequirements) -> Manifest:
    return resources.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _probe(path: str, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
