"""Changes of an agent's objects by others, which are reverted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.kinds import CHILDREN
from chatagent_operator.core.observed.live import covers, read_live
from chatagent_operator.core.observed.objects import project
from chatagent_operator.core.writes import Apply
from tests.unit.core.simulation import Cluster, spec

Edit = Callable[[dict[str, Any]], object]

EDITS: list[tuple[str, str, Edit]] = [
    ("Service", "shop", lambda body: body["spec"].update(selector={"oops": "oops"})),
    ("Service", "shop", lambda body: body["spec"]["selector"].update(oops="oops")),
    ("Service", "shop", lambda body: body["spec"]["ports"][0].update(port=81)),
    ("Service", "shop-chroma", lambda body: body["spec"]["ports"].clear()),
    ("ConfigMap", "shop-gateway", lambda body: body["data"].popitem()),
    ("ConfigMap", "shop-gateway", lambda body: body["data"].update(dict.fromkeys(body["data"]))),
    ("ConfigMap", "shop-routes", lambda body: _give_no_weight(body["data"])),
    ("Role", "shop-gateway", lambda body: body["rules"][0]["verbs"].remove("watch")),
    ("Role", "shop-gateway", lambda body: body["rules"].append(body["rules"][0])),
    ("RoleBinding", "shop-gateway", lambda body: body["subjects"][0].update(name="x")),
    ("ServiceAccount", "shop", lambda body: body.update(automountServiceAccountToken=True)),
    ("PodDisruptionBudget", "shop-gateway", lambda body: body["spec"].clear()),
    ("StatefulSet", "shop-gateway", lambda body: body["spec"].update(replicas=0)),
    (
        "StatefulSet",
        "shop-redis",
        lambda body: body["spec"]["template"]["spec"]["containers"][0].update(image="x"),
    ),
]


@pytest.mark.parametrize(("kind", "name", "edit"), EDITS)
def test_an_edit_is_reverted(kind: str, name: str, edit: Edit) -> None:
    cluster = Cluster()
    cluster.settle()
    body = cluster.objects[kind, name]
    before = json.dumps(_content(body), sort_keys=True)
    edit(body)
    assert json.dumps(_content(body), sort_keys=True) != before
    cluster.settle()
    content = _content(cluster.objects[kind, name])
    if name == "shop-routes":  # its numbers go on
        assert cluster.weights() == {cluster.status.stable_revision: 100}
    else:
        assert json.dumps(content, sort_keys=True) == before


@pytest.mark.parametrize(
    # The operator may not change Secrets.
    "kind",
    [kind.name for kind in CHILDREN if kind.name not in ("Pod", "Secret")],
)
@pytest.mark.parametrize("label", [names.ROLE_LABEL, "app.kubernetes.io/instance"])
def test_a_changed_label_is_reverted_and_restarts_no_pod(kind: str, label: str) -> None:
    cluster = Cluster()
    cluster.settle()
    for body in [body for key, body in cluster.objects.items() if key[0] == kind]:
        metadata = body["metadata"]
        labels, wanted = metadata["labels"], dict(metadata["labels"])
        labels[label] = "x"
        body |= {"marked": True} if kind in ("Deployment", "Job") else {}
        cluster.settle()
        after = cluster.objects[kind, metadata["name"]]
        assert after["metadata"]["labels"] == wanted
        assert after.get("marked") == body.get("marked"), "its template is not written"


def test_the_owner_and_the_replicas_of_a_deployment_are_reverted() -> None:
    cluster = Cluster()
    cluster.settle()
    (deployment,) = [body for key, body in cluster.objects.items() if key[0] == "Deployment"]
    owners = deployment["metadata"]["ownerReferences"]
    deployment["metadata"]["ownerReferences"] = []
    deployment["spec"]["replicas"] = 7
    deployment["spec"]["template"]["spec"]["priority"] = 1
    cluster.settle()
    assert deployment["metadata"]["ownerReferences"] == owners
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["template"]["spec"]["priority"] == 1, "it is compared by its inputs"


def test_an_annotation_that_is_desired_is_reverted() -> None:
    cluster = Cluster(spec(gateway={"service": {"annotations": {"cloud": "internal"}}}))
    cluster.settle()
    annotations = cluster.objects["Service", "shop"]["metadata"]["annotations"]
    annotations["cloud"] = "external"
    cluster.settle()
    assert cluster.objects["Service", "shop"]["metadata"]["annotations"]["cloud"] == "internal"


def test_what_others_add_is_not_drift() -> None:
    cluster = Cluster()
    cluster.settle()
    for (kind, _), body in cluster.objects.items():
        body["metadata"]["labels"]["theirs"] = "1"
        body["metadata"]["annotations"] = body["metadata"].get("annotations", {}) | {"theirs": "1"}
        if kind in ("Service", "StatefulSet"):
            body["spec"]["added"] = {"by": "a default"}
    assert not cluster.plan().writes


def test_a_new_operator_writes_nothing_where_nothing_drifted() -> None:
    routed = {"provider": "gateway-api", "parentRefs": [{"name": "public"}]}
    annotated = {"service": {"annotations": {"cloud": "internal"}}}
    for gateway in ({}, routed, annotated):
        cluster = Cluster(spec(gateway=gateway))
        cluster.settle()
        cluster.verified.clear()
        assert not cluster.plan().writes


def test_what_the_api_server_writes_differently_is_applied_once() -> None:
    cluster = Cluster()
    cluster.settle()
    key = "StatefulSet", "shop-redis"
    container = cluster.objects[key]["spec"]["template"]["spec"]["containers"][0]
    container["resources"]["requests"]["cpu"] = "0.02"
    cluster.verified.clear()
    (write,) = cluster.plan().writes
    assert isinstance(write, Apply)
    child = project(key[0], cluster.objects[key])
    assert child
    cluster.verified[key] = (child.applied, child.live)  # as it is returned
    assert not cluster.plan().writes


@pytest.mark.parametrize(
    ("desired", "stored", "is_same"),
    [
        ("1000m", "1", True),
        ("0.5", "500m", True),
        (2, "2", True),
        ("0.0005", "500u", True),
        ("1024Mi", "1Gi", True),
        ("1Gi", "1G", False),
        ("1000m", "1100m", False),
        ("1000m", "edited", False),
        ("1000m", {}, False),
    ],
)
def test_quantities_are_compared_by_their_value(
    desired: int | str, stored: Any, is_same: bool
) -> None:
    def body(quantity: Any) -> dict[str, Any]:
        container = {"resources": {"requests": {"cpu": quantity}}}
        volume = {"emptyDir": {"sizeLimit": quantity}}
        return {"metadata": {}, "spec": {"containers": [container], "volumes": [volume]}}

    live = read_live(body(stored), is_whole=True)
    assert covers(live, body(desired), is_whole=True) == is_same
    live = read_live({"metadata": {}, "data": {"cpu": stored}}, is_whole=True)
    assert not covers(live, {"metadata": {}, "data": {"cpu": desired}}, is_whole=True), "a text"


def test_a_quantity_in_another_notation_is_not_applied_again() -> None:
    resources = {"requests": {"cpu": "1000m", "memory": "1024Mi"}}
    cluster = Cluster(spec(redis={"managed": {"resources": resources, "storage": {}}}))
    cluster.settle()
    body = cluster.objects["StatefulSet", "shop-redis"]["spec"]
    (container,) = body["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "1000m", "memory": "1024Mi"}
    container["resources"]["requests"] = {"cpu": "1", "memory": "1Gi"}
    cluster.verified.clear()  # the operator is started again
    assert not cluster.plan().writes
    container["resources"]["requests"]["cpu"] = "2"
    assert cluster.plan().writes


def test_an_empty_value_that_the_api_server_leaves_out_is_no_drift() -> None:
    desired = {"metadata": {}, "spec": {"resources": {}, "hostNetwork": False, "args": []}}
    live = read_live({"metadata": {}, "spec": {}}, is_whole=True)
    assert covers(live, desired, is_whole=True)
    assert not covers(live, desired | {"spec": {"hostNetwork": True}}, is_whole=True)


def test_the_size_of_what_is_kept_is_bounded() -> None:
    body = {"metadata": {"labels": {}}, "data": {"a": "x" * 1_000_000}}
    live = read_live(body, is_whole=True)
    assert len(live) < 200
    assert covers(live, body, is_whole=True)
    assert not covers(live, body | {"data": {"a": "x" * 999_999}}, is_whole=True)


def test_what_is_not_versioned_is_compared() -> None:
    versioned = {"ControllerRevision", "Deployment", "Job", "Pod"}
    assert {kind.name for kind in CHILDREN if not kind.is_compared} == versioned | {"Secret"}


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """Return what may be desired of an object."""
    content = {key: each for key, each in body.items() if key not in ("metadata", "status")}
    if "clusterIP" in content.get("spec", {}):  # of an address in memory
        content["spec"] = content["spec"] | {"clusterIP": ""}
    return content


def _give_no_weight(data: dict[str, str]) -> None:
    routes = json.loads(data["routes.json"])
    routes["backends"][0]["weight"] = 0
    data["routes.json"] = json.dumps(routes)
