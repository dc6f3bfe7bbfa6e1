"""PodDisruptionBudgets: how many pods may be evicted at a time."""

from __future__ import annotations

from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Manifest


def build_disruption_budget(
    agent: Agent, name: str, role: str, revision: str | None = None
) -> Manifest:
    """Return the PodDisruptionBudget of the pods of a role and a revision: one at a time.

    A minimum would block the drain of a node where there is only one pod.
    """
    return agent.child(
        "policy/v1",
        "PodDisruptionBudget",
        name,
        role,
        revision,
        spec={
            "maxUnavailable": 1,
            # A pod that is not ready serves no client, and must not block the drain of a node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": names.selector(agent.name, role, revision)},
        },
    )
