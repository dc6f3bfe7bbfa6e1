"""The objects that make a bare cluster usable: DNS, a default StorageClass, and their rights."""

from __future__ import annotations

from typing import Any

from dev import components
from dev import credentials as users
from dev.settings import DNS_SERVICE_ADDRESS, NODE_ADDRESS

Manifest = dict[str, Any]
READ = ["get", "list", "watch"]
WRITE = [*READ, "create", "delete", "patch", "update"]
DNS_PORTS = [
    {"name": "dns", "port": 53, "protocol": "UDP"},
    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
]


def manifests() -> list[Manifest]:
    return [*dns(), *volumes()]


def dns() -> list[Manifest]:
    """CoreDNS runs as a process on the node, so its Service has no selector but a slice by hand."""
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    labels = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, "labels": labels},
        "spec": {"clusterIP": DNS_SERVICE_ADDRESS, "ports": DNS_PORTS},
    }
    endpoints: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}],
        "ports": DNS_PORTS,
    }
    rules = [
        rule("", ["endpoints", "services", "pods", "namespaces"], ["list", "watch"]),
        rule("discovery.k8s.io", ["endpointslices"], ["list", "watch"]),
    ]
    return [service, endpoints, *cluster_role(users.COREDNS, rules)]


def volumes() -> list[Manifest]:
    namespace: Manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": components.PROVISIONER_NAMESPACE},
    }
    account: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            # The name that the provisioner gives to its helper pods.
            "name": "local-path-provisioner-service-account",
            "namespace": components.PROVISIONER_NAMESPACE,
        },
        "automountServiceAccountToken": False,
    }
    storage_class: Manifest = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": {
                "storageclass.kubernetes.io/is-default-class": "true",
                # The kubelet gives `local` volumes to a pod's fsGroup; `hostPath` ones it does not.
                "defaultVolumeType": "local",
            },
        },
        "provisioner": components.PROVISIONER_NAME,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }
    rules = [
        rule("", ["nodes", "persistentvolumeclaims", "configmaps"], READ),
        rule("", ["pods", "persistentvolumes"], WRITE),
        rule("", ["pods/log"], ["get"]),
        rule("", ["events"], ["create", "patch"]),
        rule("storage.k8s.io", ["storageclasses"], READ),
    ]
    return [namespace, account, storage_class, *cluster_role(users.PROVISIONER, rules)]


def rule(group: str, resources: list[str], verbs: list[str]) -> Manifest:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def cluster_role(user: users.User, rules: list[Manifest]) -> list[Manifest]:
    """A role of the user's name, bound to the user."""
    api, metadata = "rbac.authorization.k8s.io", {"name": user.name}
    return [
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": rules,
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": user.name},
            "subjects": [{"apiGroup": api, "kind": "User", "name": user.name}],
        },
    ]
