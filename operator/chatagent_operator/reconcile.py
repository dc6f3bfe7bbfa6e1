"""Reconciles one agent: observe, plan, write. The only place where the three meet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pydantic

from chatagent_operator.api.conditions import ConditionType
from chatagent_operator.api.rollout import seconds
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import names, reporting
from chatagent_operator.core.agent import Agent, Platform
from chatagent_operator.core.children.component import desire
from chatagent_operator.core.children.evaluation import build_report
from chatagent_operator.core.kinds import Wave
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.refusals import Refusals
from chatagent_operator.core.plan import Plan, plan, plan_abort
from chatagent_operator.core.rollout.commands import Command, Unreadable, parse_command
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.core.rollout.stored import read_status
from chatagent_operator.core.spec import describe_errors, find_last_readable, find_weights
from chatagent_operator.core.view.evaluations import UnstoredReport
from chatagent_operator.core.writes import Apply, Write
from chatagent_operator.execute import Executor
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import (
    ApiError,
    NamespaceTerminatingError,
    NotLeaderError,
    StaleError,
)
from chatagent_operator.kube.rivals import Rivals
from chatagent_operator.kube.sources import Sources
from chatagent_operator.kube.store import AgentRecord, Store
from chatagent_operator.metrics import Metrics
from chatagent_operator.observe import Observer
from chatagent_operator.report import Reporter
from chatagent_operator.signals.analyst import Analyst, Wanted

REPORTS_AT_ONCE = 1
"""Reports of evaluations that are built at the same time. The log of one may have 8 MiB."""

REPORT_RETRY_SECONDS = 5.0
"""When a log that could not be read is tried again."""

RIVAL_SECONDS = 15.0
"""When it is checked again whether another operator still reconciles an agent: longer than an
unchanged Lease lasts."""

MAX_REMEMBERED = 512
"""Agents whose validated spec is kept in memory, some 30 KB for each."""

_log = logging.getLogger(__name__)


def utc_now() -> str:
    """Return the time as the API server writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Reconciler:
    """Brings one agent after the other to what its spec desires."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        kube: Kube,
        observer: Observer,
        analyst: Analyst,
        platform: Platform,
        metrics: Metrics,
        rivals: Rivals,
        now: Callable[[], str] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sources = sources
        self._kube = kube
        self._observer = observer
        self._executor = Executor(store, kube, metrics, clock)
        self._analyst = analyst
        self._platform = platform
        self._metrics = metrics
        self._now = now
        self._rivals = rivals
        self._reporter = Reporter(store, kube, rivals.operator, now, clock)
        self._left: dict[Key, str] = {}
        """Agents that another operator reconciles, and which one."""
        self._reports = asyncio.Semaphore(REPORTS_AT_ONCE)
        self._agents: dict[Key, Agent] = {}
        """Agents whose spec was read and validated, those used last at the end."""

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile once. Returns the seconds until the next time, where one is due."""
        record = self._store.agent(key)
        if record is None:
            self._analyst.want(key, None)
            self._observer.forget(key)
            self._agents.pop(key, None)
            self._left.pop(key, None)
            self._reporter.forget(key)
            self._executor.forget(key)
            return None
        with self._metrics.time_reconciliation():
            try:
                return await self._reconcile(key, record)
            except NamespaceTerminatingError:
                _log.info("%s: its namespace is being deleted; nothing more is created", key)
                self._analyst.want(key, None)
                return None  # the agent is deleted with it

    async def _reconcile(self, key: Key, record: AgentRecord) -> float | None:
        previous = read_status(record.status)
        if await self._rivals.is_reconciled_by(previous.operator, key[0]):
            await self._leave_to(previous.operator or "", key, record)
            return RIVAL_SECONDS
        self._left.pop(key, None)
        agent, invalid = self._read_agent(key, record, previous)
        command = parse_command(record.annotations.get(names.COMMAND_ANNOTATION))
        if agent is None:
            await self._report_unreadable(key, record, previous, command, invalid)
            return None
        named = _sources_of(agent.spec)
        is_urgent = _is_urgent(agent, command, previous)
        if is_urgent:  # what hangs or cannot be read must not be waited for
            observed = self._store.observed(key)
            sources = self._sources.last_digests(key[0], named)
        else:
            sources = await self._sources.digests(key[0], named)
            observed = await self._observer.observe(key, agent, previous)
        observed = replace(observed, sources=sources)
        made = self._plan(agent, previous, observed, command, {})
        writes = made.writes
        if is_urgent:  # all else is decided on a whole picture, which comes next
            writes = tuple(write for write in writes if write.wave is Wave.WEIGHTS)
        failure = await self._execute(key, writes)
        if refusals := self._executor.refusals(key):
            made = self._plan(agent, previous, observed, command, refusals)
        if not is_urgent:  # only now: a rollback says what was refused of its canary
            self._executor.keep(key, (*made.writes, *made.deletions))
        self._measure(key, agent, observed, made)
        status, events = made.status, made.events
        if invalid:
            status = reporting.report_invalid(
                previous, record.generation, invalid, self._now(), reconciled=status
            )
            # Not that it is accepted, as the last readable spec is.
            events = tuple(event for event in events if event.reason != ConditionType.ACCEPTED)
            found = reporting.find_events(previous, status)
            events += tuple(event for event in found if event not in events)
        wait = await self._reporter.report(
            key, record, previous, status, events, at_once=bool(refusals)
        )
        if failure:
            raise failure
        if is_urgent:
            return 0.0
        await self._executor.execute(key, made.deletions)
        due = [wait, made.requeue_after, self._executor.retry_after(key)]
        if self._executor.refusals(key).keys() != refusals.keys():
            due.append(0.0)  # a deletion failed, or succeeded at last: the status is to say so
        if made.unstored_report and not await self._store_report(key, agent, made.unstored_report):
            due.append(REPORT_RETRY_SECONDS)
        return min((each for each in due if each is not None), default=None)

    async def _leave_to(self, operator: str, key: Key, record: AgentRecord) -> None:
        """Leave an agent to the other operator that reconciles it, and say so once."""
        self._analyst.want(key, None)
        if self._left.get(key) == operator:
            return
        self._left[key] = operator
        message = (
            f"the operator of the Lease {operator} reconciles this agent, and that of the Lease "
            f"{self._rivals.operator} leaves it alone; set watchNamespaces so that only one of "
            "them watches this namespace, or uninstall one"
        )
        _log.warning("%s: %s", key, message)
        await self._kube.create_event(
            *key, record.uid, EventRecord("Warning", "OtherOperator", message)
        )

    async def _report_unreadable(
        self,
        key: Key,
        record: AgentRecord,
        previous: ChatAgentStatus,
        command: Command | Unreadable | None,
        invalid: str,
    ) -> None:
        """Report a spec of which not even a revision can be read. An abort still works."""
        after, events = previous, ()
        spec = find_weights(record.spec)
        if spec and isinstance(command, Command) and _is_new_abort(command, previous):
            agent = Agent(*key, record.uid, record.generation, spec)
            observed = await self._observer.observe(key, agent, previous)
            made = plan_abort(agent, previous, observed, command, self._platform, self._now())
            await self._executor.execute(key, made.writes)
            after, events = made.status, made.events
        status = reporting.report_invalid(
            previous, record.generation, invalid, self._now(), reconciled=after
        )
        events += reporting.find_events(previous, status)
        await self._reporter.report(key, record, previous, status, events)

    async def _execute(self, key: Key, writes: tuple[Write, ...]) -> ApiError | None:
        """Write. Returns why nothing more can be written; the status may be able to say so."""
        try:
            await self._executor.execute(key, writes)
        except (NamespaceTerminatingError, NotLeaderError, StaleError):
            raise
        except ApiError as error:
            return error
        return None

    def _read_agent(
        self, key: Key, record: AgentRecord, previous: ChatAgentStatus
    ) -> tuple[Agent | None, str]:
        """Return the agent, with the last readable spec where the present one is not valid, and
        what is wrong with that one. None: there is no readable spec."""
        known = self._agents.pop(key, None)
        restarted_at = record.annotations.get(names.RESTARTED_ANNOTATION)
        version = record.uid, record.generation, restarted_at
        if known and (known.uid, known.generation, known.restarted_at) == version:
            self._agents[key] = known
            return known, ""
        namespace, name = key
        try:
            spec = ChatAgentSpec.model_validate(record.spec)
        except pydantic.ValidationError as error:
            observed = self._store.observed(key)
            readable = find_last_readable(name, record.spec, previous, observed)
            if readable is None:
                return None, describe_errors(error)
            agent = Agent(namespace, name, record.uid, record.generation, readable, restarted_at)
            return agent, describe_errors(error)
        agent = Agent(namespace, name, record.uid, record.generation, spec, restarted_at)
        self._agents[key] = agent
        if len(self._agents) > MAX_REMEMBERED:
            del self._agents[next(iter(self._agents))]  # the one that was not used for longest
        return agent, ""

    def _measure(self, key: Key, agent: Agent, observed: Observed, made: Plan) -> None:
        """Have the canary measured while the gateway applies its weight."""
        canary, stable = made.status.canary_revision, made.status.stable_revision
        if made.window is None or not canary or not stable:
            self._analyst.want(key, None)
        elif made.is_applied:
            analysis = agent.spec.rollout.analysis
            addresses = {
                name: tuple(pod.ip for _, pod in observed.pods(names.ROLE_AGENT, name) if pod.ip)
                for name in (canary, stable)
            }
            interval = float(seconds(analysis.interval))
            wanted = Wanted(
                canary, stable, made.window, interval, addresses, analysis, *key,
                kept=made.status.rollout.window, measured_at=made.status.analysis.measured_at,
            )  # fmt: skip
            self._analyst.want(key, wanted)

    async def _store_report(self, key: Key, agent: Agent, unstored: UnstoredReport) -> bool:
        """Store the report of an evaluation. The verdict does not need it."""
        try:
            async with self._reports:
                log = await self._kube.log(agent.namespace, unstored.pod)
        except ApiError as error:
            _log.warning("%s: the report of %s is not stored yet: %s", key, unstored.job, error)
            return False
        report = desire(build_report(agent, unstored, log))
        await self._executor.execute(key, (Apply(report, is_ours=False),))
        return (report.kind, report.name) not in self._executor.refusals(key)

    def _plan(
        self,
        agent: Agent,
        previous: ChatAgentStatus,
        observed: Observed,
        command: Command | Unreadable | None,
        refusals: Refusals,
    ) -> Plan:
        return plan(agent, previous, observed, command, self._platform, self._now(), refusals)


def _is_urgent(
    agent: Agent, command: Command | Unreadable | None, previous: ChatAgentStatus
) -> bool:
    """It is an abort, which waits for nothing. With gateway-api the route's status is needed."""
    return _is_new_abort(command, previous) and agent.spec.gateway.provider == "haproxy"


def _is_new_abort(command: Command | Unreadable | None, previous: ChatAgentStatus) -> bool:
    return (
        isinstance(command, Command)
        and command.action == "abort"
        and command.id != previous.rollout.last_command_id
    )


def _sources_of(spec: ChatAgentSpec) -> list[str]:
    """The ConfigMaps that hold documents or questions."""
    found = [source.config_map.name for source in spec.knowledge.sources]
    evaluation = spec.rollout.analysis.evaluation
    if evaluation and evaluation.config_map:
        found.append(evaluation.config_map.name)
    return found
