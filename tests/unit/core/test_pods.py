"""The pods of every component: what they may be set to, and how long they are waited for."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.api.pods import ResourceRequirements
from chatagent_operator.core.children.resources import fill_resources
from chatagent_operator.core.writes import Delete
from tests.unit.core.simulation import Cluster, spec


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
    assert made.writes == (Delete("Service", "shop-chroma"),), "an address cannot be added"
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
