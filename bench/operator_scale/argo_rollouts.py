"""Argo Rollouts: a peer that rolls out by the same steps, without a gateway of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.operator_scale.client import Object
from bench.operator_scale.cluster import NAMESPACE, Cluster
from bench.operator_scale.contestants import HEALTH_PORT, IMAGE, METRICS_PORT, WEIGHTS, named
from bench.operator_scale.process import Process
from dev.cluster import program_environment


@dataclass(frozen=True)
class ArgoRollouts:
    """The controller, and Rollouts. Its CRDs lie beside the binary, in `crds`."""

    binary: Path
    label = "Argo Rollouts"
    parents = "rollouts"
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/rollouts"
    needs_pods = False
    is_peer = True

    @property
    def version(self) -> str:
        """As a file VERSION beside the binary says."""
        named = self.binary.with_name("VERSION")
        return named.read_text().strip() if named.exists() else "unknown"

    def definitions(self) -> list[Object]:
        """All that lie there."""
        files = sorted((self.binary.parent / "crds").glob("*crd.yaml"))
        return [yaml.safe_load(file.read_text()) for file in files]

    def start(self, cluster: Cluster) -> Process:
        """Without its client's own limits, which are what bounds it by default."""
        options: dict[str, object] = {
            "kubeconfig": cluster.kubeconfig,
            "qps": 2000,
            "burst": 2000,
            "leader-elect": "false",
            "healthzPort": HEALTH_PORT,
            "metricsPort": METRICS_PORT,
        }
        argv = [str(self.binary), *(f"--{name}={value}" for name, value in options.items())]
        environment = program_environment() | {"POD_NAMESPACE": NAMESPACE}
        log = cluster.paths.logs / "contestant.log"
        process = Process(argv, environment, cluster.paths.run, log)
        process.await_answer(f"http://127.0.0.1:{HEALTH_PORT}/healthz")
        return process

    def before(self, name: str) -> list[tuple[str, Object]]:
        """The Services that it points at the two revisions."""
        spec: Object = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
        return [
            (
                f"/api/v1/namespaces/{NAMESPACE}/services",
                {**named("v1", "Service", f"{name}-{role}"), "spec": spec},
            )
            for role in ("stable", "canary")
        ]

    def agent(self, name: str) -> Object:
        """One pod, by the same steps."""
        container = {"name": "agent", "image": f"{IMAGE}:1", "ports": [{"containerPort": 8080}]}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
        canary = {
            "stableService": f"{name}-stable",
            "canaryService": f"{name}-canary",
            "steps": [{"setWeight": weight} for weight in (*WEIGHTS, 100)],
        }
        spec: Object = {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            "strategy": {"canary": canary},
        }
        return {**named("argoproj.io/v1alpha1", "Rollout", name), "spec": spec}

    def change(self, version: int) -> Object:
        """Another tag."""
        container: Object = {"name": "agent", "image": f"{IMAGE}:{version}"}
        return {"spec": {"template": {"spec": {"containers": [container]}}}}

    def is_ready(self, body: Object) -> bool:
        """By its phase, of its newest spec."""
        status: dict[str, Any] = body.get("status") or {}
        seen = status.get("observedGeneration") == str(body["metadata"]["generation"])
        settled = status.get("stableRS") == status.get("currentPodHash")
        return seen and settled and status.get("phase") == "Healthy"

    def serving(self, body: Object) -> str | None:
        """Hash of its stable pods."""
        return (body.get("status") or {}).get("stableRS")
