"""The Job that asks both revisions the same questions before the new one gets traffic, and its
report."""

from __future__ import annotations

from collections.abc import Iterator

from chatagent_operator.api import rollout
from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT, Agent, Manifest, Platform
from chatagent_operator.core.children.component import Component, Removal
from chatagent_operator.core.children.pod import RuntimePod
from chatagent_operator.core.children.resources import fill_resources
from chatagent_operator.core.desired import DesiredState
from chatagent_operator.core.judging.report import build_report_text
from chatagent_operator.core.observed.objects import Child
from chatagent_operator.core.view.evaluations import Evaluation, UnstoredReport, is_report_lost
from chatagent_operator.core.writes import DesiredObject

CONTAINER = "evaluate"
REPORT_KEY = "report.json"
LOG_KEY = "log.txt"
LOG_CHARACTERS = 100_000

_QUESTIONS_PATH = "/var/lib/chatagent/questions"
_REQUESTS, _LIMITS = {"cpu": "100m", "memory": "128Mi"}, {"memory": "512Mi"}
_RETRIES = 2
_WAIT_SECONDS = 60
_CONCURRENCY = 2
"""Number of concurrent questions to each revision: the stable one serves users."""
_PERMANENT = (2, 3)
"""Exit codes of `agent-runtime evaluate`: unknown flags, and an empty or invalid set."""


class Evaluations(Component):
    """The Job of a rollout's evaluation, and the ConfigMap with the last report."""

    role = names.ROLE_EVALUATION
    order = 30
    reports_trouble = True

    def build_objects(self, state: DesiredState) -> Iterator[DesiredObject]:
        """Return the Job while it is needed."""
        if evaluation := state.evaluation:
            pod = RuntimePod.for_revision(evaluation.stable, state.view)
            yield DesiredObject(
                "Job",
                evaluation.job,
                _compute_digest(evaluation),
                lambda: build_job(evaluation, pod),
                is_replaceable=True,
                is_due_again=state.quality.verdict == "Running"
                and is_report_lost(evaluation.job, state.observed),
            )

    def judge_removal(self, child: Child, state: DesiredState) -> Removal:
        """Keep the last report, which explains a rollback, and its Job until that is stored."""
        if child.revision == state.status.canary_revision:
            return Removal.KEEP
        if child.kind == "ConfigMap" and child.revision in state.decision.live:
            return Removal.KEEP
        if unstored := state.unstored_report:
            is_report = (child.kind, child.name) == ("Job", unstored.job)
        else:
            is_report = (child.kind, child.name) == ("ConfigMap", state.quality.report)
        return Removal.KEEP if is_report else Removal.NOW


COMPONENT = Evaluations()


def _compute_digest(evaluation: Evaluation) -> str:
    """Return the digest of what the Job is built from: its name is that of all else."""
    pods = {"resources", "pod"}
    given = evaluation.settings.model_dump(mode="json", include=pods, exclude_defaults=True)
    return names.digest([evaluation.job, given]) if given else evaluation.job


def build_job(evaluation: Evaluation, pod: RuntimePod) -> Manifest:
    """Return the Job. It has no GPU, and sends its questions to the revisions' own Services."""
    agent, platform = pod.agent, pod.platform
    settings = evaluation.settings
    file, volume = _find_questions(settings)
    template = pod.build_template(
        names.ROLE_EVALUATION,
        container={
            "name": CONTAINER,
            "args": [
                "evaluate",
                f"--url={_build_address(agent, evaluation.canary, platform)}",
                f"--baseline={_build_address(agent, evaluation.stable.name, platform)}",
                f"--questions={_QUESTIONS_PATH}/{file}",
                f"--concurrency={_CONCURRENCY}",
                f"--wait={_WAIT_SECONDS}",
            ],
            "resources": fill_resources(settings.resources, requests=_REQUESTS, limits=_LIMITS),
        },
        volumes=({"name": "questions", **volume},),
        mounts=({"name": "questions", "mountPath": _QUESTIONS_PATH, "readOnly": True},),
        placement=settings.pod,
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
                            "values": list(_PERMANENT),
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


def build_report(agent: Agent, report: UnstoredReport, log: str) -> Manifest:
    """Return the ConfigMap with the report of an evaluation."""
    text = build_report_text(log)
    data = {REPORT_KEY: text} if text else {LOG_KEY: log[-LOG_CHARACTERS:]}
    return agent.child(
        "v1", "ConfigMap", report.job, names.ROLE_EVALUATION, report.canary, data=data
    )


def _find_questions(settings: rollout.Evaluation) -> tuple[str, Manifest]:
    """Return the path of the file on its volume, and the volume."""
    if settings.config_map:
        # All keys, not just the one: the kubelet does not report a key that does not exist.
        return settings.config_map.key, {"configMap": {"name": settings.config_map.name}}
    if settings.persistent_volume_claim:
        claim = settings.persistent_volume_claim
        return claim.path, {
            "persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True}
        }
    raise ValueError("an evaluation must have a ConfigMap or a volume with questions")


def _build_address(agent: Agent, revision: str, platform: Platform) -> str:
    service = names.revision(agent.name, revision)
    return f"http://{service}.{agent.namespace}.svc.{platform.cluster_domain}:{PORT}"
