"""The gateway on clusters with a Gateway API implementation: an HTTPRoute with the weights.

The route has no state, so the pins are in the conversations' names: the runtime appends the name of
its revision to each name that it issues, and every revision that keeps its conversations has a rule
for such names. (The API's own session persistence would keep sessions on a revision whatever
its weight is, also after an abort.) Pure: JSON in and out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chatagent_operator.api.v1alpha1 import ParentReference
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest
from chatagent_operator.core.kinds import GATEWAY, HTTP_ROUTE
from chatagent_operator.core.routing.routes import Backend, Routes

CONVERSATION_HEADER = "X-Conversation-ID"
EVALUATION_HEADER = "X-Agent-Evaluation"
"""Set by the questions of an evaluation, which do not pass through the gateway."""

_ANY_REVISION = r"[a-z0-9][-a-z0-9.]*"
_TIMEOUTS = {"request": "0s", "backendRequest": "0s"}
"""No timeouts: a response may be streamed for minutes, and the agent has its own limits."""


def build_http_route(agent: Agent, routes: Routes) -> Manifest:
    """Return the HTTPRoute. Some implementations reject one without a backend.

    The stable revision takes over conversations whose own revision has no rule. Without a stable
    revision their turns are routed by weight.
    """
    settings = agent.spec.gateway
    spec: Manifest = {
        "parentRefs": [_build_parent(each) for each in settings.parent_refs],
        "rules": list(_build_rules(agent, routes)),
    }
    if settings.hostnames:
        spec["hostnames"] = list(settings.hostnames)
    manifest = agent.child(
        HTTP_ROUTE.api_version, HTTP_ROUTE.name, agent.name, names.ROLE_GATEWAY, spec=spec
    )
    manifest["metadata"]["annotations"] = {names.ROUTES_ANNOTATION: str(routes.generation)}
    return manifest


def _build_rules(agent: Agent, routes: Routes) -> Iterator[Manifest]:
    # A rule that matches a header takes precedence, otherwise the first one.
    in_order = sorted(routes.backends, key=lambda backend: backend.slot)
    keeping = [backend for backend in in_order if backend.state != "maint"]
    for backend in sorted(keeping, key=lambda backend: backend.revision == routes.stable):
        named = _ANY_REVISION if backend.revision == routes.stable else re.escape(backend.revision)
        yield _build_rule(_match_name(named), [_build_reference(agent, backend, 1)])
    # A backend without weight stays in the rule: otherwise its open streams would be cut.
    weighed = [_build_reference(agent, b, b.weight if b.state == "ready" else 0) for b in in_order]
    if in_order and not any(each["weight"] for each in weighed):
        # Implementations reject a route without a weight. A Service without pods responds with 503.
        weighed = [_build_reference(agent, (keeping or in_order)[0], 1)]
    if weighed:
        yield _build_rule([], weighed)


def _build_rule(matches: list[Manifest], references: list[Manifest]) -> Manifest:
    root = {"path": {"type": "PathPrefix", "value": "/"}}
    return {
        "matches": [root | match for match in matches or [{}]],
        "filters": [
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {"remove": [EVALUATION_HEADER]},
            }
        ],
        "backendRefs": references,
        "timeouts": dict(_TIMEOUTS),
    }


def _match_name(revision: str) -> list[Manifest]:
    # Anchored, as some implementations look for the expression anywhere in the value.
    value = f"^conv_[0-9a-f]{{32}}-{revision}$"
    header = {"type": "RegularExpression", "name": CONVERSATION_HEADER, "value": value}
    return [{"headers": [header]}]


def _build_reference(agent: Agent, backend: Backend, weight: int) -> Manifest:
    # All defaults of the API server are written, so that nothing differs later.
    return {
        "group": "",
        "kind": "Service",
        "name": names.revision(agent.name, backend.revision),
        "port": backend.port,
        "weight": weight,
    }


def _build_parent(reference: ParentReference) -> Manifest:
    given = {"name": reference.name, "namespace": reference.namespace}
    optional = {key: value for key, value in given.items() if value}
    section = {"sectionName": reference.section_name} if reference.section_name else {}
    return {"group": GATEWAY.group, "kind": GATEWAY.name, **optional, **section}
