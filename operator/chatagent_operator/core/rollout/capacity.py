"""Computes the number of pods of each revision during a rollout. Pure.

The canary has the pods for its next weight. If more pods are unschedulable, they replace the stable
ones one by one, and one of those always remains, unless none of them is available.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from chatagent_operator.api.rollout import Rollout
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core.rollout.pods import find_next_weight
from chatagent_operator.core.rollout.steps import create_steps


def is_replacing(status: ChatAgentStatus, settings: Rollout) -> bool:
    """Whether the canary's pods replace stable ones."""
    mode = settings.capacity.mode
    is_configured = mode == "replace" or (mode == "auto" and settings.strategy == "rolling")
    return is_configured or (mode == "auto" and status.rollout.replacing)


def compute_replicas(
    status: ChatAgentStatus,
    settings: Rollout,
    replicas: int,
    current: Mapping[str, int],
    available: int,
    is_held: bool = False,
    is_stable_lost: bool = False,
) -> Mapping[str, int]:
    """Compute the pods of each live revision.

    Args:
        replicas: pods of the stable revision without a rollout.
        current: pods that each Deployment requests until now.
        available: pods of the canary that are available.
        is_held: the rollout is paused, or waits for its documents.
        is_stable_lost: no stable pod has been available for some time.
    """
    stable, canary = status.stable_revision, status.canary_revision
    others = (*status.draining, *((status.previous,) if status.previous else ()))
    kept = {each.revision: min(replicas, current.get(each.revision, replicas)) for each in others}
    if canary is None:
        return kept | ({stable: replicas} if stable else {})
    if stable is None:
        return kept | {canary: replicas}
    share = find_next_weight(status, create_steps(settings, replicas))
    of_canary = max(1, math.ceil(replicas * share / 100))
    of_stable = replicas
    if settings.strategy == "recreate":
        if not is_held:
            of_stable = 0
        elif not status.rollout.approved_weight:
            of_canary = 0
    elif is_replacing(status, settings):
        of_canary = min(of_canary, max(1, replicas - 1), available + 1)
        of_stable = max(0 if is_stable_lost else 1, replicas - of_canary)
    of_canary = max(of_canary, kept.get(canary, 0))  # one that drains or is kept has them already
    return kept | {stable: of_stable, canary: of_canary}


def compute_capacity(
    available: int, status: ChatAgentStatus, settings: Rollout, replicas: int
) -> int:
    """Compute the percent of the conversations that the canary's available pods can serve.

    If they replace stable pods, of which one remains until the end, all but one count as all.
    """
    enough = max(1, replicas - 1) if is_replacing(status, settings) else replicas
    return 100 if available >= enough else 100 * available // replicas


def cannot_replace_pods(
    status: ChatAgentStatus, settings: Rollout, replicas: int, *, is_stable_lost: bool
) -> bool:
    """Whether an unschedulable canary cannot replace a stable pod."""
    is_last = replicas == 1 and not is_stable_lost
    return settings.capacity.mode == "surge" or is_last or is_replacing(status, settings)
