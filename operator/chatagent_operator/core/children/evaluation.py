"""The quality gate: a Job asks both revisions the same questions before the new one has traffic.

The Job only counts; whether that is good enough is decided by `quality`. Whatever is no report that
can be read is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from chatagent_operator.api import rollout
from chatagent_operator.api.status import EvaluationStatus
from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT, Agent, Manifest, Platform, Servers, pod_template
from chatagent_operator.core.judging import report as questions
from chatagent_operator.core.judging.quality import Summary, judge, shares
from chatagent_operator.core.observed.objects import JobFacts, Observed, PodFacts
from chatagent_operator.core.observed.trouble import of_report
from chatagent_operator.core.revision import Revision

CONTAINER = "evaluate"
REPORT_KEY = "report.json"
LOG_KEY = "log.txt"
LOG_CHARACTERS = 100_000

_QUESTIONS_PATH = "/var/lib/chatagent/questions"
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
_RETRIES = 2
_WAIT_SECONDS = 60
_CONCURRENCY = 2
"""Questions at the same time, at each revision: the stable one has users to serve."""
_HOPELESS = (2, 3)
"""Exit codes of `agent-runtime evaluate`: unknown flags, and an empty or broken set."""
_WORST = 5


@dataclass(frozen=True)
class Evaluation:
    """Both revisions, the questions and how they are asked."""

    job: str
    """Name of the Job, and of the ConfigMap with its report."""

    canary: str
    stable: Revision
    """Its image asks: one that was judged already."""

    settings: rollout.Evaluation
    missing: str | None = None
    """What it cannot run without, in a sentence for people. The Job is not made then."""


@dataclass(frozen=True)
class Unread:
    """A report that is nowhere but in the log of a pod, which goes some day."""

    job: str
    """Name of the Job, and of the ConfigMap to be."""

    canary: str | None
    pod: str
    """The one that finished, or of a Job that failed the last one."""


def wanted(
    agent: Agent,
    canary: Revision,
    stable: Revision,
    sources: Mapping[str, str],
    attempt: str = "",
) -> Evaluation | None:
    """The evaluation of a new revision. None: nobody asks for one.

    Args:
        sources: digest of each ConfigMap in the namespace.
        attempt: differs where the same is to be evaluated again, after `retry` for instance.
    """
    settings = agent.spec.rollout.analysis.evaluation
    if settings is None:
        return None
    asked = settings.config_map or settings.persistent_volume_claim
    content = sources.get(settings.config_map.name) if settings.config_map else None
    # Neither min nor maxDecrease: they judge the counts, which stay the same.
    key = [
        canary.name,
        stable.name,
        asked.model_dump(mode="json") if asked else None,
        content,
        settings.timeout,
        attempt,
    ]
    name = names.evaluation(agent.name, names.digest(key))
    return Evaluation(name, canary.name, stable, settings, missing(agent, sources))


def missing(agent: Agent, sources: Mapping[str, str]) -> str | None:
    """What is wrong with the questions' ConfigMap; of one that is there only its Job can tell."""
    settings = agent.spec.rollout.analysis.evaluation
    if settings is None or settings.config_map is None or settings.config_map.name in sources:
        return None
    return (
        f"spec.rollout.analysis.evaluation.configMap: there is no ConfigMap "
        f"{settings.config_map.name!r} in namespace {agent.namespace!r}; create it"
    )


def job(agent: Agent, evaluation: Evaluation, servers: Servers, platform: Platform) -> Manifest:
    """The Job. It has no traffic and no GPU, and speaks to the revisions' own Services."""
    settings = evaluation.settings
    file, volume = _questions(settings)
    template = pod_template(
        agent,
        evaluation.stable,
        servers,
        platform,
        role=names.ROLE_EVALUATION,
        container={
            "name": CONTAINER,
            "args": [
                "evaluate",
                f"--url={_address(agent, evaluation.canary, platform)}",
                f"--baseline={_address(agent, evaluation.stable.name, platform)}",
                f"--questions={_QUESTIONS_PATH}/{file}",
                f"--concurrency={_CONCURRENCY}",
                f"--wait={_WAIT_SECONDS}",
            ],
            "resources": _RESOURCES,
        },
        volumes=({"name": "questions", **volume},),
        mounts=({"name": "questions", "mountPath": _QUESTIONS_PATH, "readOnly": True},),
    )
    template["spec"]["restartPolicy"] = "Never"
    return agent.child(
        "batch/v1",
        "Job",
        evaluation.job,
        names.ROLE_EVALUATION,
        evaluation.canary,
        spec={
            "backoffLimit": _RETRIES,
            "activeDeadlineSeconds": rollout.seconds(settings.timeout),
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": list(_HOPELESS),
                        },
                    },
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                ]
            },
            "template": template,
        },
    )


def result(
    evaluation: Evaluation,
    observed: Observed,
    previous: EvaluationStatus | None = None,
) -> EvaluationStatus:
    """What came of it.

    Args:
        previous: as last written; what was decided holds when the Job's pod is gone.
    """
    pods = dict(_pods(evaluation.job, observed))
    for facts in pods.values():
        if "measures" in facts.report:
            return _judged(evaluation, facts.report)
    if (
        previous
        and previous.report == evaluation.job
        and previous.verdict in ("Succeeded", "Failed")
    ):
        return previous
    said = [trouble for facts in pods.values() if (trouble := of_report(facts.report))]
    child = observed.get("Job", evaluation.job)
    facts = child.facts if child and isinstance(child.facts, JobFacts) else None
    if evaluation.missing:
        return EvaluationStatus(verdict="Running", message=evaluation.missing)
    if facts and facts.failure:
        why = f"{said[-1].reason}: {said[-1].message}" if said else facts.failure
        return EvaluationStatus(
            verdict="Failed",
            message=f"the evaluation failed ({_origin(evaluation)}): {why}",
            report=evaluation.job if _finished_pod(evaluation.job, observed) else None,
        )
    return EvaluationStatus(verdict="Running", message=_progress(evaluation, facts, pods))


def unread(status: EvaluationStatus, observed: Observed) -> Unread | None:
    """The report that a status names, while it is in a log only."""
    job = status.report or ""
    child, pod = observed.get("Job", job), _finished_pod(job, observed)
    if child is None or pod is None or observed.get("ConfigMap", job):
        return None
    return Unread(job, child.revision, pod)


def report_config_map(agent: Agent, report: Unread, log: str) -> Manifest:
    """The report from the log of the Job's pod; of a pod that failed, the log itself."""
    text = questions.report(log)
    data = {REPORT_KEY: text} if text else {LOG_KEY: log[-LOG_CHARACTERS:]}
    return agent.child(
        "v1", "ConfigMap", report.job, names.ROLE_EVALUATION, report.canary, data=data
    )


def _finished_pod(job: str, observed: Observed) -> str | None:
    ended = [(name, facts) for name, facts in _pods(job, observed) if facts.report]
    whole = [name for name, facts in ended if "measures" in facts.report]
    return next(iter([*whole, *(name for name, _ in reversed(ended))]), None)


def _judged(evaluation: Evaluation, message: Mapping[str, object]) -> EvaluationStatus:
    try:
        summary = Summary.model_validate(message)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"]))
        said = f"the evaluation's report is not understood: {field}: {wrong['msg']}"
        return EvaluationStatus(verdict="Failed", message=said, report=evaluation.job)
    verdict, said = judge(summary.measures, evaluation.settings)
    new, stable = shares(summary.measures)
    said = f"{summary.questions} questions: {said}"
    if summary.failed.new:
        why = f" ({summary.error})" if summary.error else ""
        said += f"; no reply to {summary.failed.new} from the new revision{why}"
    if summary.failed.baseline:
        said += f"; no reply to {summary.failed.baseline} from the stable revision, not compared"
    if verdict == "Failed" and summary.worse:
        said += f"; such as {', '.join(each.id for each in summary.worse[:_WORST])}"
    return EvaluationStatus(
        verdict=verdict,
        message=said,
        report=evaluation.job,
        canary=new,
        stable=stable,
    )


def _questions(settings: rollout.Evaluation) -> tuple[str, Manifest]:
    """Path of the file on its volume, and the volume."""
    if settings.config_map:
        # All keys, and not the one: the kubelet says nothing of a key that is not there.
        return settings.config_map.key, {"configMap": {"name": settings.config_map.name}}
    if settings.persistent_volume_claim:
        claim = settings.persistent_volume_claim
        return claim.path, {
            "persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True}
        }
    raise ValueError("an evaluation has questions in a ConfigMap or on a volume")


def _progress(evaluation: Evaluation, facts: JobFacts | None, pods: Mapping[str, PodFacts]) -> str:
    troubles = [
        trouble
        for each in pods.values()
        if (trouble := each.trouble or of_report(each.report)) is not None
    ]
    if facts and facts.complete and not pods:
        return (
            f"Job {evaluation.job} is complete, but its pod went before its report was read; "
            "delete the Job to run it again"
        )
    if troubles:
        return (
            f"Job {evaluation.job} does not get on: {troubles[-1].reason}: {troubles[-1].message}"
        )
    return f"both revisions are asked the questions of {_origin(evaluation)}"


def _origin(evaluation: Evaluation) -> str:
    file, claim = evaluation.settings.config_map, evaluation.settings.persistent_volume_claim
    if file:
        return f"ConfigMap {file.name!r}, key {file.key!r}"
    return f"PersistentVolumeClaim {claim.claim_name!r}, path {claim.path!r}" if claim else ""


def _address(agent: Agent, revision: str, platform: Platform) -> str:
    service = names.of_revision(agent.name, revision)
    return f"http://{service}.{agent.namespace}.svc.{platform.cluster_domain}:{PORT}"


def _pods(job: str, observed: Observed) -> Iterator[tuple[str, PodFacts]]:
    """Pods of the Job, which are named after it."""
    for child, facts in observed.pods(names.ROLE_EVALUATION):
        if child.name.startswith(f"{job}-"):
            yield child.name, facts
