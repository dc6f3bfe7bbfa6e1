"""The pods of every component: what they may be set to, and how long they are waited for."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.api.pods import ResourceRequirements
from chatagent_operator.core import names
from chatagent_operator.core.children.resources import fill_resources
from chatagent_operator.core.observed.facts import read_job, read_workload
from chatagent_operator.core.observed.trouble import PODS_CANNOT_BE_MADE, Trouble
from chatagent_operator.core.writes import Delete
from tests.unit.core.simulation import Cluster, spec
from tests.unit.core.test_fields import POD, QUANTITIES


def containers(cluster: Cluster, *kinds: str) -> dict[str, dict[str, Any]]:
    """Every container that workloads of these kinds run, by its name."""
    return {
        container["name"]: container
        for (kind, _), body in cluster.objects.items()
        if kind in kinds
        for container in body["spec"]["template"]["spec"]["containers"]
    }


def test_servers_have_cpu_of_their_own_and_patient_probes() -> None:
    cluster = Cluster()
    cluster.settle()
    found = containers(cluster, "StatefulSet")
    assert set(found) == {"chroma", "redis", "haproxy", "sync"}
    for name, container in found.items():
        assert container["resources"]["requests"]["cpu"], name
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container.get(probe, {"timeoutSeconds": 5})["timeoutSeconds"] >= 5, (name, probe)
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60, name


def test_the_names_of_servers_do_not_vanish_with_their_pods() -> None:
    cluster = Cluster()
    cluster.settle()
    for name in ("shop-chroma", "shop-redis"):
        service = cluster.objects["Service", name]["spec"]
        assert service["clusterIP"] != "None"
        assert service["publishNotReadyAddresses"]


def test_a_service_without_an_address_is_replaced_once_and_no_pod_is() -> None:
    cluster = Cluster()
    cluster.settle()
    service = cluster.objects["Service", "shop-chroma"]
    service["spec"]["clusterIP"] = "None"
    service["metadata"]["annotations"] = {"chatagent.dev/applied": "of an earlier operator"}
    made = cluster.look()
    (delete,) = made.writes
    assert isinstance(delete, Delete), "an address cannot be added"
    assert (delete.kind, delete.name) == ("Service", "shop-chroma")
    made = cluster.look()
    assert [(each.kind, each.name) for each in made.writes] == [("Service", "shop-chroma")]
    assert not cluster.look().writes
    assert cluster.objects["Service", "shop-chroma"]["spec"]["clusterIP"] != "None"
    cluster.objects["Service", "shop-chroma"]["metadata"]["annotations"] = {}
    cluster.settle()
    assert cluster.story.count("deleted Service shop-chroma") == 1, "others are changed in place"


@pytest.mark.parametrize(
    ("given", "requests", "limits"),
    [
        ({}, {"cpu": "50m", "memory": "64Mi"}, {"memory": "384Mi"}),
        (
            {"requests": {"memory": "1Gi"}},
            {"cpu": "50m", "memory": "1Gi"},
            {"memory": "1Gi"},
        ),
        (
            {"limits": {"memory": "32Mi", "cpu": "0.01"}},
            {"cpu": "0.01", "memory": "32Mi"},
            {"memory": "32Mi", "cpu": "0.01"},
        ),
        ({"limits": {"cpu": 2}}, {"cpu": "50m", "memory": "64Mi"}, {"memory": "384Mi", "cpu": 2}),
    ],
)
def test_a_default_gives_way_to_what_is_set(
    given: dict[str, Any], requests: dict[str, Any], limits: dict[str, Any]
) -> None:
    filled = fill_resources(
        ResourceRequirements.model_validate(given),
        requests={"cpu": "50m", "memory": "64Mi"},
        limits={"memory": "384Mi"},
    )
    assert filled == {"requests": requests, "limits": limits}


def test_redis_keeps_its_data_below_a_request_that_raises_its_limit() -> None:
    cluster = Cluster(spec(redis={"managed": {"resources": {"requests": {"memory": "1536Mi"}}}}))
    cluster.settle()
    arguments = containers(cluster, "StatefulSet")["redis"]["args"]
    assert arguments[arguments.index("--maxmemory") + 1] == str(1024**3)


WORDS = "create Pod x failed error: pods is forbidden: failed quota: compute: must specify limits"


@pytest.mark.parametrize(
    ("kind", "name", "condition"),
    [
        ("StatefulSet", "shop-chroma", "VectorStoreReady"),
        ("StatefulSet", "shop-redis", "CacheReady"),
        ("StatefulSet", "shop-gateway", "GatewayReady"),
        ("Job", "shop-ingest-", "IndexReady"),
    ],
)
def test_pods_that_cannot_be_created_are_told_until_they_are(
    kind: str, name: str, condition: str
) -> None:
    cluster = Cluster()
    cluster.look()
    (key,) = (key for key in cluster.objects if key[0] == kind and key[1].startswith(name))
    cluster.refused[key] = Trouble(PODS_CANNOT_BE_MADE, WORDS, cluster.now())
    made = cluster.look()
    assert cluster.condition("Degraded") == ("False", "AsExpected"), "it is often over at once"
    assert made.requeue_after is not None
    cluster.clock += 5
    cluster.settle()
    assert cluster.condition(condition) == ("False", PODS_CANNOT_BE_MADE)
    assert cluster.condition("Degraded") == ("True", PODS_CANNOT_BE_MADE)
    (degraded,) = [c for c in cluster.status.conditions if c.type == "Degraded"]
    assert WORDS in degraded.message
    cluster.refused.clear()
    cluster.settle()
    assert cluster.condition(condition)[0] == "True"
    assert cluster.condition("Degraded") == ("False", "AsExpected")


def add_pod(cluster: Cluster, owner: tuple[str, str]) -> None:
    """A pod that waits for a Secret, as its status or an Event says."""
    waiting = {"reason": "CreateContainerConfigError", "message": MISSING}
    labels = cluster.objects[owner]["metadata"]["labels"]
    cluster.objects["Pod", f"{owner[1]}-0"] = {
        "metadata": {"name": f"{owner[1]}-0", "labels": labels, "resourceVersion": "1"},
        "status": {"containerStatuses": [{"name": "x", "state": {"waiting": waiting}}]},
    }


MISSING = 'secret "ca" not found'


@pytest.mark.parametrize(
    ("kind", "name", "condition"),
    [
        ("Deployment", "shop-", "WorkloadsReady"),
        ("StatefulSet", "shop-chroma", "VectorStoreReady"),
        ("StatefulSet", "shop-redis", "CacheReady"),
        ("StatefulSet", "shop-gateway", "GatewayReady"),
        ("Job", "shop-ingest-", "IndexReady"),
    ],
)
def test_every_part_says_why_its_pod_does_not_start(kind: str, name: str, condition: str) -> None:
    cluster = Cluster()
    cluster.look()
    (key,) = (key for key in cluster.objects if key[0] == kind and key[1].startswith(name))
    add_pod(cluster, key)
    cluster.look()
    assert cluster.condition(condition) == ("False", "SecretNotFound")
    assert MISSING in cluster.message(condition)
    assert cluster.condition("Degraded") == ("True", "SecretNotFound")


def test_an_evaluation_says_why_its_pod_does_not_start() -> None:
    cluster = evaluated()
    (key,) = (key for key in cluster.objects if key[0] == "Job" and "-eval-" in key[1])
    add_pod(cluster, key)
    cluster.settle()
    assert f"makes no progress: SecretNotFound: {MISSING}" in cluster.message("Progressing")
    assert cluster.condition("Degraded") == ("True", "SecretNotFound")


def evaluated(**settings: Any) -> Cluster:
    """A cluster whose canary is being evaluated."""
    asked = {"configMap": {"name": "questions"}} | settings
    cluster = Cluster(spec(rollout={"analysis": {"evaluation": asked}}))
    cluster.sources["questions"] = "abc"
    cluster.settle()
    cluster.spec["image"] = "runtime:2"
    cluster.settle()
    return cluster


def test_an_evaluation_that_cannot_be_created_is_told() -> None:
    cluster = evaluated()
    (key,) = (key for key in cluster.objects if key[0] == "Job" and "-eval-" in key[1])
    cluster.refused[key] = Trouble(PODS_CANNOT_BE_MADE, WORDS)
    cluster.settle()
    assert cluster.condition("Degraded") == ("True", PODS_CANNOT_BE_MADE)
    (progress,) = [c for c in cluster.status.conditions if c.type == "Progressing"]
    assert progress.reason == "Evaluating"
    assert WORDS in progress.message


@pytest.mark.parametrize(
    ("status", "lacks"),
    [
        ({}, True),
        ({"active": 1}, False),
        ({"failed": 1}, True),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, False),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, False),
        ({"conditions": [{"type": "FailureTarget", "status": "True"}]}, True),
    ],
)
def test_whether_a_job_lacks_its_pod(status: dict[str, Any], lacks: bool) -> None:
    assert read_job({"status": status}).lacks_pods is lacks


@pytest.mark.parametrize(("created", "lacks"), [(None, True), (1, True), (2, False)])
def test_whether_a_stateful_set_lacks_pods(created: int | None, lacks: bool) -> None:
    status = {"replicas": created} if created else {}
    body: dict[str, Any] = {"metadata": {}, "spec": {"replicas": 2}, "status": status}
    assert read_workload(body).lacks_pods is lacks


TINY = {"limits": {"memory": "100Mi"}}
PLACED = POD | {"affinity": {"nodeAffinity": {}}, "priorityClassName": "high"}


def templates(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The pod templates, by role."""
    return {
        body["metadata"]["labels"][names.ROLE_LABEL]: body["spec"]["template"]
        for (kind, _), body in cluster.objects.items()
        if kind in ("Deployment", "StatefulSet", "Job")
    }


def check_placement(template: dict[str, Any], role: str) -> None:
    labels = names.labels("shop", role)
    assert template["metadata"]["labels"].items() >= ({"a": "a"} | labels).items()
    assert template["metadata"]["annotations"]["a"] == "a"
    for name in PLACED.keys() - {"labels", "annotations"}:
        assert template["spec"][name] == PLACED[name], (role, name)


def test_pods_of_every_part_can_be_placed_and_limited() -> None:
    labels = {"labels": {"a": "a", names.ROLE_LABEL: "mine"}}
    pod, cluster = PLACED | labels, evaluated()
    cluster.spec |= {
        "pod": pod,
        "gateway": {"pod": pod, "resources": QUANTITIES, "syncResources": TINY},
        "redis": {"managed": {"pod": pod, "resources": QUANTITIES}},
        "vectorStore": {"managed": {"pod": pod, "resources": QUANTITIES}},
    }
    cluster.spec["knowledge"]["ingestion"] = {"pod": pod, "resources": QUANTITIES}
    cluster.spec["rollout"]["analysis"]["evaluation"] |= {"pod": pod, "resources": QUANTITIES}
    cluster.sources["help"] = "other documents"
    cluster.settle()
    found = templates(cluster)
    assert set(found) == {"agent", "gateway", "cache", "vector-store", "ingestion", "evaluation"}
    for role, template in found.items():
        check_placement(template, role)
        for container in template["spec"]["containers"]:
            if role != "agent":
                limit = "100Mi" if container["name"] == "sync" else "1Gi"
                assert container["resources"]["limits"]["memory"] == limit


def test_a_job_is_placed_as_the_agent_unless_it_is_set() -> None:
    cluster = Cluster(spec(pod={"nodeSelector": {"gpu": "a"}, "priorityClassName": "high"}))
    cluster.spec["knowledge"]["ingestion"] = {"pod": {"nodeSelector": {"disk": "fast"}}}
    cluster.settle()
    placed = templates(cluster)["ingestion"]["spec"]
    assert placed["nodeSelector"] == {"disk": "fast"}
    assert placed["priorityClassName"] == "high"


@pytest.mark.parametrize("kind", ["ingest", "eval"])
def test_settings_of_a_job_replace_one_that_has_not_succeeded(kind: str) -> None:
    cluster = evaluated()
    cluster.sources["help"] = "other documents"
    cluster.look()
    (key,) = (
        key
        for key, body in cluster.objects.items()
        if key[0] == "Job" and f"-{kind}-" in key[1] and not body.get("status")
    )
    cluster.refused[key] = Trouble(PODS_CANNOT_BE_MADE, WORDS)
    cluster.settle()
    limited = {"resources": {"limits": {"cpu": "1"}}}
    if kind == "ingest":
        cluster.spec["knowledge"]["ingestion"] = limited
    else:
        cluster.spec["rollout"]["analysis"]["evaluation"] |= limited
    cluster.refused.clear()
    cluster.settle()
    container = cluster.objects[key]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] | {"memory": ""} == {"cpu": 1, "memory": ""}
    assert cluster.story.count(f"deleted Job {key[1]}") == 1


def test_settings_of_a_job_do_not_repeat_one_that_has_succeeded() -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.spec["knowledge"]["ingestion"] = {"resources": QUANTITIES}
    assert not cluster.plan().writes


def budgets(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The specs of the PodDisruptionBudgets, by name."""
    return {
        name: body["spec"]
        for (kind, name), body in cluster.objects.items()
        if kind == "PodDisruptionBudget"
    }


def test_pods_of_a_revision_are_evicted_one_by_one() -> None:
    cluster = Cluster(spec(replicas=2))
    cluster.settle()
    stable = f"shop-{cluster.status.stable_revision}"
    assert set(budgets(cluster)) == {stable, "shop-gateway"}
    for name, budget in budgets(cluster).items():
        assert "minAvailable" not in budget, "the last pod must not block the drain of a node"
        assert budget["maxUnavailable"] == 1, name
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name
    (deployment,) = (body for (kind, _), body in cluster.objects.items() if kind == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selector = budgets(cluster)[stable]["selector"]["matchLabels"]
    assert selector == deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()
    cluster.spec["image"] = "runtime:2"
    cluster.settle()
    assert stable in budgets(cluster)
    cluster.spec["rollout"] = {"strategy": "rolling"}
    cluster.settle()
    assert set(budgets(cluster)) == {f"shop-{cluster.status.stable_revision}", "shop-gateway"}
    assert stable not in budgets(cluster)


def test_a_single_pod_has_no_budget() -> None:
    cluster = Cluster()
    cluster.settle()
    assert set(budgets(cluster)) == {"shop-gateway"}


def test_agent_and_gateway_are_spread_softly_unless_it_is_set() -> None:
    cluster = Cluster(spec(replicas=2))
    cluster.settle()
    for role in ("agent", "gateway"):
        template = templates(cluster)[role]
        constraints = template["spec"]["topologySpreadConstraints"]
        keys = [each["topologyKey"] for each in constraints]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        for each in constraints:
            assert each["whenUnsatisfiable"] == "ScheduleAnyway"
            selector = each["labelSelector"]["matchLabels"]
            assert selector.items() <= template["metadata"]["labels"].items()
    for role in ("cache", "vector-store", "ingestion"):
        assert "topologySpreadConstraints" not in templates(cluster)[role]["spec"]


def test_a_server_that_cannot_start_gets_corrected_settings() -> None:
    cluster = Cluster()
    cluster.settle()
    for name in ("shop-chroma", "shop-redis"):
        made = cluster.objects["StatefulSet", name]["spec"]
        assert made["podManagementPolicy"] == "Parallel", "the others wait until it is ready"
        del made["podManagementPolicy"]  # of an earlier operator
    cluster.spec["redis"] = cluster.spec["vectorStore"] = {
        "managed": {"pod": {"labels": {"a": "b"}}}
    }
    cluster.settle()
    for name in ("shop-chroma", "shop-redis"):
        made = cluster.objects["StatefulSet", name]["spec"]
        assert made["template"]["metadata"]["labels"]["a"] == "b"
        assert "podManagementPolicy" not in made, "it is immutable"
