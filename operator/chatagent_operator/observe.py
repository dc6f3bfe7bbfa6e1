"""Observes one agent: what the watches brought, and what its pods and gateways answer now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.kinds import HTTP_ROUTE
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.applied_routes import Applied
from chatagent_operator.core.observed.http_route import NOT_INSTALLED
from chatagent_operator.core.observed.objects import Child, Observed, project
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.requeue import ROUTE_SECONDS
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
        namespaces: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`namespaces`: where there are agents; empty: everywhere."""
        self._store = store
        self._kube = kube
        self._readiness = readiness
        self._gateways = gateways
        self._analyst = analyst
        self._namespaces = namespaces
        self._routed: set[Key] | None = None
        """Agents that may have an HTTPRoute, if of a previous provider. None: not known yet."""
        self._clock = clock
        self._listing: tuple[float, asyncio.Task[set[Key]]] | None = None
        """The newest list, and when it began. One that failed is not tried again at once."""

    def reset(self) -> None:
        """Forget what another leader may have changed."""
        self._routed = self._listing = None
        self._gateways.reset()

    def forget(self, key: Key) -> None:
        """Forget an agent that was deleted."""
        self._gateways.forget(key)
        self._readiness.forget(key)
        if self._routed:
            self._routed.discard(key)

    async def observe(self, key: Key, agent: Agent, previous: ChatAgentStatus) -> Observed:
        """Return the store's view, completed by what pods and gateways answer."""
        known = self._store.observed(key)
        reports, (applied, route) = await asyncio.gather(
            self._readiness.ask(key, known), self._ask_gateway(agent, previous, known)
        )
        # What was written or reported while they were asked counts too.
        observed = self._store.observed(key)
        children = observed.children
        if route:
            children = {**children, (HTTP_ROUTE.name, route.name): route}
        return replace(
            observed,
            children=children,
            reports=reports,
            applied=applied,
            reading=self._analyst.reading(key),
            window=self._analyst.window(key, previous.rollout.weighted_at),
        )

    async def _ask_gateway(
        self, agent: Agent, previous: ChatAgentStatus, known: Observed
    ) -> tuple[Applied, Child | None]:
        """Return what the gateway does, and the agent's HTTPRoute, which is not watched."""
        key = agent.namespace, agent.name
        try:
            routed = await self._find_routed()
        except ApiError as error:  # a rollback must not wait for it
            routed, trouble = set[Key](), _describe_unreadable(error)
        else:
            trouble = None
        if agent.spec.gateway.provider == "gateway-api":
            routed.add(key)
            return await self._ask_route(agent, known)
        if key in routed:
            applied, route = await self._ask_route(agent, known)
            if route:
                return Applied(), route  # it is deleted once the gateway works
            trouble = applied.trouble if applied.trouble != NOT_INSTALLED else None
            if trouble is None:
                routed.discard(key)
        if not previous.canary_revision and len(known.revisions()) < 2:
            self._gateways.forget(key)
            return Applied(trouble=trouble), None  # no weight is waited for
        gateways = known.pods(names.ROLE_GATEWAY)
        pods = {child.name: pod.ip for child, pod in gateways if pod.ready}
        newest = read_routes(agent.name, known).generation
        applied = await self._gateways.find_applied(key, pods, newest)
        return replace(applied, trouble=trouble), None

    async def _find_routed(self) -> set[Key]:
        """Return the agents that may have an HTTPRoute: most clusters have none, or lack the kind,
        and one list is cheaper than a question for each agent.

        Raises:
            ApiError: they cannot be listed, or could not be a moment ago.
        """
        if self._routed is not None:
            return self._routed
        listing = self._listing
        if listing is None or self._clock() - listing[0] >= ROUTE_SECONDS:
            listing = self._listing = self._clock(), asyncio.create_task(self._list_routed())
        return await asyncio.shield(listing[1])

    async def _list_routed(self) -> set[Key]:
        found = await self._kube.list_labels(HTTP_ROUTE, self._namespaces)
        agents = ((key[0], labels.get(names.AGENT_LABEL)) for key, labels in found.items())
        self._routed = {(namespace, agent) for namespace, agent in agents if agent}
        return self._routed

    async def _ask_route(self, agent: Agent, known: Observed) -> tuple[Applied, Child | None]:
        try:
            report = await http_route.ask(self._kube, agent.namespace, agent.name)
        except ApiError as error:  # a roll back must not wait for it
            return Applied(trouble=_describe_unreadable(error)), None
        route = project(HTTP_ROUTE.name, report.route) if report.route else None
        reached = frozenset(known.revisions())
        return Applied(
            report.accepted_generation, reached, trouble=report.trouble, url=report.url
        ), route


def _describe_unreadable(error: ApiError) -> Trouble:
    message = f"HTTPRoutes cannot be read, and are read again within {ROUTE_SECONDS:.0f} s"
    return Trouble("RouteUnreadable", f"{message}: {error.message}")
