"""The managed vector store: one Chroma server with a volume, behind a headless Service."""

from __future__ import annotations

from chatagent_operator.api.v1alpha1 import ManagedStore
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest, Platform, Store
from chatagent_operator.core.children import stateful

PORT = 8000
_PORTS = {"http": 80, "https": 443}


def managed(agent: Agent) -> ManagedStore | None:
    """Settings of the managed store; None where the store is external."""
    store = agent.spec.vector_store
    return None if store.external else store.managed or ManagedStore()


def address(agent: Agent, platform: Platform) -> Store:
    """Where the store answers."""
    if external := agent.spec.vector_store.external:
        scheme, _, server = external.url.partition("://")
        engine = agent.spec.vector_store.engine
        default = "" if ":" in server else f":{_PORTS[scheme]}"
        secure = "+https" if scheme == "https" else ""
        grpc = f"?grpc={external.grpc_port}" if engine == "weaviate" else ""
        return Store(f"{engine}{secure}://{server}{default}", external.token_secret_ref, grpc)
    host = f"{names.vector_store(agent.name)}.{agent.namespace}.svc.{platform.cluster_domain}"
    return Store(f"chroma://{host}:{PORT}")


def objects(agent: Agent, settings: ManagedStore, platform: Platform) -> list[Manifest]:
    """Headless Service and StatefulSet."""
    probe = {"httpGet": {"path": "/api/v2/heartbeat", "port": "http"}, "timeoutSeconds": 2}
    container: Manifest = {
        "name": "chroma",
        "image": platform.chroma_image,
        "command": ["chroma"],
        "args": ["run", "--host", "0.0.0.0", "--port", str(PORT), "--path", "/data"],  # noqa: S104
        "env": [
            {"name": "ANONYMIZED_TELEMETRY", "value": "False"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": settings.resources.model_dump(mode="json", exclude_defaults=True),
        "readinessProbe": probe | {"periodSeconds": 2, "failureThreshold": 2},
        "livenessProbe": probe | {"periodSeconds": 10, "failureThreshold": 6},
    }
    return stateful.objects(
        agent, names.ROLE_VECTOR_STORE, names.vector_store(agent.name), container, platform,
        storage=settings.storage, when_deleted=settings.deletion_policy, is_headless=True,
    )  # fmt: skip
