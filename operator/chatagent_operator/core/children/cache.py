"""The managed Redis of an agent: cached answers and sessions. The agent answers without it too."""

from __future__ import annotations

from decimal import Decimal

from chatagent_operator.api.pods import Quantity, SecretKeyRef
from chatagent_operator.api.v1alpha1 import ManagedRedis
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest, Platform, Redis
from chatagent_operator.core.children import stateful

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
    # `-e`: an error that it answers with counts as one
    probe = {"exec": {"command": ["redis-cli", "-e", "ping"]}, "timeoutSeconds": 3}
    name = names.redis(agent.name)
    reference = {"name": name, "key": PASSWORD_KEY}
    container: Manifest = {
        "name": "redis",
        "image": platform.redis_image,
        "command": ["sh", "-c", _START, "redis-server"],
        "args": _arguments(settings),
        "env": [{"name": "REDISCLI_AUTH", "valueFrom": {"secretKeyRef": reference}}],
        "ports": [{"name": "redis", "containerPort": PORT}],
        "resources": {
            "requests": _REQUESTS | settings.resources.requests,
            "limits": {"memory": MEMORY_LIMIT} | settings.resources.limits,
        },
        "readinessProbe": probe | {"periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": probe | {"periodSeconds": 20, "failureThreshold": 5},
    }
    return stateful.objects(
        agent, names.ROLE_CACHE, name, container, platform,
        storage=settings.storage, temporary={"medium": "Memory"},
    )  # fmt: skip


def max_memory(settings: ManagedRedis) -> int:
    """Bytes that Redis may fill, less than what its container may use."""
    limit = settings.resources.limits.get("memory", MEMORY_LIMIT)
    return int(_amount(limit) * MEMORY_SHARE)


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


def _amount(quantity: Quantity) -> Decimal:
    text = str(quantity)
    number = text.rstrip("".join(sorted(set("".join(_SUFFIXES)))))
    return Decimal(number) * _SUFFIXES[text[len(number) :]]
