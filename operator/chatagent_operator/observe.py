"""Observes one agent: what the watches brought, and what its pods and gateways answer now."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.kinds import HTTP_ROUTE
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.http_route import NOT_INSTALLED
from chatagent_operator.core.observed.objects import Child, Observed, project
from chatagent_operator.core.observed.routes_in_force import Applied
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.view.view import read_routes
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.store import Store
from chatagent_operator.signals import http_route
from chatagent_operator.signals.analyst import Analyst
from chatagent_operator.signals.gateway import Gateways
from chatagent_operator.signals.readiness import Readiness


class Observer:
    """Brings together all that a decision is made on."""

    def __init__(
        self,
        store: Store,
        kube: Kube,
        readiness: Readiness,
        gateways: Gateways,
        analyst: Analyst,
    ) -> None:
        self._store = store
        self._kube = kube
        self._readiness = readiness
        self._gateways = gateways
        self._analyst = analyst
        self._without_route: set[Key] = set()
        """Agents with an HAProxy that are known to have no HTTPRoute of a previous provider."""

    def forget(self, key: Key) -> None:
        """Forget an agent that was deleted."""
        self._gateways.forget(key)
        self._without_route.discard(key)

    async def observe(self, key: Key, agent: Agent, previous: ChatAgentStatus) -> Observed:
        """Return the store's view, completed by what pods and gateways answer."""
        known = self._store.observed(key)
        unready, (applied, route) = await asyncio.gather(
            self._readiness.ask(known), self._ask_gateway(agent, previous, known)
        )
        # What was written or reported while they were asked counts too.
        observed = self._store.observed(key)
        children = observed.children
        if route:
            children = {**children, (HTTP_ROUTE.name, route.name): route}
        return replace(
            observed,
            children=children,
            unready=unready,
            applied=applied,
            reading=self._analyst.reading(key),
        )

    async def _ask_gateway(
        self, agent: Agent, previous: ChatAgentStatus, known: Observed
    ) -> tuple[Applied, Child | None]:
        """Return what the gateway does, and the agent's HTTPRoute, which is not watched."""
        key = agent.namespace, agent.name
        if agent.spec.gateway.provider == "gateway-api":
            self._without_route.discard(key)
            return await self._ask_route(agent, known)
        trouble = None
        if key not in self._without_route:
            applied, route = await self._ask_route(agent, known)
            if route:
                return Applied(), route  # it is deleted once the gateway works
            if applied.trouble is None or applied.trouble == NOT_INSTALLED:
                self._without_route.add(key)
            else:
                trouble = applied.trouble
        if not previous.canary_revision and len(known.revisions()) < 2:
            self._gateways.forget(key)
            return Applied(trouble=trouble), None  # no weight is waited for
        gateways = known.pods(names.ROLE_GATEWAY)
        pods = {child.name: pod.ip for child, pod in gateways if pod.ready}
        newest = read_routes(agent.name, known).generation
        applied = await self._gateways.in_force(key, pods, newest)
        return replace(applied, trouble=trouble), None

    async def _ask_route(self, agent: Agent, known: Observed) -> tuple[Applied, Child | None]:
        try:
            report = await http_route.ask(self._kube, agent.namespace, agent.name)
        except ApiError as error:  # a roll back must not wait for it
            return Applied(trouble=Trouble("RouteUnreadable", error.message)), None
        route = project(HTTP_ROUTE.name, report.route) if report.route else None
        reached = frozenset(known.revisions())
        return Applied(report.in_force, reached, trouble=report.trouble, url=report.url), route
