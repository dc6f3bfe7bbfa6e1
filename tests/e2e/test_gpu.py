"""GPU agents against the real scheduler: the node claims GPUs as an extended resource.

There is no GPU behind it: what is tested is what the pods ask for and where they may run.
"""

from __future__ import annotations

import pytest

from tests.cluster.kubectl import AgentUnderTest, Kubectl, documents

ONE_GPU = {"limits": {"nvidia.com/gpu": 1}}


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("two_gpus")
def test_gpu_pods_are_scheduled_by_their_requests(namespace: Kubectl) -> None:
    agent = AgentUnderTest(namespace, "gpu")
    namespace.apply(documents(agent.name, returns_md="# Returns\n\nThirty days.\n"))
    agent.apply(resources=ONE_GPU, replicas=2)
    agent.await_condition("Ready")
    agent.await_condition("WorkloadsReady")
    pods = agent.pods(agent.status["stableRevision"])
    assert len(pods) == 2
    for pod in pods:
        spec = pod["spec"]
        assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert spec["runtimeClassName"] == "nvidia"
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec[
            "tolerations"
        ]
    agent.apply(resources=ONE_GPU, replicas=3)
    found = agent.await_condition("WorkloadsReady", "False", "Unschedulable")
    assert "nvidia.com/gpu" in found["message"]
    agent.await_condition("Ready")
    agent.apply(resources=ONE_GPU, replicas=2)
    agent.await_condition("WorkloadsReady")


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("two_gpus")
def test_ingestion_takes_no_gpu(namespace: Kubectl) -> None:
    agent = AgentUnderTest(namespace, "nogpu")
    namespace.apply(documents(agent.name, returns_md="# Returns\n\nThirty days.\n"))
    agent.apply(resources=ONE_GPU)
    agent.await_condition("IndexReady")
    (job,) = namespace.list("jobs", f"chatagent.dev/agent={agent.name}")
    pod = job["spec"]["template"]["spec"]
    assert "nvidia.com/gpu" not in pod["containers"][0].get("resources", {}).get("limits", {})
    assert "runtimeClassName" not in pod
