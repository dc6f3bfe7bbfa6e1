"""The HTTPRoute of an agent, and what its Gateways may say of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from agent_runtime.http.fields import issued_conversation
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.children.http_route import build_http_route
from chatagent_operator.core.observed.http_route import (
    find_applied_generation,
    find_trouble,
    find_url,
    list_gateways,
)
from chatagent_operator.core.plan import plan_abort
from chatagent_operator.core.rollout.commands import Command
from chatagent_operator.core.routing.routes import Backend, BackendState, Routes, Slot
from chatagent_operator.core.spec import find_weights
from chatagent_operator.core.writes import Apply
from tests.conftest import Golden
from tests.unit.core.simulation import PLATFORM, Cluster, spec

PARENT = {"name": "public", "namespace": "infra"}
GATEWAY: dict[str, Any] = {
    "spec": {"listeners": [{"name": "http", "protocol": "HTTP", "port": 8080}]},
    "status": {
        "addresses": [{"type": "IPAddress", "value": "192.0.2.1"}],
        "conditions": [{"type": "Accepted", "status": "True", "reason": "A", "message": ""}],
    },
}
GATEWAYS = {("infra", "public"): GATEWAY}


def agent(**gateway: Any) -> Agent:
    settings = {"provider": "gateway-api", "parentRefs": [PARENT]} | gateway
    model = ChatAgentSpec.model_validate(spec(gateway=settings))
    return Agent("demo", "shop", "uid-1", 1, model)


def backend(slot: Slot, revision: str, weight: int, state: BackendState = "ready") -> Backend:
    return Backend(
        slot=slot, revision=revision, address="10.0.0.1", port=8080, weight=weight, state=state
    )


def route(*backends: Backend, stable: str | None = "aaaaaaaa", **gateway: Any) -> dict[str, Any]:
    routes = Routes(generation=7, stable=stable, backends=backends)
    return build_http_route(agent(**gateway), routes)


CANARY = (backend("s1", "aaaaaaaa", 95), backend("s2", "bbbbbbbb", 5))
ABORTED = (backend("s1", "aaaaaaaa", 100), backend("s2", "bbbbbbbb", 0, "maint"))


def goes_to(body: dict[str, Any], conversation: str = "") -> dict[str, int]:
    """Backends of the rule that takes a conversation, as the API defines it."""
    headers_first = sorted(body["spec"]["rules"], key=lambda r: "headers" not in r["matches"][0])
    for rule in headers_first:
        headers = rule["matches"][0].get("headers", [])
        if all(re.search(header["value"], conversation) for header in headers):
            return {each["name"]: each["weight"] for each in rule["backendRefs"]}
    raise AssertionError("no rule")


def test_a_canary(golden: Golden) -> None:
    section = PARENT | {"sectionName": "https"}
    text = yaml.safe_dump(route(*CANARY, parentRefs=[section], hostnames=["chat.example.com"]))
    golden.check("http-route.yaml", text)


def test_conversations_that_the_runtime_names_stay() -> None:
    body = route(*CANARY)
    assert goes_to(body, issued_conversation("aaaaaaaa")) == {"shop-aaaaaaaa": 1}
    assert goes_to(body, issued_conversation("bbbbbbbb")) == {"shop-bbbbbbbb": 1}
    for theirs in ("", "mine", "mine-bbbbbbbb", issued_conversation("local")):
        assert goes_to(body, theirs) == {"shop-aaaaaaaa": 95, "shop-bbbbbbbb": 5}


def test_those_of_a_revision_that_drains_stay_and_no_new_one_comes() -> None:
    drain = (backend("s1", "aaaaaaaa", 100), backend("s2", "bbbbbbbb", 0, "drain"))
    body = route(*drain)
    assert goes_to(body, issued_conversation("bbbbbbbb")) == {"shop-bbbbbbbb": 1}
    assert goes_to(body) == {"shop-aaaaaaaa": 100, "shop-bbbbbbbb": 0}


def test_those_of_an_aborted_revision_go_to_the_stable_one_for_good() -> None:
    theirs = issued_conversation("bbbbbbbb")
    assert goes_to(route(*ABORTED), theirs) == {"shop-aaaaaaaa": 1}
    assert goes_to(route(*ABORTED)) == {"shop-aaaaaaaa": 100, "shop-bbbbbbbb": 0}
    following = (backend("s1", "aaaaaaaa", 95), backend("s3", "cccccccc", 5))
    assert goes_to(route(*following), theirs) == {"shop-aaaaaaaa": 1}
    # without a stable revision there is nowhere for them to stay
    assert goes_to(route(*following, stable=None), theirs) == {
        "shop-aaaaaaaa": 95,
        "shop-cccccccc": 5,
    }


def test_a_revision_with_dots_and_dashes_is_taken_by_the_letter() -> None:
    body = route(backend("s1", "v1.0-b", 100), stable=None)
    assert goes_to(body, "conv_" + "0" * 32 + "-v1.0-b") == {"shop-v1.0-b": 1}
    assert goes_to(body, "conv_" + "0" * 32 + "-v1x0-b") == {"shop-v1.0-b": 100}


def test_where_nothing_is_ready_a_service_without_pods_says_so() -> None:
    maint = backend("s1", "aaaaaaaa", 0, "maint")
    assert goes_to(route(maint)) == {"shop-aaaaaaaa": 1}
    assert goes_to(route(maint, backend("s2", "bbbbbbbb", 0, "drain"))) == {"shop-bbbbbbbb": 1}


def test_a_route_keeps_no_session_and_cuts_no_stream() -> None:
    for rule in route(*CANARY)["spec"]["rules"]:
        assert "sessionPersistence" not in rule
        assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}


def stored(*conditions: dict[str, Any], **parent: Any) -> dict[str, Any]:
    """The route as a controller answered it."""
    body = route(*CANARY)
    body["metadata"]["generation"] = 3
    answer = {"parentRef": PARENT | parent, "conditions": list(conditions)}
    return body | {"status": {"parents": [answer] if conditions else []}}


def condition(kind: str, status: str = "True", generation: int = 3, **said: str) -> dict[str, Any]:
    given = {"reason": "Why", "message": "because"} | said
    return {"type": kind, "status": status, "observedGeneration": generation} | given


TAKEN = (condition("Accepted"), condition("ResolvedRefs"))


def test_a_route_that_is_taken_is_in_force() -> None:
    assert find_applied_generation(stored(*TAKEN)) == 7
    assert find_trouble(stored(*TAKEN), GATEWAYS) is None
    assert list_gateways(stored()) == (("infra", "public"),)


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (stored(), "RouteUnanswered", "Gateway infra/public reports no status of the route"),
        (stored(condition("Accepted")), "RouteUnanswered", "reports no status"),
        (
            stored(condition("Accepted"), condition("ResolvedRefs", generation=2)),
            "RouteUnanswered",
            "reports no status",
        ),
        (stored(*TAKEN, sectionName="other"), "RouteUnanswered", "reports no status"),
        (
            stored(condition("Accepted", "False", reason="NotAllowedByListeners"), TAKEN[1]),
            "NotAllowedByListeners",
            "Gateway infra/public does not accept the route: because",
        ),
        (
            stored(TAKEN[0], condition("ResolvedRefs", "False", reason="BackendNotFound")),
            "BackendNotFound",
            "because",
        ),
    ],
)
def test_a_route_that_is_not_taken_says_why(body: Any, reason: str, words: str) -> None:
    found = find_trouble(body, GATEWAYS)
    assert found is not None
    assert found.reason == reason
    assert words in found.message
    assert find_applied_generation(body) is None


def test_a_gateway_that_is_not_there_is_named() -> None:
    found = find_trouble(stored(), {("infra", "public"): None})
    assert found is not None
    assert (found.reason, found.message) == (
        "GatewayNotFound",
        "Gateway infra/public does not exist; create it, or change spec.gateway.parentRefs",
    )


def test_a_gateway_of_nobody_is_told_apart() -> None:
    lost = {"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting"}
    found = find_trouble(stored(), {("infra", "public"): {"status": {"conditions": [lost]}}})
    assert found is not None
    assert (found.reason, found.message) == (
        "Pending",
        "Gateway infra/public is not accepted: Waiting",
    )


def test_the_address_of_an_agent() -> None:
    assert find_url(stored(), GATEWAYS) == "http://192.0.2.1:8080"
    assert find_url(stored(), {}) is None
    https = [
        {"name": "http", "protocol": "HTTP", "port": 80},
        {"name": "https", "protocol": "HTTPS", "port": 443, "hostname": "*.example.com"},
    ]
    gateway = GATEWAY | {"spec": {"listeners": https}}
    named = route(hostnames=["chat.example.com"], parentRefs=[PARENT | {"sectionName": "https"}])
    assert find_url(named, {("infra", "public"): gateway}) == "https://chat.example.com"


@pytest.mark.parametrize(
    ("gateway", "words"),
    [
        ({"provider": "gateway-api"}, "parentRefs: provider gateway-api requires"),
        ({"parentRefs": [PARENT]}, "parentRefs and hostnames require provider gateway-api"),
        ({"hostnames": ["a.example"]}, "parentRefs and hostnames require provider gateway-api"),
        ({"provider": "nginx"}, "'haproxy' or 'gateway-api'"),
        (
            {
                "provider": "gateway-api",
                "parentRefs": [PARENT],
                "service": {"type": "LoadBalancer"},
            },
            "service: service requires provider haproxy",
        ),
        (
            {"provider": "gateway-api", "parentRefs": [PARENT], "hostnames": ["http://a"]},
            "hostnames.0",
        ),
    ],
)
def test_settings_that_do_not_go_together(gateway: Any, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ChatAgentSpec.model_validate(spec(gateway=gateway))
    assert words in str(refused.value)


def test_an_abort_moves_the_route_of_a_spec_that_cannot_be_read() -> None:
    settings = {"provider": "gateway-api", "parentRefs": [PARENT]}
    rollout = {"steps": [{"setWeight": 50}, {"pause": {}}]}
    cluster = Cluster(spec("runtime:1", gateway=settings, rollout=rollout))
    cluster.settle()
    cluster.spec = spec("runtime:2", gateway=settings, rollout=rollout)
    cluster.settle()
    canary = cluster.status.canary_revision
    assert len(goes_to(cluster.objects["HTTPRoute", "shop"])) == 2
    raw = cluster.spec | {"image": {"later": 1}, "gateway": settings | {"later": 1}}
    readable = find_weights(raw)
    assert readable is not None
    agent, command = Agent("demo", "shop", "uid-1", 2, readable), Command("1", "abort")
    made = plan_abort(agent, cluster.status, cluster.observed(), command, PLATFORM, cluster.now())
    route = next(write for write in made.writes if write.kind == "HTTPRoute")
    assert isinstance(route, Apply)
    assert set(goes_to(route.desired.render())) == {f"shop-{cluster.status.stable_revision}"}
    assert made.status.failed_revision == canary
    assert "was rolled back (aborted by a command)" in (made.status.rollout.message or "")
    assert made.deletions == ()
    assert find_weights(raw | {"gateway": {"provider": "later"}}) is None
