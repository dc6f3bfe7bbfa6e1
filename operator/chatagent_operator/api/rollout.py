"""`spec.rollout`: how a new revision is rolled out and analyzed."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.config import JsonDict

from agent_runtime.config import ConfigModel
from chatagent_operator.api.pods import (
    DnsLabel,
    ObjectName,
    PodPlacement,
    ResourceRequirements,
    SecretKeyRef,
)

DURATION = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
_UNITS = {"h": 3600, "m": 60, "s": 1}
LONGEST_DEADLINE_SECONDS = 86400


def _rules(*rules: tuple[str, str]) -> ConfigDict:
    """Return CEL rules for the API server, each with its message. The models check the same."""
    found: JsonValue = [{"rule": rule, "message": message} for rule, message in rules]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": found})


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as `1h30m` or `45s`."""
    return sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)([hms])", duration))


def _not_empty(duration: str) -> str:
    if not seconds(duration):
        raise ValueError("must be longer than 0s, for example 30s, 10m or 1h30m")
    return duration


Duration = Annotated[
    str,
    Field(min_length=2, max_length=16, pattern=DURATION),
    AfterValidator(_not_empty),
]


class Pause(ConfigModel):
    """A pause of the rollout."""

    duration: Duration | None = None
    """Duration of the pause, such as `10m`. Default: until `kubectl chatagent promote`."""


class AnalysisStep(ConfigModel):
    """An analysis of the new revision at the current weight."""

    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of measurements that must succeed. Default: `analysis.count`."""


def _rule_of_one_field(schema: JsonDict, model: type[BaseModel]) -> None:
    """Add the rule that exactly one field of a model is given, whichever fields it has."""
    given = ", ".join(f"has(self.{name})" for name in _aliases(model))
    schema["x-kubernetes-validations"] = [
        {"rule": f"[{given}].filter(x, x).size() == 1", "message": _exactly_one(model)}
    ]


def _exactly_one(model: type[BaseModel]) -> str:
    *first, last = _aliases(model)
    return f"a step must have exactly one of {', '.join(first)} and {last}"


def _aliases(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


class Step(ConfigModel):
    """A step of the rollout, of the type whose field is given."""

    model_config = ConfigDict(json_schema_extra=_rule_of_one_field)

    set_weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Weight of the new revision from this step on: its share of new conversations, in percent."""

    pause: Pause | None = None
    """Pause the rollout, for a duration or until it is promoted."""

    analysis: AnalysisStep | None = None
    """Wait until `count` measurements have succeeded. The new revision is rolled back when more
    measurements fail than `analysis.failureLimit` allows."""

    @property
    def type(self) -> str:
        """Name of the field that is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        model = type(self)
        if sum(getattr(self, name) is not None for name in model.model_fields) != 1:
            raise ValueError(_exactly_one(model))
        return self


Measure = Literal[
    "errorRate",
    "latency",
    "timeToFirstToken",
    "toolFailureRate",
    "noAnswerRate",
    "negativeFeedbackRate",
    "tokensPerTurn",
    "gpuSecondsPerTurn",
]


class Metric(ConfigModel):
    """A value that is measured of the new revision, with its limits: absolute ones, or relative to
    the stable revision over the same time."""

    model_config = _rules(
        (
            "has(self.measure) != has(self.query)",
            "a metric must have exactly one of measure and query",
        ),
        (
            "has(self.max) || has(self.min) || has(self.maxIncrease) || has(self.maxRatio)",
            "a metric must have a limit: max, min, maxIncrease or maxRatio",
        ),
        ("!has(self.min) || has(self.query)", "min requires query"),
    )

    name: DnsLabel
    """Name of the metric, as the status shows it."""

    measure: Measure | None = None
    """Built-in measure. Rates are shares of turns, `toolFailureRate` of tool calls; times are in
    seconds."""

    query: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """PromQL query to `analysis.prometheus` that returns one number. The placeholders
    `{{revision}}`, `{{namespace}}`, `{{agent}}` and `{{window}}` are replaced. For `maxIncrease`
    and `maxRatio` the query is run for both revisions."""

    percentile: Annotated[int, Field(ge=50, le=99)] = 95
    """Percentile of `latency` and `timeToFirstToken` that is compared."""

    max: float | None = None
    """Maximum of the value."""

    min: float | None = None
    """Minimum of the value. Requires `query`."""

    max_increase: Annotated[float, Field(ge=0)] | None = None
    """Maximum by which the value may exceed that of the stable revision."""

    max_ratio: Annotated[float, Field(ge=1)] | None = None
    """Maximum ratio of the value to that of the stable revision."""

    ignore_below: float | None = None
    """A value up to this one never exceeds maxIncrease and maxRatio, whatever the value of the
    stable revision is."""

    min_samples: Annotated[int, Field(ge=1)] | None = None
    """Minimum of turns of each revision for a measurement to succeed. Default:
    `analysis.minSamples`. Ignored for `query`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.measure is None) == (self.query is None):
            raise ValueError("a metric must have exactly one of measure and query")
        if all(x is None for x in (self.max, self.min, self.max_increase, self.max_ratio)):
            raise ValueError("a metric must have a limit: max, min, maxIncrease or maxRatio")
        if self.min is not None and self.query is None:
            raise ValueError("min requires query")
        return self


class Prometheus(ConfigModel):
    """A Prometheus server, or another server with its query API."""

    url: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]
    """URL of the server, without `/api/v1/query`."""

    token_secret_ref: SecretKeyRef | None = None
    """Secret key with the bearer token for the server, in the namespace of the ChatAgent."""


class QuestionFile(ConfigModel):
    """Reference to a file of questions in a ConfigMap."""

    name: ObjectName
    """Name of the ConfigMap."""

    key: Annotated[str, Field(min_length=1, max_length=253)] = "questions.jsonl"
    """Key of the file in the ConfigMap."""


class QuestionVolume(ConfigModel):
    """Reference to a file of questions on a volume."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""

    path: Annotated[str, Field(max_length=1024, pattern=r"^[^/].*$")] = "questions.jsonl"
    """Path of the file on the volume."""


class QualityLimits(ConfigModel):
    """Minimum quality of the answers of the new revision, as shares between 0 and 1."""

    retrieval_hits: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of questions whose source is among the retrieved passages."""

    groundedness: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of answers that cite the right source."""

    facts: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of expected facts that the answers contain."""

    refusals: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of unanswerable questions that are refused."""


class Evaluation(ConfigModel):
    """An evaluation of the answers: a Job asks both revisions the same questions before the new one
    gets any traffic."""

    model_config = _rules(
        (
            "has(self.configMap) != has(self.persistentVolumeClaim)",
            "an evaluation must have exactly one of configMap and persistentVolumeClaim",
        )
    )

    config_map: QuestionFile | None = None
    """ConfigMap with the questions."""

    persistent_volume_claim: QuestionVolume | None = None
    """Volume with the questions."""

    max_decrease: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Maximum by which each share may be below that of the stable revision."""

    min: QualityLimits = QualityLimits()
    """Minimum of each share, whatever the shares of the stable revision are."""

    timeout: Duration = "30m"
    """Time limit of the Job. The evaluation fails when it is exceeded."""

    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of the Job. Default: requests of 100m CPU and 128Mi, a limit of 512Mi."""

    pod: PodPlacement = PodPlacement()
    """Settings of its pod. Default of each: that of `spec.pod`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.config_map is None) == (self.persistent_volume_claim is None):
            raise ValueError(
                "an evaluation must have exactly one of configMap and persistentVolumeClaim"
            )
        return self


DEFAULT_METRICS = (
    Metric(name="errors", measure="errorRate", max_increase=0.01),
    Metric(name="latency-p95", measure="latency", max_ratio=1.5, ignore_below=0.2),
    Metric(name="tool-failures", measure="toolFailureRate", max_increase=0.05),
    Metric(name="no-answer", measure="noAnswerRate", max_increase=0.1),
)


class Analysis(ConfigModel):
    """Analysis of a new revision: its metrics and the evaluation of its answers."""

    model_config = _rules(
        (
            "!has(self.metrics) || has(self.prometheus) || self.metrics.all(m, !has(m.query))",
            "a metric with a query requires prometheus",
        ),
        (
            "!has(self.metrics) || self.metrics.all(m, "
            "self.metrics.exists_one(other, other.name == m.name))",
            "the names of metrics must be unique",
        ),
    )

    interval: Duration = "30s"
    """Interval between two measurements."""

    count: Annotated[int, Field(ge=1, le=1000)] = 3
    """Number of measurements that must succeed at an `analysis` step."""

    background: bool = True
    """Whether to measure as long as the new revision gets conversations, not only at `analysis`
    steps."""

    failure_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of measurements that may fail at each weight. When it is exceeded, the new revision is
    rolled back."""

    restart_limit: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of times that pods of the new revision may restart or lose readiness from its first
    weight on, whatever the number of turns. Where no step sets a weight, as with `blueGreen`, they
    count once its pods are ready. When it is exceeded, the new revision is rolled back.
    Pods that are deleted or evicted do not count."""

    inconclusive_limit: Annotated[int, Field(ge=0, le=10000)] = 10
    """Number of measurements that may be inconclusive at an `analysis` step, because of too few
    turns or because Prometheus does not answer. When it is exceeded, the rollout is paused until a
    command promotes or aborts it."""

    min_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Minimum of turns of each revision for a measurement to succeed. With fewer turns a
    measurement fails if the difference is statistically significant, and otherwise is
    inconclusive."""

    confidence: Annotated[float, Field(ge=0.8, le=0.9999)] = 0.95
    """Confidence level at which a limit must be exceeded for a measurement to fail. The error that
    it allows is divided among all measurements at a weight, so that repeated measurements do not
    raise the probability of a false rollback."""

    metrics: Annotated[tuple[Metric, ...], Field(max_length=30)] | None = None
    """Metrics. Default: errors, latency, tool failures and turns without an answer, each relative
    to the stable revision."""

    prometheus: Prometheus | None = None
    """Prometheus to read metrics from. Default: the operator reads `/metrics` of the pods."""

    evaluation: Evaluation | None = None
    """Evaluation of the answers before the new revision gets any traffic. Default: none."""

    def effective_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics in effect: those of the spec, or the defaults."""
        return DEFAULT_METRICS if self.metrics is None else self.metrics


class Capacity(ConfigModel):
    """Capacity for the pods of a new revision."""

    mode: Literal["auto", "surge", "replace"] = "auto"
    """surge: add pods of the new revision to those of the stable one. replace: replace pods of the
    stable revision one by one; one of them always remains. auto: surge, and replace while pods
    are unschedulable."""


class Affinity(ConfigModel):
    """What happens to conversations in progress when a revision is promoted."""

    on_promote: Literal["move", "drain"] = "move"
    """move: the next turn of each conversation goes to the promoted revision. drain: conversations
    stay on the previous revision, whose pods are kept for the duration `drain`."""

    drain: Duration = "30m"
    """How long the previous revision is drained before its pods are deleted."""


def _default_steps() -> tuple[Step, ...]:
    weights = (5, 25, 50)
    return tuple(
        step
        for weight in weights
        for step in (Step(set_weight=weight), Step(analysis=AnalysisStep()))
    )


class Rollout(ConfigModel):
    """How a new revision is rolled out."""

    model_config = _rules(
        (
            "!has(self.steps) || self.steps.filter(s, has(s.setWeight)).all(s, "
            "self.steps.exists_one(other, has(other.setWeight) && "
            "other.setWeight == s.setWeight)) && "
            "self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight).isSorted()",
            "the weights of steps must increase from step to step",
        ),
        (
            "!has(self.steps) || "
            "self.steps.filter(s, has(s.setWeight) || has(s.analysis)).size() == 0 || "
            "!has(self.steps.filter(s, has(s.setWeight) || has(s.analysis))[0].analysis)",
            "an analysis step requires a setWeight step before it",
        ),
        (
            "!has(self.steps) || !self.steps.exists(s, has(s.analysis)) || !has(self.analysis) || "
            "!has(self.analysis.metrics) || self.analysis.metrics.size() > 0",
            "an analysis step requires at least one metric",
        ),
    )

    strategy: Literal["canary", "blueGreen", "rolling", "recreate"] = "canary"
    """canary: follow `steps`. blueGreen: start the new revision without traffic, run `evaluation`,
    then switch all traffic to it. rolling: replace pod by pod; only readiness is checked.
    recreate: delete the pods of the previous revision before those of the new one start; the agent
    is unavailable meanwhile."""

    steps: Annotated[tuple[Step, ...], Field(max_length=30)] | None = None
    """Steps of the rollout, in order. After the last one the new revision is promoted and gets all
    conversations. Default: 5, 25 and 50 %, with an analysis at each. Ignored by strategies other
    than `canary`."""

    analysis: Analysis = Analysis()
    """Analysis of the new revision."""

    capacity: Capacity = Capacity()
    """Capacity for the pods of a new revision."""

    affinity: Affinity = Affinity()
    """What happens to conversations in progress when a revision is promoted."""

    keep_previous: Annotated[str, Field(min_length=2, max_length=16, pattern=DURATION)] = "10m"
    """How long the pods of the previous revision are kept after a promotion, so that a rollback to
    it needs not wait for pods. They get no conversations, but occupy their GPUs; they are deleted
    sooner if pods of the agent lack room, or if another revision is rolled out. `0s`: not kept."""

    paused: bool = False
    """Pause the rollout at the current step until this is false. An abort still takes effect."""

    revision_history_limit: Annotated[int, Field(ge=0, le=100)] = 10
    """Number of old revisions to keep."""

    progress_deadline_seconds: Annotated[int, Field(ge=10, le=LONGEST_DEADLINE_SECONDS)] = 600
    """Time limit for a new revision to become ready, in seconds: longer than its model takes to
    load. When it is exceeded, the revision is rolled back. The stable revision serves meanwhile."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        weights = [s.set_weight for s in self.steps or () if s.set_weight]
        if any(later <= earlier for earlier, later in pairwise(weights)):
            raise ValueError(f"steps: the weights must increase from step to step, got {weights}")
        first = next((s for s in self.steps or () if s.set_weight or s.analysis), None)
        if first and first.analysis:
            raise ValueError("steps: an analysis step requires a setWeight step before it")
        if self.analysis.metrics == () and any(s.analysis for s in self.steps or ()):
            raise ValueError("analysis.metrics: an analysis step requires at least one metric")
        queries = [m.name for m in self.analysis.effective_metrics() if m.query]
        if queries and self.analysis.prometheus is None:
            raise ValueError(f"analysis.prometheus: required by the queries of metrics {queries}")
        names = [m.name for m in self.analysis.effective_metrics()]
        if len(names) != len(set(names)):
            raise ValueError(f"analysis.metrics: the names must be unique, got {names}")
        return self

    def effective_steps(self) -> tuple[Step, ...]:
        """Return the steps of a canary in effect: those of the spec, or the defaults."""
        return _default_steps() if self.steps is None else self.steps
