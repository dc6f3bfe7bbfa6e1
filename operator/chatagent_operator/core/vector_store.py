"""The managed vector store: one Chroma server with a volume, behind a headless Service."""

from __future__ import annotations

from chatagent_operator.api.v1alpha1 import ManagedStore
from chatagent_operator.core import names
from chatagent_operator.core.agent import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Agent,
    Manifest,
    Platform,
    Store,
    pull_secrets,
)

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
    name = names.vector_store(agent.name)
    selector = names.selector(agent.name, names.ROLE_VECTOR_STORE)
    service = agent.child(
        "v1",
        "Service",
        name,
        names.ROLE_VECTOR_STORE,
        spec={
            "clusterIP": "None",
            "selector": selector,
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    )
    stateful_set = agent.child(
        "apps/v1",
        "StatefulSet",
        name,
        names.ROLE_VECTOR_STORE,
        spec={
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": selector},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": settings.deletion_policy,
                "whenScaled": "Retain",
            },
            "template": _template(agent, settings, platform),
            "volumeClaimTemplates": [_claim(agent, settings)],
        },
    )
    return [service, stateful_set]


def _template(agent: Agent, settings: ManagedStore, platform: Platform) -> Manifest:
    probe = {"httpGet": {"path": "/api/v2/heartbeat", "port": "http"}, "timeoutSeconds": 2}
    container: Manifest = {
        "name": "chroma",
        "image": platform.chroma_image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["chroma"],
        "args": ["run", "--host", "0.0.0.0", "--port", str(PORT), "--path", "/data"],  # noqa: S104
        "env": [
            {"name": "ANONYMIZED_TELEMETRY", "value": "False"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": settings.resources.model_dump(mode="json", exclude_defaults=True),
        "securityContext": RESTRICTED_CONTAINER,
        "readinessProbe": probe | {"periodSeconds": 2, "failureThreshold": 2},
        "livenessProbe": probe | {"periodSeconds": 10, "failureThreshold": 6},
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    return {
        "metadata": {"labels": names.labels(agent.name, names.ROLE_VECTOR_STORE)},
        "spec": {
            "serviceAccountName": agent.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": RESTRICTED_POD,
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        }
        | pull_secrets(platform),
    }


def _claim(agent: Agent, settings: ManagedStore) -> Manifest:
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": settings.storage.size}},
    }
    if settings.storage.storage_class_name:
        spec["storageClassName"] = settings.storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "labels": names.selector(agent.name, names.ROLE_VECTOR_STORE),
        },
        "spec": spec,
    }
