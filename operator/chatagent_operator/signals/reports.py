"""The report of an evaluation: it is in the log of the Job's pod, and the pod goes some day."""

from __future__ import annotations

from typing import Protocol

from chatagent_operator.core.agent import Agent, Manifest
from chatagent_operator.core.evaluation import (
    Evaluation,
    finished_pod,
    report_config_map,
    result,
)
from chatagent_operator.core.observed import Observed


class Logs(Protocol):
    """Whoever reads a pod's log."""

    async def log(self, namespace: str, pod: str) -> str:
        """Return it as it is so far."""
        ...


async def collect(
    logs: Logs, agent: Agent, evaluation: Evaluation, observed: Observed
) -> Manifest | None:
    """The ConfigMap with the report. None: nothing is finished, or the ConfigMap is there.

    Errors of the API server are the caller's: the verdict does not need the report.
    """
    if observed.get("ConfigMap", evaluation.job) is not None:
        return None
    # Of a Job that tries again, the pod that failed has a log, but not the last word.
    pod = finished_pod(evaluation, observed)
    if pod is None or result(evaluation, observed).verdict == "Running":
        return None
    return report_config_map(agent, evaluation, await logs.log(agent.namespace, pod))
