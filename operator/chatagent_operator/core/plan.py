"""`plan(agent, previous, observed, …, now)`: decides what to write, and the resulting status.

Pure: unit tests simulate whole rollouts with it. A revision gets no weight before it has been
observed ready, and nothing is deleted before the weights and the status are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core import diff, reporting, requeue
from chatagent_operator.core.agent import Agent, Platform
from chatagent_operator.core.children import COMPONENTS
from chatagent_operator.core.children.component import Removal
from chatagent_operator.core.children.gateway import COMPONENT as GATEWAY
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.refusals import Refusals
from chatagent_operator.core.rollout.advance import advance
from chatagent_operator.core.rollout.apply_command import apply_command
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.rollout.context import RolloutContext, Seen
from chatagent_operator.core.rollout.decision import Decision, EventRecord
from chatagent_operator.core.rollout.state import update_rollout
from chatagent_operator.core.rollout.times import replace_future_times
from chatagent_operator.core.view.evaluations import UnstoredReport
from chatagent_operator.core.view.view import View
from chatagent_operator.core.writes import Delete, Write


@dataclass(frozen=True)
class Plan:
    """The result of one reconciliation."""

    writes: tuple[Write, ...]
    """In the order of their waves, the weights first."""

    deletions: tuple[Delete, ...]
    """Executed only once the writes and the status are stored: a crash before that must not leave
    an agent whose status names a deleted revision."""

    status: ChatAgentStatus
    events: tuple[EventRecord, ...] = ()
    window: str | None = None
    """When the canary got its current weight. It is measured since then. None: it has none."""

    is_applied: bool = False
    """Whether the gateway has applied the routes of this plan."""

    unstored_report: UnstoredReport | None = None
    """An evaluation's report that is to be stored. Its Job is deleted only then."""

    requeue_after: float | None = None
    """Reconcile again after so many seconds even if no watch reports a change."""


def plan(
    agent: Agent,
    previous: ChatAgentStatus,
    observed: Observed,
    command: Command | Unreadable | None,
    platform: Platform,
    now: str,
    refusals: Refusals | None = None,
) -> Plan:
    """Plan a reconciliation of an agent: view → advance → desired → diff → status → requeue.

    Args:
        previous: the status as last written.
        command: the command in the annotation, whether new or not.
        now: RFC 3339, UTC.
        refusals: writes that failed, by kind and name.
    """
    previous = replace_future_times(previous, now)
    if agent.spec.suspend:
        return Plan((), (), reporting.report_suspended(agent, previous, command, now))
    view = View(agent, previous, observed, command, platform, now, refusals or {})
    decision = _advance(view)
    state = DesiredState(view, decision)
    desired = [each for component in COMPONENTS for each in component.build_objects(state)]
    secrets = [each for component in COMPONENTS for each in component.build_secrets(state)]
    removals = tuple(diff.find_deletions(desired, state))
    status = reporting.build_status(state)
    is_awaited = any(removal is Removal.SOON for _, removal in removals)
    return Plan(
        diff.find_writes(desired, secrets, state),
        tuple(delete for delete, removal in removals if removal is Removal.NOW),
        status,
        _join_events(decision.events, reporting.find_events(previous, status)),
        window=_find_window(state),
        is_applied=state.is_applied,
        unstored_report=state.unstored_report,
        requeue_after=requeue.find_delay(state, is_gateway_awaited=is_awaited),
    )


def plan_abort(
    agent: Agent,
    previous: ChatAgentStatus,
    observed: Observed,
    command: Command,
    platform: Platform,
    now: str,
) -> Plan:
    """Plan an abort of an agent whose spec cannot be read: the weights and the status, no more.

    Args:
        agent: with placeholders in its spec, except for the gateway and the rollout.
    """
    seen = Seen(previous.canary_revision or "", now, command=command)
    context = RolloutContext(
        previous, seen, agent.spec.rollout, steps=(), path="", replicas=agent.spec.replicas
    )
    context = apply_command(context)
    decision = Decision(context.status, events=context.events)
    state = DesiredState(View(agent, previous, observed, command, platform, now), decision)
    weights = [each for each in GATEWAY.build_objects(state) if each.is_weight]
    status = reporting.report_aborted(previous, decision, agent.generation, now)
    return Plan(diff.find_writes(weights, (), state), (), status, decision.events)


def _advance(view: View) -> Decision:
    settings = view.agent.spec
    decision = advance(view.previous, view.seen, settings.rollout, settings.replicas)
    if view.may_replace and view.is_unschedulable(decision.status.canary_revision):
        return replace(decision, status=update_rollout(decision.status, replacing=True))
    return decision


def _find_window(state: DesiredState) -> str | None:
    is_measured = state.agent.spec.rollout.strategy == "canary"
    return state.status.rollout.weighted_at if state.decision.weight and is_measured else None


def _join_events(
    ours: tuple[EventRecord, ...], others: tuple[EventRecord, ...]
) -> tuple[EventRecord, ...]:
    """Return all Events except those that repeat the message of another one."""
    messages = {event.message for event in ours}
    return ours + tuple(event for event in others if event.message not in messages)
