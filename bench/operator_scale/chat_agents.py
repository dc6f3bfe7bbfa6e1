"""The operator of a checkout of this project."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.operator_scale.client import Object
from bench.operator_scale.cluster import NAMESPACE, Cluster
from bench.operator_scale.contestants import HEALTH_PORT, IMAGE, METRICS_PORT, WEIGHTS, named
from bench.operator_scale.process import Process
from dev.cluster import program_environment

DOCUMENT = "# Returns\n\nYou have 30 days to return what you bought.\n" * 20


@dataclass(frozen=True)
class ChatAgents:
    """Its operator, and ChatAgents."""

    label: str
    source: Path
    parents = "chatagents"
    path = f"/apis/chatagent.dev/v1alpha1/namespaces/{NAMESPACE}/chatagents"
    needs_pods = True
    is_peer = False

    @property
    def version(self) -> str:
        """The commit."""
        git = ["git", "-C", str(self.source)]
        commit = subprocess.run(
            [*git, "log", "-1", "--format=%h"], capture_output=True, text=True, check=False
        )
        # The benchmark itself is no part of what it measures.
        status = [*git, "status", "--porcelain", "--", "operator", "agent_runtime", "crds"]
        changes = subprocess.run(status, capture_output=True, text=True, check=False)
        return (commit.stdout.strip() or "unknown") + (" with changes" if changes.stdout else "")

    def definitions(self) -> list[Object]:
        """Of that checkout."""
        return [yaml.safe_load(file.read_text()) for file in (self.source / "crds").glob("*.yaml")]

    def start(self, cluster: Cluster) -> Process:
        """With the settings that the chart gives it."""
        images = ("OPERATOR", "HAPROXY", "CHROMA", "REDIS")
        environment = program_environment() | {
            **{f"{name}_IMAGE": f"registry.example/{name.lower()}:1" for name in images},
            "PYTHONPATH": f"{self.source / 'operator'}{os.pathsep}{self.source}",
            "KUBECONFIG": str(cluster.kubeconfig),
            "PROBE_PORT": str(HEALTH_PORT),
            "METRICS_PORT": str(METRICS_PORT),
            "POD_NAMESPACE": NAMESPACE,
            "POD_NAME": "contestant",
        }
        argv = [sys.executable, "-m", "chatagent_operator"]
        process = Process(argv, environment, self.source, cluster.paths.logs / "contestant.log")
        process.await_answer(f"http://127.0.0.1:{HEALTH_PORT}/healthz")
        return process

    def before(self, name: str) -> list[tuple[str, Object]]:
        """Its documents."""
        documents = {"data": {"returns.md": DOCUMENT}, **named("v1", "ConfigMap", name)}
        return [(f"/api/v1/namespaces/{NAMESPACE}/configmaps", documents)]

    def agent(self, name: str) -> Object:
        """Store and cache are servers that are there already: a fake node binds no volumes."""
        spec: Object = {
            "image": f"{IMAGE}:1",
            "vectorStore": {"external": {"url": "http://chroma.example:8000"}},
            "redis": {"external": {"url": "redis://redis.example:6379"}},
            "knowledge": {"sources": [{"name": "help", "configMap": {"name": name}}]},
            "rollout": {"steps": [{"setWeight": weight} for weight in WEIGHTS]},
        }
        return {**named("chatagent.dev/v1alpha1", "ChatAgent", name), "spec": spec}

    def change(self, version: int) -> Object:
        """Another tag."""
        return {"spec": {"image": f"{IMAGE}:{version}"}}

    def is_ready(self, body: Object) -> bool:
        """By its condition, of its newest spec."""
        status, generation = body.get("status") or {}, body["metadata"]["generation"]
        ready = any(
            found["type"] == "Ready"
            and found["status"] == "True"
            and found["observedGeneration"] == generation
            for found in status.get("conditions") or []
        )
        return ready and not status.get("canaryRevision")

    def serving(self, body: Object) -> str | None:
        """The stable one."""
        return (body.get("status") or {}).get("stableRevision")
