"""The operator under test: installed with Helm, killed on purpose, its writes counted."""

from __future__ import annotations

import re
import urllib.request

from dev import release
from tests.cluster.kubectl import IMAGES, SYSTEM_NAMESPACE, Kubectl, dev

SELECTOR = "app.kubernetes.io/name=chatagent-operator"


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
    return system


def kill_operator(system: Kubectl) -> None:
    """Kill it without grace, as a lost node would. Kubernetes starts another one."""
    system.run("delete", "pods", "-l", SELECTOR, "--grace-period=0", "--force")


def await_operator(system: Kubectl) -> None:
    """Wait until one is ready."""
    system.run("rollout", "status", "deployment/chatagent-operator", "--timeout=120s")


def writes(system: Kubectl) -> float:
    """Writes to children since the operator started, from its own metrics."""
    return metric(system, "chatagent_operator_writes_total")


def metric(system: Kubectl, name: str) -> float:
    """Sum of the operator's samples of this name."""
    (pod,) = [p for p in system.list("pods", SELECTOR) if p["status"]["phase"] == "Running"]
    url = f"http://{pod['status']['podIP']}:9090/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    samples = [line for line in lines if re.split(r"[ {]", line, maxsplit=1)[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in samples)
