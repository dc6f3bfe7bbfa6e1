"""What is rendered for an agent, as golden files that a person can read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from chatagent_operator.api.crd import structural
from chatagent_operator.api.pods import ResourceRequirements
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core.children.pod import find_gpu_taints
from tests.conftest import Golden
from tests.unit.core.simulation import Cluster, spec


def rendered(**changes: Any) -> str:
    cluster = Cluster(spec(**changes))
    cluster.settle()
    objects = [
        {key: value for key, value in body.items() if key != "status"}
        for (kind, name), body in sorted(cluster.objects.items())
        if (kind, name) != ("ConfigMap", "shop-gateway")  # HAProxy's own tests look at that one
    ]
    for body in objects:
        body["metadata"].pop("resourceVersion")
    return yaml.safe_dump_all(objects, sort_keys=True, allow_unicode=True, width=100)


def test_cpu_agent(golden: Golden) -> None:
    golden.check("cpu-agent.yaml", rendered())


def test_gpu_agent_with_an_external_store(golden: Golden) -> None:
    golden.check(
        "gpu-agent.yaml",
        rendered(
            resources={"limits": {"nvidia.com/gpu": 1}, "requests": {"memory": "8Gi"}},
            replicas=2,
            pod={
                "env": [
                    {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "t"}}}
                ],
                "nodeSelector": {"gpu": "h100"},
                "imagePullSecrets": [{"name": "registry"}],
            },
            vectorStore={
                "external": {
                    "url": "https://chroma.example.com",
                    "tokenSecretRef": {"name": "chroma", "key": "token"},
                }
            },
            pipeline={"retrieval": {"topK": 8}},
            gateway={"service": {"type": "LoadBalancer", "annotations": {"cloud": "internal"}}},
        ),
    )


def test_an_external_weaviate_is_reached_by_both_its_ports() -> None:
    external = {"url": "https://weaviate.example", "grpcPort": 443}
    text = rendered(vectorStore={"engine": "weaviate", "external": external})
    assert "weaviate+https://weaviate.example:443/demo.shop." in text
    assert "?grpc=443" in text


def test_a_revision_keeps_its_name_when_defaults_are_written_out() -> None:
    bare = Cluster(spec())
    bare.settle()
    explicit = Cluster(
        spec(
            pipeline={"retrieval": {"topK": 5, "chunking": {}}, "llm": {"model": "extractive"}},
            pod={"terminationGracePeriodSeconds": 60},
        )
    )
    explicit.settle()
    assert bare.status.stable_revision == explicit.status.stable_revision


def test_no_start_is_ended_before_the_progress_deadline() -> None:
    cluster = Cluster(spec())
    cluster.settle()
    (deployment,) = (body for (kind, _), body in cluster.objects.items() if kind == "Deployment")
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    limit = structural(ChatAgentSpec)["properties"]["rollout"]["properties"]
    longest = limit["progressDeadlineSeconds"]["maximum"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= longest
    cluster.spec["rollout"] = {"progressDeadlineSeconds": longest}
    assert not cluster.plan().writes, "pods that start go on"


@pytest.mark.parametrize(
    ("resource", "taints"),
    [
        ("nvidia.com/gpu", ["nvidia.com/gpu"]),
        ("nvidia.com/mig-1g.5gb", ["nvidia.com/gpu"]),
        ("amd.com/gpu", ["amd.com/gpu"]),
        ("gpu.intel.com/i915", ["gpu.intel.com/i915"]),
        ("memory", []),
    ],
)
def test_the_taints_of_gpu_nodes(resource: str, taints: list[str]) -> None:
    assert find_gpu_taints(ResourceRequirements(limits={resource: 1})) == taints
    assert find_gpu_taints(ResourceRequirements(limits={resource: 0})) == []
