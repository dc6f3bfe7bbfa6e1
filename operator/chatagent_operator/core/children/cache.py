"""The managed Redis of an agent: cached answers and sessions. The agent also serves without it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

from chatagent_operator.api.conditions import ConditionType, Finding
from chatagent_operator.api.pods import Quantity
from chatagent_operator.api.v1alpha1 import ManagedRedis
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest, Platform
from chatagent_operator.core.children import stateful
from chatagent_operator.core.children.component import (
    Component,
    desire_all,
    find_workload_condition,
)
from chatagent_operator.core.children.resources import fill_resources
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.quantities import parse_quantity
from chatagent_operator.core.servers import PASSWORD_KEY, REDIS_PORT, find_managed_redis
from chatagent_operator.core.writes import Create, DesiredObject

MEMORY_LIMIT = "384Mi"
MEMORY_SHARE = Decimal(2) / 3
"""Share of the container's memory limit; the rest is for buffers and for rewriting the AOF."""
_REQUESTS = {"cpu": "50m", "memory": "64Mi"}
_START = (
    'umask 077; printf \'requirepass "%s"\\n\' "$REDISCLI_AUTH" > /tmp/redis.conf; '
    'exec "$0" /tmp/redis.conf "$@"'
)
"""The password is in a file, because arguments of processes can be read on the node."""


class Cache(Component):
    """The managed Redis."""

    role = names.ROLE_CACHE
    order = 50
    reports_trouble = True
    images = ("redis",)

    def build_objects(self, state: DesiredState) -> Iterator[DesiredObject]:
        """Return the objects of a managed Redis."""
        if settings := find_managed_redis(state.agent):
            name = names.redis(state.agent.name)
            password = state.view.find_new_password("StatefulSet", name)
            is_parallel = stateful.may_be_parallel(name, state.observed)
            build = partial(
                build_objects, state.agent, settings, state.view.platform, is_parallel, password
            )
            yield from desire_all(state.agent, self.role, build, password or "")

    def build_secrets(self, state: DesiredState) -> Iterator[Create]:
        """Return the password of a new Redis, or of one whose Secret was lost."""
        if find_managed_redis(state.agent) and state.view.password_written_at is None:
            name = names.redis(state.agent.name)
            yield Create("Secret", name, partial(build_secret, state.agent))

    def find_condition(self, state: DesiredState) -> Finding:
        """Return whether Redis is available. Nothing waits for it: the agent serves without it."""
        aspect = ConditionType.CACHE_READY
        reports = state.observed.reports.values()
        refused = next((each for each in reports if each.is_cache), None)
        if find_managed_redis(state.agent) is None:
            if refused:
                return Finding(aspect, "False", refused.reason, refused.message)
            message = (
                "the operator does not connect to an external Redis; "
                "check the metrics and the logs of the agent's pods"
            )
            return Finding(aspect, "Unknown", "External", message)
        name = names.redis(state.agent.name)
        found = find_workload_condition(aspect, name, "Redis is starting", self, state)
        if refusal := state.view.refusals.get(("Secret", name)):
            found = Finding(aspect, "False", refusal.reason, refusal.message)
        elif _is_password_replaced(state):
            message = (
                f"the password in Secret {name} was lost or changed; Redis and the agent's pods "
                "are restarted to read the present one"
            )
            found = Finding(aspect, "False", "PasswordChanged", message)
        if found.is_true and refused:
            return Finding(aspect, "False", refused.reason, refused.message)
        if found.is_true:
            return found
        effect = "until then answers are not cached and conversations are not remembered"
        return Finding(aspect, found.status, found.reason, f"{found.message}; {effect}")


COMPONENT = Cache()


def build_secret(agent: Agent, password: str) -> Manifest:
    """Return the Secret with the password. It is created once, and never read."""
    return agent.child(
        "v1",
        "Secret",
        names.redis(agent.name),
        names.ROLE_CACHE,
        stringData={PASSWORD_KEY: password},
    )


def build_objects(
    agent: Agent,
    settings: ManagedRedis,
    platform: Platform,
    is_parallel: bool,
    password: str | None = None,
) -> list[Manifest]:
    """Return the Service and the StatefulSet.

    Args:
        password: when the password was written, if it is not the first one: Redis reads it only
            when it starts.
    """
    # `-e`: exit with an error if the response is one, as while the data is loaded
    probe = {"exec": {"command": ["redis-cli", "-e", "ping"]}}
    name = names.redis(agent.name)
    reference = {"name": name, "key": PASSWORD_KEY}
    container: Manifest = {
        "name": "redis",
        "image": platform.images["redis"],
        "command": ["sh", "-c", _START, "redis-server"],
        "args": _arguments(settings),
        "env": [{"name": "REDISCLI_AUTH", "valueFrom": {"secretKeyRef": reference}}],
        "ports": [{"name": "redis", "containerPort": REDIS_PORT}],
        "resources": _fill_resources(settings),
        **stateful.build_probes(probe),
    }
    return stateful.build_objects(
        agent, names.ROLE_CACHE, name, container, platform,
        is_parallel=is_parallel, placement=settings.pod, storage=settings.storage,
        temporary={"medium": "Memory"},
        annotations={names.PASSWORD_ANNOTATION: password} if password else None,
    )  # fmt: skip


def _is_password_replaced(state: DesiredState) -> bool:
    """Return whether the password was lost or changed, and pods still have the previous one."""
    name = names.redis(state.agent.name)
    if state.view.password_written_at is None:
        return state.observed.get("StatefulSet", name) is not None
    revisions = [names.revision(state.agent.name, each.name) for each in state.live]
    for kind, workload in (("StatefulSet", name), *(("Deployment", each) for each in revisions)):
        password = state.view.find_new_password(kind, workload)
        found = state.observed.workload(kind, workload)
        if password and found and not (found.password == password and found.settled):
            return True
    return False


def find_max_memory(settings: ManagedRedis) -> int:
    """Return the memory that Redis may use for data, in bytes."""
    return int(parse_quantity(_fill_resources(settings)["limits"]["memory"]) * MEMORY_SHARE)


def _fill_resources(settings: ManagedRedis) -> dict[str, dict[str, Quantity]]:
    limits = {"memory": MEMORY_LIMIT}
    return fill_resources(settings.resources, requests=_REQUESTS, limits=limits)


def _arguments(settings: ManagedRedis) -> list[str]:
    return [
        "--bind", "*", "-::*",
        "--port", str(REDIS_PORT),
        "--dir", "/data",
        "--maxmemory", str(find_max_memory(settings)),
        # Keys that expire are evicted, the least recently used first; files and responses are kept.
        "--maxmemory-policy", "volatile-lru",
        "--save", "",
        "--appendonly", "yes" if settings.storage else "no",
    ]  # fmt: skip
