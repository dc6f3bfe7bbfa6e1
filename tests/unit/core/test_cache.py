"""The agent's Redis: made once with a password, never waited for; and what its pods may ask."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from chatagent_operator.api.v1alpha1 import ChatAgentSpec, ManagedRedis
from chatagent_operator.core import names
from chatagent_operator.core.children import cache
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.writes import Apply, Create
from tests.unit.core.simulation import Cluster, spec

REDIS = ("StatefulSet", "shop-redis")
SECRET = ("Secret", "shop-redis")
EXTERNAL = {"external": {"url": "rediss://cache.example:6380/1"}}
BROKEN = "redis:1"


def serving(**changes: Any) -> Cluster:
    cluster = Cluster(spec(**changes))
    cluster.settle()
    return cluster


def pod(cluster: Cluster, kind: str = "Deployment") -> dict[str, Any]:
    """The pod of the agent's Deployment or ingestion Job."""
    (body,) = (
        body
        for (found, name), body in cluster.objects.items()
        if found == kind and name != "shop-gateway"
    )
    return body["spec"]["template"]["spec"]


def environment(cluster: Cluster, kind: str = "Deployment") -> dict[str, Any]:
    listed = pod(cluster, kind)["containers"][0]["env"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in listed}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_pods_know_their_redis_and_their_name(kind: str) -> None:
    found = environment(serving(), kind)
    assert found["AGENT_NAME"] == "demo/shop"
    assert found["AGENT_REDIS"] == "redis://shop-redis.demo.svc.cluster.local:6379"
    reference = {"name": "shop-redis", "key": "password", "optional": True}
    assert found["AGENT_REDIS_PASSWORD"] == {"secretKeyRef": reference}


def test_an_external_redis_brings_its_own_password() -> None:
    key = {"name": "cache", "key": "token"}
    cluster = serving(redis={"external": {**EXTERNAL["external"], "passwordSecretRef": key}})
    found = environment(cluster)
    assert found["AGENT_REDIS"] == "rediss://cache.example:6380/1"
    assert found["AGENT_REDIS_PASSWORD"] == {"secretKeyRef": key}
    assert REDIS not in cluster.objects
    assert SECRET not in cluster.objects
    assert cluster.condition("CacheReady") == ("Unknown", "External")
    assert cluster.condition("Ready") == ("True", "Serving")


def test_the_password_is_made_once_and_before_anybody_asks_for_it() -> None:
    cluster = Cluster()
    writes = cluster.plan().writes
    kinds = [type(each) for each in writes]
    assert kinds.count(Create) == 1
    assert isinstance(writes[0], Apply)
    assert writes[0].desired.name == "shop-routes"
    assert kinds.index(Create) == 1
    cluster.settle()
    assert not any(isinstance(each, Create) for each in cluster.plan().writes)


def lose_password(cluster: Cluster) -> None:
    cluster.clock += 3600
    del cluster.objects[SECRET]


def test_a_lost_password_is_replaced_and_every_pod_that_has_it_restarts() -> None:
    cluster = serving()
    before = cluster.status
    deployment = next(key for key in cluster.objects if key[0] == "Deployment")
    templates = [cluster.objects[key]["spec"]["template"] for key in (REDIS, deployment)]
    assert not any("annotations" in each["metadata"] for each in templates)
    lose_password(cluster)
    cluster.look()
    assert SECRET in cluster.objects
    assert cluster.condition("CacheReady") == ("False", "PasswordChanged")
    cluster.look()
    assert cluster.condition("CacheReady") == ("False", "PasswordChanged"), "pods have the old one"
    assert sum("PasswordChanged" in each for each in cluster.story) == 1
    written = cluster.objects[SECRET]["metadata"]["creationTimestamp"]
    for key in (REDIS, deployment):
        template = cluster.objects[key]["spec"]["template"]
        assert template["metadata"]["annotations"] == {names.PASSWORD_ANNOTATION: written}
    cluster.settle()
    assert cluster.condition("CacheReady") == ("True", "Available")
    assert cluster.status.stable_revision == before.stable_revision
    assert cluster.status.canary_revision is None, "a restart is no new revision"
    lose_password(cluster)
    cluster.settle()
    again = cluster.objects[deployment]["spec"]["template"]["metadata"]["annotations"]
    assert again != {names.PASSWORD_ANNOTATION: written}


@pytest.mark.parametrize(("field", "restarts"), [("f:data", True), ("f:metadata", False)])
def test_a_password_that_is_edited_restarts_pods(field: str, restarts: bool) -> None:
    cluster = serving()
    later = {"manager": "kubectl-edit", "time": "2026-01-01T01:00:00Z", "fieldsV1": {field: {}}}
    cluster.objects[SECRET]["metadata"]["managedFields"] = [later]
    kinds = {each.kind for each in cluster.look().writes}
    assert kinds == ({"StatefulSet", "Deployment"} if restarts else set())
    expected = ("False", "PasswordChanged") if restarts else ("True", "Available")
    assert cluster.condition("CacheReady") == expected
    cluster.settle()
    assert cluster.condition("CacheReady") == ("True", "Available")


@pytest.mark.parametrize(
    ("redis", "otherwise"),
    [({}, ("True", "Available")), (EXTERNAL, ("Unknown", "External"))],
)
def test_pods_report_a_redis_that_refuses_them(
    redis: dict[str, Any], otherwise: tuple[str, str]
) -> None:
    cluster = serving(redis=redis)
    assert cluster.condition("CacheReady") == otherwise
    labels = names.labels("shop", names.ROLE_AGENT, cluster.status.stable_revision)
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    pod = {"metadata": {"name": "shop-1", "labels": labels}, "status": ready}
    cluster.objects["Pod", "shop-1"] = pod
    cluster.reports = {"shop-1": Trouble("StateUnavailable", "Redis: the password is wrong")}
    cluster.look()
    assert cluster.condition("CacheReady") == ("False", "StateUnavailable")
    assert cluster.condition("Degraded") == ("False", "AsExpected"), "it serves without Redis"
    cluster.reports = {}
    cluster.look()
    assert cluster.condition("CacheReady") == otherwise


def test_a_redis_that_is_new_restarts_no_pod() -> None:
    cluster = serving(redis=EXTERNAL)
    cluster.clock += 3600
    cluster.spec = spec()
    cluster.settle()
    assert SECRET in cluster.objects
    for key, body in cluster.objects.items():
        if key[0] in ("Deployment", "StatefulSet"):
            found = body["spec"]["template"]["metadata"].get("annotations", {})
            assert names.PASSWORD_ANNOTATION not in found, key


def test_a_new_redis_keeps_pods_that_were_restarted_for_a_password() -> None:
    cluster = serving()
    lose_password(cluster)
    cluster.settle()
    cluster.clock += 3600
    del cluster.objects[REDIS]
    kinds = [each.kind for each in cluster.look().writes]
    assert kinds == ["StatefulSet"]


def test_a_secret_of_another_agent_is_not_believed() -> None:
    cluster = serving()
    cluster.objects[SECRET]["metadata"]["ownerReferences"][0]["uid"] = "uid-0"
    assert any(isinstance(each, Create) for each in cluster.plan().writes)


def test_nothing_waits_for_redis() -> None:
    cluster = Cluster()
    cluster.broken_images.add(BROKEN)
    cluster.settle()
    assert cluster.condition("CacheReady") == ("False", "Starting")
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.condition("Degraded") == ("False", "AsExpected")
    cluster.spec = spec("runtime:2")
    cluster.settle()
    assert sum(cluster.weights().values()) == 100
    assert len(cluster.weights()) == 2


def test_moving_to_an_external_redis_takes_the_own_one_away_and_makes_no_revision() -> None:
    cluster = serving()
    before = cluster.status.stable_revision
    cluster.spec = spec(redis=EXTERNAL)
    cluster.settle()
    assert REDIS not in cluster.objects
    assert ("Service", "shop-redis") not in cluster.objects
    assert environment(cluster)["AGENT_REDIS"] == EXTERNAL["external"]["url"]
    assert cluster.status.stable_revision == before
    assert cluster.status.canary_revision is None


def test_settings_of_its_own_redis_restart_no_pod_of_the_agent() -> None:
    cluster = serving()
    before = pod(cluster)
    cluster.spec = spec(redis={"managed": {"resources": {"limits": {"memory": "1Gi"}}}})
    cluster.settle()
    assert pod(cluster) == before
    arguments = cluster.objects[REDIS]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--maxmemory") + 1] == str(2**30 * 2 // 3)


def test_a_volume_keeps_what_it_holds() -> None:
    cluster = serving(redis={"managed": {"storage": {"size": "2Gi", "storageClassName": "fast"}}})
    (claim,) = cluster.objects[REDIS]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    container = cluster.objects[REDIS]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][-2:] == ["--appendonly", "yes"]
    volumes = cluster.objects[REDIS]["spec"]["template"]["spec"]["volumes"]
    assert [volume["name"] for volume in volumes] == ["tmp"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("384Mi", 2**28), ("3Gi", 2**31), (3000, 2000), (".3k", 200), ("3.M", 2_000_000)],
)
def test_how_much_it_may_fill(limit: str | int, expected: int) -> None:
    settings = ManagedRedis.model_validate({"resources": {"limits": {"memory": limit}}})
    assert cache.find_max_memory(settings) == expected


@pytest.mark.parametrize(
    "url",
    ["redis://:secret@cache", "http://cache", "redis://cache/x", "redis://a b", "cache:6379"],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        ChatAgentSpec.model_validate(spec(redis={"external": {"url": url}}))


@pytest.mark.parametrize(
    ("identity", "asks"),
    [
        ({}, False),
        ({"required": True, "oidc": [{"issuer": "https://id.example", "audience": "a"}]}, False),
        ({"tokenReview": {}}, True),
        ({"decision": "subjectAccessReview"}, True),
    ],
)
def test_only_pods_that_ask_the_api_server_get_a_token(
    identity: dict[str, Any], asks: bool
) -> None:
    cluster = serving(pipeline={"identity": identity})
    assert pod(cluster)["automountServiceAccountToken"] is asks
    assert pod(cluster, "Job")["automountServiceAccountToken"] is False
    assert ("Role", "shop") not in cluster.objects
    assert ("RoleBinding", "shop") not in cluster.objects
