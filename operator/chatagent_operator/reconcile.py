"""One look at one agent: observe, plan, write. The only place where the three meet."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pydantic

from chatagent_operator.api.rollout import seconds
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Platform
from chatagent_operator.core.children.evaluation import Unread, report_config_map
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import Child, Observed, project
from chatagent_operator.core.observed.routes_in_force import Applied
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.plan import (
    Apply,
    Delete,
    Make,
    Plan,
    Scale,
    Write,
    last_readable,
    plan,
    present_routes,
)
from chatagent_operator.core.reporting import status as core_status
from chatagent_operator.core.rollout.commands import Command, Unreadable, parse_command
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.core.rollout.stored import read_status
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import (
    ApiError,
    NamespaceTerminatingError,
    NotFoundError,
    RejectedError,
)
from chatagent_operator.kube.store import AgentRecord, Store
from chatagent_operator.metrics import Metrics
from chatagent_operator.signals import http_route
from chatagent_operator.signals.analyst import Analyst, Wanted
from chatagent_operator.signals.gateway import Gateways
from chatagent_operator.signals.readiness import Readiness

REJECTED_RETRY_SECONDS = 30.0
"""When an object that the API server refused is tried again: a quota may have grown."""

REPORT_RETRY_SECONDS = 5.0
"""When a log that could not be read is tried again."""

PASSWORD_BYTES = 24

_log = logging.getLogger(__name__)


def utc_now() -> str:
    """The time as the API server writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass
class Written:
    """How the writes of one look went."""

    rejected: dict[str, str] = field(default_factory=dict[str, str])
    """What the API server said of objects that it would not take, by kind and name."""

    failure: ApiError | None = None
    """The first other failure; the whole look is tried again."""


class Reconciler:
    """Brings one agent after the other to what its spec asks for."""

    def __init__(
        self,
        store: Store,
        kube: Kube,
        readiness: Readiness,
        gateways: Gateways,
        analyst: Analyst,
        platform: Platform,
        metrics: Metrics,
        now: Callable[[], str] = utc_now,
    ) -> None:
        self._store = store
        self._kube = kube
        self._readiness = readiness
        self._gateways = gateways
        self._analyst = analyst
        self._platform = platform
        self._metrics = metrics
        self._routeless: set[Key] = set()
        """Agents with a HAProxy that are known to have no HTTPRoute from before."""
        self._now = now

    async def reconcile(self, key: Key) -> float | None:
        """One look. Returns seconds until the next one, where one is due without a cause."""
        seen = self._store.agent(key)
        if seen is None:
            self._analyst.want(key, None)
            self._gateways.forget(key)
            return None
        with self._metrics.reconciling():
            try:
                return await self._reconcile(key, seen)
            except NamespaceTerminatingError:
                _log.info("%s: its namespace is being deleted; nothing is made any more", key)
                self._analyst.want(key, None)
                return None  # the agent goes with it

    async def _reconcile(self, key: Key, seen: AgentRecord) -> float | None:
        previous = read_status(seen.status)
        wrong = None
        try:
            spec: ChatAgentSpec | None = ChatAgentSpec.model_validate(seen.spec)
        except pydantic.ValidationError as error:
            wrong = _sentence(error)
            spec = last_readable(seen.spec, previous, self._store.observed(key))
        if spec is None:
            status = core_status.invalid(previous, seen.generation, wrong or "", self._now())
            await self._report(key, seen, previous, status, core_status.notices(previous, status))
            return None
        agent = Agent(key[0], key[1], seen.uid, seen.generation, spec)
        command = parse_command(seen.annotations.get(names.COMMAND_ANNOTATION))
        if _is_urgent(agent, command, previous):
            observed = self._store.observed(key)  # a pod that hangs must not be waited for
        else:
            observed = await self._observe(key, agent, previous)
        made = self._plan(agent, previous, observed, command, {})
        written = await self._execute(key, made.writes)
        if written.rejected:
            made = self._plan(agent, previous, observed, command, written.rejected)
        self._measure(key, agent, observed, made)
        status, told = made.status, made.notices
        if wrong is not None:
            now = self._now()
            status = core_status.invalid(previous, seen.generation, wrong, now, looked=status)
            told += tuple(n for n in core_status.notices(previous, status) if n not in told)
        await self._report(key, seen, previous, status, told)
        if written.failure:
            raise written.failure
        if written.rejected:
            return REJECTED_RETRY_SECONDS  # nothing is taken away while its successor is refused
        for deletion in made.deletions:
            await self._write(key, deletion)
        if made.unread and not await self._keep(key, agent, made.unread):
            return min(REPORT_RETRY_SECONDS, made.requeue_after or REPORT_RETRY_SECONDS)
        return made.requeue_after

    async def _observe(self, key: Key, agent: Agent, previous: ChatAgentStatus) -> Observed:
        """What the watches brought, and what pods and gateways say when they are asked."""
        known = self._store.observed(key)
        unready, (applied, route) = await asyncio.gather(
            self._readiness.ask(known), self._ask_gateway(agent, previous, known)
        )
        # What was written or seen while they were asked counts too.
        observed = self._store.observed(key)
        children = dict(observed.children)
        if route:
            children["HTTPRoute", route.name] = route
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
        """What the gateway does, and the agent's HTTPRoute, which no watch brings."""
        key = agent.namespace, agent.name
        if agent.spec.gateway.provider == "gateway-api":
            self._routeless.discard(key)
            return await self._ask_route(agent, known)
        unread = None
        if key not in self._routeless:
            applied, route = await self._ask_route(agent, known)
            if route:
                return Applied(), route  # it goes once the gateway works
            if applied.trouble is None or applied.trouble == http_route.NOT_INSTALLED:
                self._routeless.add(key)
            else:
                unread = applied.trouble
        if not previous.canary_revision and len(known.revisions()) < 2:
            self._gateways.forget(key)
            return Applied(trouble=unread), None  # nothing moves: no weight is waited for
        gateways = known.pods(names.ROLE_GATEWAY)
        pods = {child.name: pod.ip for child, pod in gateways if pod.ready}
        newest = present_routes(agent, known).generation
        applied = await self._gateways.in_force(key, pods, newest)
        return replace(applied, trouble=unread), None

    async def _ask_route(self, agent: Agent, known: Observed) -> tuple[Applied, Child | None]:
        try:
            report = await http_route.ask(self._kube, agent.namespace, agent.name)
        except ApiError as error:  # what takes a revision back must not wait for it
            return Applied(trouble=Trouble("RouteUnreadable", error.message)), None
        route = project("HTTPRoute", report.route) if report.route else None
        reached = frozenset(known.revisions())
        return Applied(report.in_force, reached, trouble=report.trouble, url=report.url), route

    def _measure(self, key: Key, agent: Agent, observed: Observed, made: Plan) -> None:
        """Have the canary measured from when its weight is in force until it has none."""
        canary, stable = made.status.canary_revision, made.status.stable_revision
        if made.window is None or not canary or not stable:
            self._analyst.want(key, None)
        elif made.is_in_force:
            analysis = agent.spec.rollout.analysis
            addresses = {
                name: tuple(pod.ip for _, pod in observed.pods(names.ROLE_AGENT, name) if pod.ip)
                for name in (canary, stable)
            }
            interval = float(seconds(analysis.interval))
            self._analyst.want(
                key, Wanted(canary, stable, made.window, interval, addresses, analysis, *key)
            )

    async def _keep(self, key: Key, agent: Agent, unread: Unread) -> bool:
        """Store what an evaluation found. The verdict does not need it, and waits for none."""
        try:
            log = await self._kube.log(agent.namespace, unread.pod)
            report = report_config_map(agent, unread, log)
            body = await self._kube.apply(report, names.digest(report["data"]), force=True)
        except ApiError as error:
            _log.warning("%s: no report of %s yet: %s", key, unread.job, error)
            return False
        self._store.wrote_child(key, body)
        return True

    def _plan(
        self,
        agent: Agent,
        previous: ChatAgentStatus,
        observed: Observed,
        command: Command | Unreadable | None,
        rejected: dict[str, str],
    ) -> Plan:
        return plan(agent, previous, observed, command, self._platform, self._now(), rejected)

    async def _execute(self, key: Key, writes: tuple[Write, ...]) -> Written:
        """Carry out what can be: one object that fails must not keep the weights from another."""
        written = Written()
        for action in writes:
            try:
                await self._write(key, action)
            except RejectedError as error:
                what = action.desired if isinstance(action, Apply) else action
                name = f"{getattr(what, 'kind', 'Deployment')} {what.name}"
                written.rejected[name] = error.message
                _log.warning("%s: %s was refused: %s", key, name, error.message)
            except ApiError as error:
                if error.status == 0 or isinstance(error, NamespaceTerminatingError):
                    raise  # nobody answers, or all would be refused: the others need not try
                written.failure = written.failure or error
        return written

    async def _write(self, key: Key, action: Write) -> None:
        namespace, _ = key
        self._metrics.write(action)
        match action:
            case Apply(desired, is_ours):
                body = await self._kube.apply(desired.render(), desired.digest, force=is_ours)
                self._store.wrote_child(key, body)
            case Make(_, _, render):
                await self._kube.create(render(secrets.token_urlsafe(PASSWORD_BYTES)))
            case Scale(name, replicas):
                self._store.wrote_child(key, await self._kube.scale(namespace, name, replicas))
            case Delete(kind, name):
                await self._kube.delete(kind, namespace, name)
                self._store.deleted_child(key, kind, name)

    async def _report(
        self,
        key: Key,
        seen: AgentRecord,
        previous: ChatAgentStatus,
        status: ChatAgentStatus,
        notices: tuple[EventRecord, ...],
    ) -> None:
        """Write the status if it changed, then tell. An Event that is lost is not told again."""
        if status != previous:
            try:
                body = await self._kube.write_status(
                    *key, status.model_dump(mode="json", by_alias=True)
                )
            except NotFoundError:
                self._store.lost_agent(seen.uid)  # its children go with it
                return
            self._store.wrote_agent(key, body)
        for notice in notices:
            _log.info("%s: %s: %s", key, notice.reason, notice.message)
            await self._kube.tell(*key, seen.uid, notice)


def _is_urgent(
    agent: Agent, command: Command | Unreadable | None, previous: ChatAgentStatus
) -> bool:
    """An abort, which waits for nobody. The Gateway's status is needed to say how it is."""
    return (
        isinstance(command, Command)
        and command.action == "abort"
        and command.id != previous.rollout.last_command_id
        and agent.spec.gateway.provider == "haproxy"
    )


def _sentence(error: pydantic.ValidationError) -> str:
    return "; ".join(
        f"spec.{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
        for found in error.errors(include_url=False)
    )
