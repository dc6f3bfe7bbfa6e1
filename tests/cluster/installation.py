"""The operator under test: installed with Helm, killed on purpose, its writes counted."""

from __future__ import annotations

import re
import urllib.request
from typing import Any

from dev import release
from tests.cluster.kubectl import IMAGES, SYSTEM_NAMESPACE, Kubectl, dev, until

SELECTOR = "app.kubernetes.io/name=chatagent-operator"
LEASE = "chatagent-operator"


def install_operator() -> Kubectl:
    """Install or upgrade it; returns once it runs with the images that are built now."""
    system = Kubectl(SYSTEM_NAMESPACE)
    values = {
        "image.repository": f"{IMAGES}/operator",
        "images.chroma": f"{IMAGES}/chroma:1.5.9",
        "images.haproxy": f"{IMAGES}/haproxy:2.6",
        "images.redis": f"{IMAGES}/redis:7.0",
        "gpuRuntimeClass": "nvidia",
    }
    helm = (dev("bin", "helm"), "--kubeconfig", system.kubeconfig)
    release.install(helm, SYSTEM_NAMESPACE, values)
    system.run("rollout", "restart", "deployment/chatagent-operator")
    system.run("rollout", "status", "deployment/chatagent-operator", "--timeout=180s")
    # Those that were replaced may hold the Lease for as long as they end.
    until(lambda: leader(system) in {name_of(pod) for pod in replicas(system)}, "a leader", 60)
    return system


def leader(system: Kubectl) -> str:
    """Name of the pod that leads; empty where none does."""
    return holder(system).rsplit("_", 1)[0]


def holder(system: Kubectl) -> str:
    """Identity of the process that leads; empty where none does."""
    found = system.run(
        "get", "lease", LEASE, "--ignore-not-found", "-o", "jsonpath={.spec.holderIdentity}"
    )
    return found.strip()


def replicas(system: Kubectl) -> list[dict[str, Any]]:
    """Pods of the operator that run and are not being deleted."""
    return [
        pod
        for pod in system.list("pods", SELECTOR)
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def name_of(body: dict[str, Any]) -> str:
    """Name of an object."""
    return body["metadata"]["name"]


def kill_operator(system: Kubectl) -> None:
    """Kill all replicas without grace, as lost nodes would. Kubernetes starts others."""
    system.run("delete", "pods", "-l", SELECTOR, "--grace-period=0", "--force")


def await_operator(system: Kubectl) -> None:
    """Wait until one is ready."""
    system.run("rollout", "status", "deployment/chatagent-operator", "--timeout=120s")


def writes(system: Kubectl) -> float:
    """Writes to children since the replicas started, from their own metrics."""
    return metric(system, "chatagent_operator_writes_total")


def metric(system: Kubectl, name: str) -> float:
    """Sum of the samples of this name of all replicas."""
    return sum(sample(pod, name) for pod in replicas(system))


def sample(pod: dict[str, Any], name: str) -> float:
    """Sum of a replica's samples of this name."""
    url = f"http://{pod['status']['podIP']}:9090/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    samples = [line for line in lines if re.split(r"[ {]", line, maxsplit=1)[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in samples)
