"""The evaluation of a canary: its Job, and the result that the Job reports.

The Job only counts; `judging.quality` judges the counts. An invalid report is never a success.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from chatagent_operator.api import rollout
from chatagent_operator.api.status import EvaluationStatus
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.judging.quality import Summary, compute_shares, judge
from chatagent_operator.core.observed.facts import JobFacts, PodFacts
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.observed.trouble import Trouble, parse_trouble
from chatagent_operator.core.revision import Revision
from chatagent_operator.core.untrusted import clean_message
from chatagent_operator.core.view.troubles import describe_suspended

EVALUATION_DIGITS = 10
_WORST = 5


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: both revisions, and its settings."""

    job: str
    """Name of the Job, and of the ConfigMap with its report."""

    canary: str
    stable: Revision
    """The Job runs its image, which is not the one to be judged."""

    settings: rollout.Evaluation
    missing: str | None = None
    """Which object it cannot run without, as a human-readable message. The Job is not created
    then."""


@dataclass(frozen=True)
class UnstoredReport:
    """A report that exists only in the log of a pod, and is lost with it."""

    job: str
    """Name of the Job, and of the ConfigMap to be created."""

    canary: str | None
    pod: str
    """The pod that succeeded, or the last one of a failed Job."""


def find_evaluation(
    agent: Agent,
    canary: Revision,
    stable: Revision,
    sources: Mapping[str, str],
    attempt: str = "",
) -> Evaluation | None:
    """Return the evaluation of a new revision; None if the spec has none.

    Args:
        sources: digest of each ConfigMap that the agent reads.
        attempt: a new value repeats the evaluation, after `retry` for example.
    """
    settings = agent.spec.rollout.analysis.evaluation
    if settings is None:
        return None
    questions = settings.config_map or settings.persistent_volume_claim
    content = sources.get(settings.config_map.name) if settings.config_map else None
    # Neither min nor maxDecrease: they judge the counts, which stay the same.
    key = [
        canary.name,
        stable.name,
        questions.model_dump(mode="json") if questions else None,
        content,
        settings.timeout,
        attempt,
    ]
    name = names.evaluation(agent.name, names.digest(key, EVALUATION_DIGITS))
    missing = find_missing_questions(agent, sources)
    return Evaluation(name, canary.name, stable, settings, missing)


def find_missing_questions(agent: Agent, sources: Mapping[str, str]) -> str | None:
    """Return why the ConfigMap with the questions is missing. The Job checks its content."""
    settings = agent.spec.rollout.analysis.evaluation
    if settings is None or settings.config_map is None or settings.config_map.name in sources:
        return None
    return (
        f"spec.rollout.analysis.evaluation.configMap: ConfigMap {settings.config_map.name!r} "
        f"does not exist in namespace {agent.namespace!r}; create it"
    )


def read_result(
    evaluation: Evaluation,
    observed: Observed,
    previous: EvaluationStatus | None = None,
) -> EvaluationStatus:
    """Return the result of the evaluation so far.

    Args:
        previous: as last written; its verdict is kept when the Job's pod has been deleted.
    """
    pods = dict(_pods(evaluation.job, observed))
    for facts in pods.values():
        if "measures" in facts.report:
            return _judge_report(evaluation, facts.report)
    if (
        previous
        and previous.report == evaluation.job
        and previous.verdict in ("Succeeded", "Failed")
    ):
        return previous
    reports = [trouble for facts in pods.values() if (trouble := parse_trouble(facts.report))]
    child = observed.get("Job", evaluation.job)
    facts = child.facts if child and isinstance(child.facts, JobFacts) else None
    if evaluation.missing:
        return EvaluationStatus(verdict="Running", message=evaluation.missing)
    if facts and facts.failure:
        why = f"{reports[-1].reason}: {reports[-1].message}" if reports else facts.failure
        return EvaluationStatus(
            verdict="Failed",
            message=f"the evaluation failed ({_origin(evaluation)}): {why}",
            report=evaluation.job if _find_finished_pod(evaluation.job, observed) else None,
        )
    refused = observed.refused.get(("Job", evaluation.job))
    troubles = [refused] if refused else []
    for each in pods.values():
        troubles += [trouble] if (trouble := each.trouble or parse_trouble(each.report)) else []
    message = _describe_progress(evaluation, observed, troubles)
    return EvaluationStatus(verdict="Running", message=message)


def find_unstored_report(status: EvaluationStatus, observed: Observed) -> UnstoredReport | None:
    """Return the report that a status names, while it is not stored in a ConfigMap."""
    job = status.report or ""
    child, pod = observed.get("Job", job), _find_finished_pod(job, observed)
    if child is None or pod is None or observed.get("ConfigMap", job):
        return None
    return UnstoredReport(job, child.revision, pod)


def _find_finished_pod(job: str, observed: Observed) -> str | None:
    ended = [(name, facts) for name, facts in _pods(job, observed) if facts.report]
    complete = [name for name, facts in ended if "measures" in facts.report]
    return next(iter([*complete, *(name for name, _ in reversed(ended))]), None)


def _judge_report(evaluation: Evaluation, report: Mapping[str, object]) -> EvaluationStatus:
    try:
        summary = Summary.model_validate(report)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"]))
        message = f"the report of the evaluation is invalid: {field}: {wrong['msg']}"
        return EvaluationStatus(verdict="Failed", message=message, report=evaluation.job)
    verdict, reason = judge(summary.measures, evaluation.settings)
    new, stable = compute_shares(summary.measures)
    message = f"{summary.questions} questions: {reason}"
    if summary.failed.new:
        why = f" ({summary.error})" if summary.error else ""
        message += f"; the new revision did not reply to {summary.failed.new}{why}"
    if summary.failed.baseline:
        message += (
            f"; the stable revision did not reply to {summary.failed.baseline}, which are not "
            "compared"
        )
    if verdict == "Failed" and summary.worse:
        message += f"; such as {', '.join(each.id for each in summary.worse[:_WORST])}"
    return EvaluationStatus(
        verdict=verdict,
        message=clean_message(message),  # with texts of the Job
        report=evaluation.job,
        canary=new,
        stable=stable,
    )


def is_report_lost(job: str, observed: Observed) -> bool:
    """Return whether the Job is complete, and its pod is gone with the report."""
    child = observed.get("Job", job)
    is_complete = child is not None and isinstance(child.facts, JobFacts) and child.facts.complete
    return is_complete and not any(_pods(job, observed))


def _describe_progress(
    evaluation: Evaluation, observed: Observed, troubles: Sequence[Trouble]
) -> str:
    if is_report_lost(evaluation.job, observed):
        return (
            f"the pod of Job {evaluation.job} was deleted before its report was read; "
            "the Job is run again"
        )
    child = observed.get("Job", evaluation.job)
    if child and isinstance(child.facts, JobFacts) and child.facts.is_suspended:
        return describe_suspended(evaluation.job)
    if troubles:
        last = troubles[-1]
        return f"Job {evaluation.job} makes no progress: {last.reason}: {last.message}"
    return f"both revisions are being asked the questions of {_origin(evaluation)}"


def _origin(evaluation: Evaluation) -> str:
    file, claim = evaluation.settings.config_map, evaluation.settings.persistent_volume_claim
    if file:
        return f"ConfigMap {file.name!r}, key {file.key!r}"
    return f"PersistentVolumeClaim {claim.claim_name!r}, path {claim.path!r}" if claim else ""


def _pods(job: str, observed: Observed) -> Iterator[tuple[str, PodFacts]]:
    """Pods of the Job, which are named after it."""
    for child, facts in observed.pods(names.ROLE_EVALUATION):
        if child.name.startswith(f"{job}-"):
            yield child.name, facts
