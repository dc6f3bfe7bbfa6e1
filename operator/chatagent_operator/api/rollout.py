"""`spec.rollout`: how a new revision is rolled out, and what it is judged by."""

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
    SecretKeyRef,
)

DURATION = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
_UNITS = {"h": 3600, "m": 60, "s": 1}


def _rules(*rules: tuple[str, str]) -> ConfigDict:
    """Rules in CEL for the API server, each with its message. The models check the same."""
    found: JsonValue = [{"rule": rule, "message": message} for rule, message in rules]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": found})


def seconds(duration: str) -> int:
    """Seconds of a duration such as `1h30m` or `45s`."""
    return sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)([hms])", duration))


def _not_empty(duration: str) -> str:
    if not seconds(duration):
        raise ValueError("must be longer than 0s, such as 30s, 10m or 1h30m")
    return duration


Duration = Annotated[
    str,
    Field(min_length=2, max_length=16, pattern=DURATION),
    AfterValidator(_not_empty),
]


class Pause(ConfigModel):
    """A pause of the rollout."""

    duration: Duration | None = None
    """How long, such as `10m`. Absent: until a person continues the rollout."""


class AnalysisStep(ConfigModel):
    """A wait for measurements that succeed."""

    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Measurements that must succeed. Absent: `analysis.count`."""


def _rule_of_one_field(schema: JsonDict, model: type[BaseModel]) -> None:
    """Add the rule that exactly one field of a model is given, whichever fields it has."""
    given = ", ".join(f"has(self.{name})" for name in _aliases(model))
    schema["x-kubernetes-validations"] = [
        {"rule": f"[{given}].filter(x, x).size() == 1", "message": _exactly_one(model)}
    ]


def _exactly_one(model: type[BaseModel]) -> str:
    *first, last = _aliases(model)
    return f"give exactly one of {', '.join(first)} and {last}"


def _aliases(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


class Step(ConfigModel):
    """One step of a rollout, of the type whose field is given."""

    model_config = ConfigDict(json_schema_extra=_rule_of_one_field)

    set_weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Share of the new conversations that the new revision gets from here on, in percent."""

    pause: Pause | None = None
    """Wait, for a duration or for a person."""

    analysis: AnalysisStep | None = None
    """Wait until enough measurements have succeeded. A measurement that fails rolls the revision
    back."""

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
    """A number of the new revision, with its limits: of itself, or beside the stable revision's
    over the same time."""

    model_config = _rules(
        ("has(self.measure) != has(self.query)", "give either measure or query"),
        (
            "has(self.max) || has(self.min) || has(self.maxIncrease) || has(self.maxRatio)",
            "give a limit: max, min, maxIncrease or maxRatio",
        ),
        ("!has(self.min) || has(self.query)", "min is only for query"),
    )

    name: DnsLabel
    """Name of the metric, for the status."""

    measure: Measure | None = None
    """What is measured. Rates are shares of turns, or of calls for tools; times are in seconds."""

    query: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """PromQL instead, asked of `analysis.prometheus`, with one number as its result.
    `{{revision}}`, `{{namespace}}`, `{{agent}}` and `{{window}}` are filled in; for a limit
    beside the stable revision it is asked for both."""

    percentile: Annotated[int, Field(ge=50, le=99)] = 95
    """Which percentile of `latency` and `timeToFirstToken`."""

    max: float | None = None
    """Most that it may be."""

    min: float | None = None
    """Least that it may be. Only for `query`."""

    max_increase: Annotated[float, Field(ge=0)] | None = None
    """Most that it may be above the stable revision's."""

    max_ratio: Annotated[float, Field(ge=1)] | None = None
    """Most times the stable revision's that it may be."""

    ignore_below: float | None = None
    """A value up to this is within maxIncrease and maxRatio, whatever the stable revision's is."""

    min_samples: Annotated[int, Field(ge=1)] | None = None
    """Turns of each revision that it needs. Absent: `analysis.minSamples`. Not for `query`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.measure is None) == (self.query is None):
            raise ValueError("give either measure or query")
        if all(x is None for x in (self.max, self.min, self.max_increase, self.max_ratio)):
            raise ValueError("give a limit: max, min, maxIncrease or maxRatio")
        if self.min is not None and self.query is None:
            raise ValueError("min is only for query")
        return self


class Prometheus(ConfigModel):
    """A Prometheus, or anything that speaks its query API."""

    url: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]
    """Where it answers, without `/api/v1/query`."""

    token_secret_ref: SecretKeyRef | None = None
    """Bearer token for it, from a Secret beside the ChatAgent."""


class QuestionFile(ConfigModel):
    """A file of questions in a ConfigMap."""

    name: ObjectName
    """Name of the ConfigMap."""

    key: Annotated[str, Field(min_length=1, max_length=253)] = "questions.jsonl"
    """Key of the file in it."""


class QuestionVolume(ConfigModel):
    """A file of questions on a volume."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""

    path: Annotated[str, Field(max_length=1024, pattern=r"^[^/].*$")] = "questions.jsonl"
    """Path of the file on it."""


class QualityLimits(ConfigModel):
    """What the new revision's answers must reach, as shares between 0 and 1."""

    retrieval_hits: Annotated[float, Field(ge=0, le=1)] | None = None
    """Questions whose source is among the passages found."""

    groundedness: Annotated[float, Field(ge=0, le=1)] | None = None
    """Answers that cite the right source."""

    facts: Annotated[float, Field(ge=0, le=1)] | None = None
    """Expected facts that the answers hold."""

    refusals: Annotated[float, Field(ge=0, le=1)] | None = None
    """Unanswerable questions that are refused."""


class Evaluation(ConfigModel):
    """A Job that asks both revisions the same questions before the new one gets any traffic."""

    model_config = _rules(
        (
            "has(self.configMap) != has(self.persistentVolumeClaim)",
            "give either configMap or persistentVolumeClaim",
        )
    )

    config_map: QuestionFile | None = None
    """The questions, in a ConfigMap."""

    persistent_volume_claim: QuestionVolume | None = None
    """The questions, on a volume."""

    max_decrease: Annotated[float, Field(ge=0, le=1)] = 0.05
    """How far each share may fall below the stable revision's."""

    min: QualityLimits = QualityLimits()
    """Least that the shares must be, whatever the stable revision's are."""

    timeout: Duration = "30m"
    """How long the Job may take."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.config_map is None) == (self.persistent_volume_claim is None):
            raise ValueError("give either configMap or persistentVolumeClaim")
        return self


DEFAULT_METRICS = (
    Metric(name="errors", measure="errorRate", max_increase=0.01),
    Metric(name="latency-p95", measure="latency", max_ratio=1.5, ignore_below=0.2),
    Metric(name="tool-failures", measure="toolFailureRate", max_increase=0.05),
    Metric(name="no-answer", measure="noAnswerRate", max_increase=0.1),
)


class Analysis(ConfigModel):
    """What a new revision is judged by."""

    model_config = _rules(
        (
            "!has(self.metrics) || has(self.prometheus) || self.metrics.all(m, !has(m.query))",
            "a metric with a query needs prometheus",
        ),
        (
            "!has(self.metrics) || self.metrics.all(m, "
            "self.metrics.exists_one(other, other.name == m.name))",
            "each metric needs a name of its own",
        ),
    )

    interval: Duration = "30s"
    """Time between two measurements."""

    count: Annotated[int, Field(ge=1, le=1000)] = 3
    """Measurements that must succeed at a step `analysis`."""

    background: bool = True
    """Measure whenever the new revision gets conversations, not only at steps `analysis`."""

    failure_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """Measurements that may fail at each weight before the revision is rolled back."""

    inconclusive_limit: Annotated[int, Field(ge=0, le=10000)] = 10
    """Measurements at a step `analysis` that may be inconclusive, for too few turns or a Prometheus
    that does not answer, before the rollout pauses for a person."""

    min_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Turns of each revision that a measurement needs to succeed. With fewer it is inconclusive,
    or fails where the difference is statistically significant."""

    confidence: Annotated[float, Field(ge=0.8, le=0.9999)] = 0.95
    """Confidence that a limit is exceeded, which a measurement needs to fail. Shared among the
    measurements of a weight, so that many of them do not fail by chance more often than one."""

    metrics: Annotated[tuple[Metric, ...], Field(max_length=30)] | None = None
    """The metrics. Absent: errors, latency, failures of tools and turns without an answer, each
    beside the stable revision's."""

    prometheus: Prometheus | None = None
    """Where the numbers come from. Absent: the operator reads the pods' own /metrics."""

    evaluation: Evaluation | None = None
    """The quality of the answers, judged before any traffic. Absent: not judged."""

    def judged_by(self) -> tuple[Metric, ...]:
        """The metrics in force."""
        return DEFAULT_METRICS if self.metrics is None else self.metrics


class Capacity(ConfigModel):
    """Room for a second revision."""

    mode: Literal["auto", "surge", "replace"] = "auto"
    """surge: pods beside the stable ones. replace: pods in place of stable ones, of which one is
    always left. auto: surge where the scheduler has room, replace where it has not."""


class Affinity(ConfigModel):
    """Conversations that began on a revision."""

    on_promote: Literal["move", "drain"] = "move"
    """What becomes of the old revision's when the new one is promoted. move: their next turn goes
    to the new one. drain: they stay, and the old pods with them, for `drain`."""

    drain: Duration = "30m"
    """How long they stay."""


def _default_steps() -> tuple[Step, ...]:
    weights = (5, 25, 50)
    return tuple(
        step
        for weight in weights
        for step in (Step(set_weight=weight), Step(analysis=AnalysisStep()))
    )


class Rollout(ConfigModel):
    """How a new revision goes out."""

    model_config = _rules(
        (
            "!has(self.steps) || self.steps.filter(s, has(s.setWeight)).all(s, "
            "self.steps.exists_one(other, has(other.setWeight) && "
            "other.setWeight == s.setWeight)) && "
            "self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight).isSorted()",
            "the weights of steps must rise",
        ),
        (
            "!has(self.steps) || "
            "self.steps.filter(s, has(s.setWeight) || has(s.analysis)).size() == 0 || "
            "!has(self.steps.filter(s, has(s.setWeight) || has(s.analysis))[0].analysis)",
            "an analysis needs a setWeight before it",
        ),
        (
            "!has(self.steps) || !self.steps.exists(s, has(s.analysis)) || !has(self.analysis) || "
            "!has(self.analysis.metrics) || self.analysis.metrics.size() > 0",
            "a step analysis needs at least one metric",
        ),
    )

    strategy: Literal["canary", "blueGreen", "rolling", "recreate"] = "canary"
    """canary: by `steps`. blueGreen: beside the stable one without traffic, judged by `evaluation`,
    then with all of it at once. rolling: pod by pod, judged by readiness alone. recreate: the old
    pods end before the new ones start, so that nothing answers for a while."""

    steps: Annotated[tuple[Step, ...], Field(max_length=30)] | None = None
    """What happens on the way to 100 %, in this order. After the last step all conversations go to
    the new revision. Absent: 5, 25 and 50 %, with an analysis at each. Only for `canary`."""

    analysis: Analysis = Analysis()
    """What the new revision is judged by."""

    capacity: Capacity = Capacity()
    """Room for a second revision."""

    affinity: Affinity = Affinity()
    """Conversations that began on a revision."""

    paused: bool = False
    """Stay at the present step until this is false again. An abort is carried out all the same."""

    revision_history_limit: Annotated[int, Field(ge=0, le=100)] = 10
    """How many old revisions are remembered."""

    progress_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] = 600
    """How long a new revision may take to become ready, in seconds, before it is rolled back. The
    stable revision serves all the while."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        weights = [s.set_weight for s in self.steps or () if s.set_weight]
        if any(later <= earlier for earlier, later in pairwise(weights)):
            raise ValueError(f"steps: the weights must rise, got {weights}")
        first = next((s for s in self.steps or () if s.set_weight or s.analysis), None)
        if first and first.analysis:
            raise ValueError("steps: an analysis needs a setWeight before it")
        if self.analysis.metrics == () and any(s.analysis for s in self.steps or ()):
            raise ValueError("analysis.metrics: a step analysis needs at least one metric")
        asked = [m.name for m in self.analysis.judged_by() if m.query]
        if asked and self.analysis.prometheus is None:
            raise ValueError(f"analysis.prometheus: query needs it, in metrics {asked}")
        names = [m.name for m in self.analysis.judged_by()]
        if len(names) != len(set(names)):
            raise ValueError(f"analysis.metrics: each needs a name of its own, got {names}")
        return self

    def path(self) -> tuple[Step, ...]:
        """The steps of a canary in force."""
        return _default_steps() if self.steps is None else self.steps
