"""The managed Redis of an agent: cached answers and sessions. The agent answers without it too."""

from __future__ import annotations

from decimal import Decimal

from chatagent_operator.api.pods import Quantity, SecretKeyRef
from chatagent_operator.api.v1alpha1 import ManagedRedis
from chatagent_operator.core import names
from chatagent_operator.core.agent import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Agent,
    Manifest,
    Platform,
    Redis,
    pull_secrets,
)

PORT = 6379
PASSWORD_KEY = "password"  # noqa: S105  a key, not a password
MEMORY_LIMIT = "384Mi"
MEMORY_SHARE = Decimal(2) / 3
"""Of the container's limit: the rest is for buffers and for writing the file of what happened."""
_REQUESTS = {"cpu": "20m", "memory": "64Mi"}
_SUFFIXES = {
    "": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "E": 10**18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_START = (
    'umask 077; printf \'requirepass "%s"\\n\' "$REDISCLI_AUTH" > /tmp/redis.conf; '
    'exec "$0" /tmp/redis.conf "$@"'
)
"""In a file, since everybody on the node can read the words of a command."""


def managed(agent: Agent) -> ManagedRedis | None:
    """Settings of the managed Redis; None where it is external."""
    redis = agent.spec.redis
    return None if redis.external else redis.managed or ManagedRedis()


def address(agent: Agent, platform: Platform) -> Redis:
    """Where Redis answers."""
    if external := agent.spec.redis.external:
        return Redis(external.url, external.password_secret_ref)
    name = names.redis(agent.name)
    host = f"{name}.{agent.namespace}.svc.{platform.cluster_domain}"
    password = SecretKeyRef(name=name, key=PASSWORD_KEY)
    return Redis(f"redis://{host}:{PORT}", password, is_managed=True)


def secret(agent: Agent, password: str) -> Manifest:
    """The password, made once; the operator never reads it again."""
    return agent.child(
        "v1",
        "Secret",
        names.redis(agent.name),
        names.ROLE_CACHE,
        stringData={PASSWORD_KEY: password},
    )


def objects(agent: Agent, settings: ManagedRedis, platform: Platform) -> list[Manifest]:
    """Service and StatefulSet."""
    name = names.redis(agent.name)
    selector = names.selector(agent.name, names.ROLE_CACHE)
    service = agent.child(
        "v1",
        "Service",
        name,
        names.ROLE_CACHE,
        spec={
            "selector": selector,
            "ports": [{"name": "redis", "port": PORT, "targetPort": "redis"}],
        },
    )
    spec: Manifest = {
        "replicas": 1,
        "serviceName": name,
        "selector": {"matchLabels": selector},
        "template": _template(agent, settings, platform),
    }
    if settings.storage:
        spec["persistentVolumeClaimRetentionPolicy"] = {
            "whenDeleted": "Delete",
            "whenScaled": "Retain",
        }
        spec["volumeClaimTemplates"] = [_claim(agent, settings)]
    stateful_set = agent.child("apps/v1", "StatefulSet", name, names.ROLE_CACHE, spec=spec)
    return [service, stateful_set]


def max_memory(settings: ManagedRedis) -> int:
    """Bytes that Redis may fill, less than what its container may use."""
    limit = settings.resources.limits.get("memory", MEMORY_LIMIT)
    return int(_amount(limit) * MEMORY_SHARE)


def _template(agent: Agent, settings: ManagedRedis, platform: Platform) -> Manifest:
    # `-e`: an error that it answers with counts as one
    probe = {"exec": {"command": ["redis-cli", "-e", "ping"]}, "timeoutSeconds": 3}
    reference = {"name": names.redis(agent.name), "key": PASSWORD_KEY}
    container: Manifest = {
        "name": "redis",
        "image": platform.redis_image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["sh", "-c", _START, "redis-server"],
        "args": _arguments(settings),
        "env": [{"name": "REDISCLI_AUTH", "valueFrom": {"secretKeyRef": reference}}],
        "ports": [{"name": "redis", "containerPort": PORT}],
        "resources": {
            "requests": _REQUESTS | settings.resources.requests,
            "limits": {"memory": MEMORY_LIMIT} | settings.resources.limits,
        },
        "securityContext": RESTRICTED_CONTAINER,
        "readinessProbe": probe | {"periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": probe | {"periodSeconds": 20, "failureThreshold": 5},
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {"medium": "Memory"}}]
    if settings.storage is None:
        volumes.append({"name": "data", "emptyDir": {}})
    return {
        "metadata": {"labels": names.labels(agent.name, names.ROLE_CACHE)},
        "spec": {
            "serviceAccountName": agent.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": RESTRICTED_POD,
            "containers": [container],
            "volumes": volumes,
        }
        | pull_secrets(platform),
    }


def _arguments(settings: ManagedRedis) -> list[str]:
    return [
        "--bind", "*", "-::*",
        "--port", str(PORT),
        "--dir", "/data",
        "--maxmemory", str(max_memory(settings)),
        # What has a time limit makes room, the least used first; files and responses stay.
        "--maxmemory-policy", "volatile-lru",
        "--save", "",
        "--appendonly", "yes" if settings.storage else "no",
    ]  # fmt: skip


def _claim(agent: Agent, settings: ManagedRedis) -> Manifest:
    assert settings.storage is not None  # noqa: S101  asked for only where there is one
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": settings.storage.size}},
    }
    if settings.storage.storage_class_name:
        spec["storageClassName"] = settings.storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": names.selector(agent.name, names.ROLE_CACHE)},
        "spec": spec,
    }


def _amount(quantity: Quantity) -> Decimal:
    text = str(quantity)
    number = text.rstrip("".join(sorted(set("".join(_SUFFIXES)))))
    return Decimal(number) * _SUFFIXES[text[len(number) :]]
