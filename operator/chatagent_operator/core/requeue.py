"""When an agent is reconciled again without a watch event.

What the plan would say at any time before that is what it has said.
"""

from __future__ import annotations

from collections.abc import Iterator

from chatagent_operator.api.rollout import seconds
from chatagent_operator.core import names
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.rollout.draining import count_kept_left
from chatagent_operator.core.rollout.takeover import count_left
from chatagent_operator.core.rollout.times import elapsed

POLL_SECONDS = 2.0
"""Interval of reading why running pods are not ready."""
SETTLE_SECONDS = 0.1
"""Interval of reading whether the gateway has applied the routes."""
SILENT_SECONDS = 1.0
"""The same while no gateway pod responds."""
ROUTE_SECONDS = 30.0
"""Interval of reading whether the Gateways still accept the HTTPRoute."""
LOOK_SECONDS = 30.0
"""Interval of asking ready pods whether they still have their index. No watch tells that."""


def find_delay(state: DesiredState, *, is_gateway_awaited: bool) -> float | None:
    """Return the seconds until the next reconciliation; None where nothing is due.

    Args:
        is_gateway_awaited: objects are to be deleted once the gateway has applied the routes.
    """
    waiting, applied = state.decision.waiting, state.observed.applied
    due: list[float] = []
    if state.observed != state.view.everything or _has_unready_pods(state.observed):
        due.append(POLL_SECONDS)
    if state.observed.reports:
        due.append(POLL_SECONDS)
    if any(pod.ready for _, pod in state.observed.pods(names.ROLE_AGENT)):
        due.append(_spread(LOOK_SECONDS, state.agent.uid))
    if is_gateway_awaited or (waiting and waiting.reason == "WaitingForGateway"):
        due.append(SILENT_SECONDS if applied.generation is None else SETTLE_SECONDS)
    if waiting and waiting.due is not None:
        due.append(max(waiting.due, SETTLE_SECONDS))
    if state.agent.spec.gateway.provider == "gateway-api":
        # It is read and not watched: not every cluster has that API.
        due.append(SILENT_SECONDS if applied.generation is None else ROUTE_SECONDS)
    elif applied.trouble:
        due.append(ROUTE_SECONDS)  # whether a previous route exists is not known yet
    if applied.behind:
        due.append(SILENT_SECONDS)
    due += (left for left in _find_ends(state) if left > 0)
    return min(due, default=None)


def _spread(interval: float, uid: str) -> float:
    """Return the interval, or up to a quarter less, so that agents are not asked all at once."""
    return interval * (1 - int(names.digest(uid), 16) / 2**34)


def _find_ends(state: DesiredState) -> Iterator[float]:
    """Return the seconds until each time ends that the status depends on without any event."""
    view, status, affinity = state.view, state.status, state.agent.spec.rollout.affinity
    for each in status.draining:
        yield seconds(affinity.drain) - elapsed(each.since, view.now)
    if status.previous and status.previous.revision != status.canary_revision:
        yield count_kept_left(status, state.agent.spec.rollout, view.now)
    yield count_left(status, view.now) or 0
    if any(view.is_unschedulable(name) for name in state.decision.live):
        yield view.count_grace_left(status.rollout.started_at)
        yield view.count_grace_left(status.history[0].ended_at if status.history else None)
    if state.reported != state.observed:
        yield state.count_reconnect_left()


def _has_unready_pods(observed: Observed) -> bool:
    if any(pod.running and not pod.ready for _, pod in observed.pods(names.ROLE_AGENT)):
        return True
    # The failure of an earlier attempt expires after a time.
    return any(pod.running and pod.trouble for _, pod in observed.pods(names.ROLE_INGESTION))
