"""What Gateways report of an agent's HTTPRoute: whether it is in force, what is wrong, its URL.

Pure: the objects' JSON in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from chatagent_operator.core import names
from chatagent_operator.core.kinds import HTTP_ROUTE
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.trouble import Trouble

UNANSWERED = "RouteUnanswered"
"""No Gateway has said yet whether it takes the route as it is now."""

NOT_INSTALLED = Trouble(
    "GatewayAPINotInstalled",
    f"the cluster does not serve {HTTP_ROUTE.api_version}: install the Gateway API's "
    "CustomResourceDefinitions and an implementation, or set spec.gateway.provider to haproxy",
)
"""There can be no HTTPRoute."""

Body = Mapping[str, Any]
_WANTED = ("Accepted", "ResolvedRefs")


def find_applied_generation(body: Body) -> int | None:
    """Generation of the intent that every Gateway of the route has taken; None until then.

    Args:
        body: the HTTPRoute as the API server has it.
    """
    if any(_find_trouble_at_parent(body, parent) for parent in _parents(body)):
        return None
    given = body["metadata"].get("annotations", {}).get(names.ROUTES_ANNOTATION, "")
    return int(given) if given.isdecimal() else None


def find_trouble(body: Body, gateways: Mapping[Key, Body | None]) -> Trouble | None:
    """Why the route is not in force, the first thing that is wrong. None: it is.

    A Gateway takes a moment to answer a change: what is wrong for less is no trouble.

    Args:
        body: the HTTPRoute as the API server has it.
        gateways: the Gateways that exist, by `list_gateways`; None for one that does not.
    """
    for parent in _parents(body):
        key = _key(body, parent)
        gateway = gateways.get(key)
        if gateway is None:
            return Trouble(
                "GatewayNotFound",
                f"Gateway {'/'.join(key)} does not exist; create it, or change "
                "spec.gateway.parentRefs",
            )
        if found := _find_trouble_at_parent(body, parent):
            return _find_gateway_trouble(gateway, key) if found.reason == UNANSWERED else found
    return None


def list_gateways(body: Body) -> tuple[Key, ...]:
    """Namespace and name of the Gateways that the route is for."""
    return tuple(dict.fromkeys(_key(body, parent) for parent in _parents(body)))


def find_url(body: Body, gateways: Mapping[Key, Body | None]) -> str | None:
    """Where clients find the agent; None where no Gateway has an address yet."""
    hostnames: list[str] = body["spec"].get("hostnames") or []
    for parent in _parents(body):
        gateway = gateways.get(_key(body, parent)) or {}
        for listener in gateway.get("spec", {}).get("listeners", []):
            if parent.get("sectionName") in (None, listener["name"]):
                hosts = [*hostnames, listener.get("hostname", ""), *_addresses(gateway)]
                if host := next((h for h in hosts if h and not h.startswith("*")), None):
                    return _url(listener, host)
    return None


def _url(listener: Body, host: str) -> str:
    scheme = "https" if listener["protocol"] in ("HTTPS", "TLS") else "http"
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[scheme]
    port = "" if listener["port"] == usual else f":{listener['port']}"
    return f"{scheme}://{name}{port}"


def _addresses(gateway: Body) -> Iterator[str]:
    for address in gateway.get("status", {}).get("addresses", []):
        yield address["value"]


def _find_trouble_at_parent(body: Body, parent: Body) -> Trouble | None:
    """What one parent says; a listener of its own may be named, and several controllers answer."""
    name = "/".join(_key(body, parent))
    answers = [
        answer
        for answer in body.get("status", {}).get("parents", [])
        if _key(body, answer["parentRef"]) == _key(body, parent)
        and answer["parentRef"].get("sectionName") == parent.get("sectionName")
    ]
    found = Trouble(UNANSWERED, f"Gateway {name} reports no status of the route")
    for answer in answers:
        said = {c["type"]: c for c in answer.get("conditions", [])}
        current = [c for c in said.values() if _is_current(body, c)]
        wrong = next((c for c in current if c["type"] in _WANTED and c["status"] != "True"), None)
        if wrong:
            text = f"Gateway {name} does not accept the route: {wrong['message']}"
            found = Trouble(wrong["reason"], text)
        elif all(kind in said and _is_current(body, said[kind]) for kind in _WANTED):
            return None
    return found


def _find_gateway_trouble(gateway: Body, key: Key) -> Trouble:
    """Why a Gateway that exists says nothing: it may be none of any controller's."""
    said = {c["type"]: c for c in gateway.get("status", {}).get("conditions", [])}
    for kind in ("Accepted", "Programmed"):
        if kind in said and said[kind]["status"] != "True":
            found = said[kind]
            text = f"Gateway {'/'.join(key)} is not {kind.lower()}: {found['message']}"
            return Trouble(found["reason"], text)
    return Trouble(
        UNANSWERED,
        f"Gateway {'/'.join(key)} reports no status of the route; check that its controller runs",
    )


def _is_current(body: Body, condition: Body) -> bool:
    return condition.get("observedGeneration", 0) >= body["metadata"]["generation"]


def _parents(body: Body) -> list[Body]:
    return cast(list[Body], body["spec"].get("parentRefs") or [])


def _key(body: Body, parent: Body) -> Key:
    return parent.get("namespace") or body["metadata"]["namespace"], parent["name"]
