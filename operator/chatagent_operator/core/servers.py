"""Addresses of an agent's vector store and Redis, managed or external."""

from __future__ import annotations

from dataclasses import dataclass

from chatagent_operator.api.pods import SecretKeyRef
from chatagent_operator.api.v1alpha1 import ManagedRedis, ManagedStore
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Platform

STORE_PORT = 8000
REDIS_PORT = 6379
PASSWORD_KEY = "password"  # noqa: S105  a key, not a password
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MANAGED_STORE, _MANAGED_REDIS = ManagedStore(), ManagedRedis()


@dataclass(frozen=True)
class Store:
    """Address and credentials of the vector store."""

    url: str
    """Such as `chroma://HOST:PORT` or `weaviate+https://HOST:PORT`; the collection follows."""

    token: SecretKeyRef | None = None
    query: str = ""
    """Query string after the collection."""


@dataclass(frozen=True)
class Redis:
    """Address and credentials of Redis."""

    url: str
    """`redis://HOST:PORT/DATABASE`, or `rediss://` with TLS."""

    password: SecretKeyRef | None = None
    is_managed: bool = False


@dataclass(frozen=True)
class Servers:
    """The servers that the pods of an agent connect to."""

    store: Store
    redis: Redis


def find_servers(agent: Agent, platform: Platform) -> Servers:
    """Return the addresses of the agent's servers."""
    return Servers(_find_store(agent, platform), _find_redis(agent, platform))


def find_managed_store(agent: Agent) -> ManagedStore | None:
    """Return the settings of the managed store; None where it is external."""
    store = agent.spec.vector_store
    return None if store.external else store.managed or _MANAGED_STORE


def find_managed_redis(agent: Agent) -> ManagedRedis | None:
    """Return the settings of the managed Redis; None where it is external."""
    redis = agent.spec.redis
    return None if redis.external else redis.managed or _MANAGED_REDIS


def _find_store(agent: Agent, platform: Platform) -> Store:
    if external := agent.spec.vector_store.external:
        scheme, _, server = external.url.partition("://")
        engine = agent.spec.vector_store.engine
        port = "" if ":" in server else f":{_DEFAULT_PORTS[scheme]}"
        secure = "+https" if scheme == "https" else ""
        grpc = f"?grpc={external.grpc_port}" if engine == "weaviate" else ""
        return Store(f"{engine}{secure}://{server}{port}", external.token_secret_ref, grpc)
    return Store(f"chroma://{_host(names.vector_store(agent.name), agent, platform)}:{STORE_PORT}")


def _find_redis(agent: Agent, platform: Platform) -> Redis:
    if external := agent.spec.redis.external:
        return Redis(external.url, external.password_secret_ref)
    name = names.redis(agent.name)
    url = f"redis://{_host(name, agent, platform)}:{REDIS_PORT}"
    return Redis(url, SecretKeyRef(name=name, key=PASSWORD_KEY), is_managed=True)


def _host(service: str, agent: Agent, platform: Platform) -> str:
    return f"{service}.{agent.namespace}.svc.{platform.cluster_domain}"
