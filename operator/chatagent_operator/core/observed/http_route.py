"""Reads an agent's HTTPRoute and its Gateways: whether it is accepted, what is wrong, its URL.

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
"""Reason while no Gateway has reported a status of the current route."""

NOT_INSTALLED = Trouble(
    "GatewayAPINotInstalled",
    f"the cluster does not serve {HTTP_ROUTE.api_version}: install the Gateway API's "
    "CustomResourceDefinitions and an implementation, or set spec.gateway.provider to haproxy",
)
"""The cluster has no HTTPRoutes."""

Body = Mapping[str, Any]
_REQUIRED = ("Accepted", "ResolvedRefs")


def find_applied_generation(body: Body) -> int | None:
    """Return the generation of the intent that every Gateway has accepted; None until then.

    Args:
        body: the HTTPRoute as the API server has it.
    """
    if any(_find_trouble_at_parent(body, parent) for parent in _parents(body)):
        return None
    given = body["metadata"].get("annotations", {}).get(names.ROUTES_ANNOTATION, "")
    return int(given) if given.isdecimal() else None


def find_trouble(body: Body, gateways: Mapping[Key, Body | None]) -> Trouble | None:
    """Return the first reason why the route is not accepted. None: it is.

    Args:
        body: the HTTPRoute as the API server has it.
        gateways: the Gateways of `list_gateways`; None for one that does not exist.
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
    """List namespace and name of the Gateways that the route attaches to."""
    return tuple(dict.fromkeys(_key(body, parent) for parent in _parents(body)))


def find_url(body: Body, gateways: Mapping[Key, Body | None]) -> str | None:
    """Return the URL for clients; None while no Gateway has an address."""
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
    """Return why a parent does not accept the route. It may be a listener, and several controllers
    may report its status."""
    name = "/".join(_key(body, parent))
    reports = [
        report
        for report in body.get("status", {}).get("parents", [])
        if _key(body, report["parentRef"]) == _key(body, parent)
        and report["parentRef"].get("sectionName") == parent.get("sectionName")
    ]
    found = Trouble(UNANSWERED, f"Gateway {name} reports no status of the route")
    for report in reports:
        conditions = {c["type"]: c for c in report.get("conditions", [])}
        current = [c for c in conditions.values() if _is_current(body, c)]
        wrong = next((c for c in current if c["type"] in _REQUIRED and c["status"] != "True"), None)
        if wrong:
            text = f"Gateway {name} does not accept the route: {wrong['message']}"
            found = Trouble(wrong["reason"], text)
        elif all(kind in conditions and _is_current(body, conditions[kind]) for kind in _REQUIRED):
            return None
    return found


def _find_gateway_trouble(gateway: Body, key: Key) -> Trouble:
    """Return why an existing Gateway reports no status of the route: it may have no controller."""
    conditions = {c["type"]: c for c in gateway.get("status", {}).get("conditions", [])}
    for kind in ("Accepted", "Programmed"):
        if kind in conditions and conditions[kind]["status"] != "True":
            found = conditions[kind]
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
