"""A rollout's state machine: the stable revision, the canary, and the current step.

The state is the ChatAgent's status and nothing else. `advance` takes the previous status and what
is observed now, and returns the status with the rollout's fields changed. Repeating it with the
same observations changes nothing. Whatever rolls a revision back comes before whatever continues
its rollout, and never waits.
"""

from __future__ import annotations

from chatagent_operator.api.rollout import Rollout
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.core import names
from chatagent_operator.core.rollout.apply_command import apply_command
from chatagent_operator.core.rollout.context import RolloutContext, Seen
from chatagent_operator.core.rollout.decision import Decision
from chatagent_operator.core.rollout.draining import expire_draining, expire_previous
from chatagent_operator.core.rollout.follow import (
    follow_desired_revision,
    follow_steps,
    forget_lost_revisions,
    recover_stable_revision,
)
from chatagent_operator.core.rollout.limits import (
    enforce_deadline,
    enforce_evaluation,
    record_measurement,
    record_restarts,
    record_window,
)
from chatagent_operator.core.rollout.progress import apply_weight, run_steps
from chatagent_operator.core.rollout.promotion import promote_first_revision
from chatagent_operator.core.rollout.steps import create_step, list_steps
from chatagent_operator.core.rollout.takeover import follow_stable_pods

PHASES = (
    forget_lost_revisions,
    recover_stable_revision,
    follow_desired_revision,
    follow_steps,
    apply_command,
    promote_first_revision,
    follow_stable_pods,
    record_window,
    record_measurement,
    record_restarts,
    enforce_evaluation,
    enforce_deadline,
)
"""Phases that run before the steps, in this order."""


def advance(previous: ChatAgentStatus, seen: Seen, settings: Rollout, replicas: int) -> Decision:
    """Advance a rollout as far as the observed state allows.

    Args:
        replicas: pods of the stable revision without a rollout.
    """
    steps = list_steps(settings, replicas)
    context = RolloutContext(
        previous,
        seen,
        settings,
        steps=tuple(create_step(step) for step in steps),
        path=names.digest(
            settings.strategy
            if settings.strategy == "rolling"  # whose steps follow from the replicas
            else [step.model_dump(mode="json") for step in steps]
        ),
        replicas=replicas,
    )
    for phase in PHASES:
        context = phase(context)
    context, waiting = run_steps(context)
    context = expire_previous(expire_draining(context))
    context, waiting = apply_weight(
        context,
        waiting,
        applied=previous.rollout.weight,
        approved=previous.rollout.approved_weight,
    )
    return Decision(context.status, waiting, context.events)
