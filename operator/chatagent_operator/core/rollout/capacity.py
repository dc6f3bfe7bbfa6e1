"""How many pods each revision has in a rollout, with and without room for more. Pure.

The canary has the pods for its next weight. Where there is no room beside the stable ones, it takes
their places, one by one, and one of them is always left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from chatagent_operator.api.rollout import Rollout
from chatagent_operator.core.rollout.machine import State, next_weight, path


def is_replacing(state: State, rollout: Rollout) -> bool:
    """Whether the canary's pods take the places of stable ones."""
    mode = rollout.capacity.mode
    by_choice = mode == "replace" or (mode == "auto" and rollout.strategy == "rolling")
    return by_choice or (mode == "auto" and state.replacing)


def replicas(
    state: State,
    rollout: Rollout,
    usual: int,
    present: Mapping[str, int],
    available: int,
    is_held: bool = False,
) -> Mapping[str, int]:
    """Pods of each live revision.

    Args:
        usual: pods of the stable revision without a rollout.
        present: pods that each revision should have until now.
        available: pods of the canary that are.
        is_held: the rollout is paused, or waits for its documents.
    """
    wanted = {
        each.revision: min(usual, present.get(each.revision, usual)) for each in state.draining
    }
    if state.canary is None:
        return wanted | ({state.stable: usual} if state.stable else {})
    if state.stable is None:
        return wanted | {state.canary: usual}
    share = next_weight(state, path(rollout, usual))
    canary = max(1, math.ceil(usual * share / 100))
    stable = usual
    if rollout.strategy == "recreate":
        if not is_held:
            stable = 0
        elif not state.weight:
            canary = 0
    elif is_replacing(state, rollout):
        canary = min(canary, max(1, usual - 1), available + 1)
        stable = max(1, usual - canary)
    canary = max(canary, wanted.get(state.canary, 0))  # one that still drains has them already
    return wanted | {state.stable: stable, state.canary: canary}


def carries(available: int, state: State, rollout: Rollout, usual: int) -> int:
    """Percent of the conversations that so many pods of the canary can carry.

    In place of stable pods the last one of which is left until the end, all but one carry all.
    """
    enough = max(1, usual - 1) if is_replacing(state, rollout) else usual
    return 100 if available >= enough else 100 * available // usual


def finds_no_room(state: State, rollout: Rollout, usual: int) -> bool:
    """Whether nobody can make room for a canary that has none."""
    return rollout.capacity.mode == "surge" or usual == 1 or is_replacing(state, rollout)
