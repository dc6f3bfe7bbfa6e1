"""Judges a new revision by its metrics, compared with the stable revision over the same time. Pure.

A limit counts as exceeded only where that is statistically significant. With a limit of its own a
share is compared by the binomial distribution, exactly, and so is a percentile, as the share of
turns above a bound. Two shares are compared by Wilson's score intervals, and their difference by
Newcombe's hybrid of both (Newcombe, "Interval estimation for the difference between independent
proportions", Statistics in Medicine 17, 1998). The k-th measurement at one weight spends 1/(k(k+1))
of the error that is allowed, so that all of them together spend no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist

from chatagent_operator.api.rollout import Analysis, Metric
from chatagent_operator.api.status import MetricStatus, Verdict

FEW = 3
"""Minimum number of bad turns for a share to fail: one error in one turn is no evidence."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations of turns: pairs of a bound in seconds and the count of turns up to it, the last
    bound infinite."""

    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> float:
        """The count of all turns."""
        return self.buckets[-1][1] if self.buckets else 0.0

    @property
    def end(self) -> float:
        """The greatest finite bound. How long turns above it took is not known."""
        return self.buckets[-2][0] if len(self.buckets) > 1 else 0.0

    def above(self, bound: float) -> float:
        """Count the turns above a bound, or above the end where the bound is beyond it. Between
        two bounds turns are spread evenly, as in Prometheus."""
        for (low, before), (high, upto) in pairwise(((0.0, 0.0), *self.buckets)):
            if bound <= high:
                inside = (bound - low) / (high - low) if math.isfinite(high) else 0.0
                return self.count - (before + inside * (upto - before))
        return 0.0

    def percentile(self, percent: float) -> float | None:
        """Return a percentile in seconds; at most the greatest finite bound."""
        rank = self.count * percent / 100
        for (low, before), (high, upto) in pairwise(((0.0, 0.0), *self.buckets)):
            if upto >= rank and upto > before:
                inside = (rank - before) / (upto - before)
                return low + inside * (high - low) if math.isfinite(high) else low
        return None

    def ends_below(self, percent: float) -> bool:
        """Whether a percentile is beyond the end."""
        return self.count - self.above(self.end) < self.count * percent / 100


@dataclass(frozen=True, slots=True)
class Tally:
    """The counters of a revision's pods since the weight was applied."""

    turns: float = 0.0
    errors: float = 0.0
    """Turns that failed, except for errors of the client."""
    no_answers: float = 0.0
    tool_calls: float = 0.0
    tool_failures: float = 0.0
    feedback: float = 0.0
    """Ratings by users."""
    negative_feedback: float = 0.0
    tokens: float = 0.0
    gpu_seconds: float = 0.0
    latency: Histogram = Histogram()
    """Of turns whose answer was generated and not cached."""
    first_token: Histogram = Histogram()


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters of both revisions, read at one time."""

    at: str
    """Time, RFC 3339."""
    window: str
    """`weighted_at` of the weight that it belongs to."""
    canary: Tally
    stable: Tally
    answers: Mapping[str, tuple[float | str, float | str]] = field(
        default_factory=dict[str, tuple[float | str, float | str]]
    )
    """By metric, the PromQL results for the canary and the stable revision, or an error message."""
    trouble: str | None = None
    """Why there are no counters."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of judging one reading."""

    at: str
    window: str
    verdict: Verdict
    samples: int
    metrics: tuple[MetricStatus, ...]


def summarize(metrics: Sequence[MetricStatus], verdict: Verdict | None) -> str:
    """Summarize the metrics of one verdict in a sentence; equal messages are written once."""
    by_message: dict[str, list[str]] = {}
    for each in metrics:
        if each.verdict == verdict:
            by_message.setdefault(each.message, []).append(each.name)
    return "; ".join(f"{', '.join(names)}: {message}" for message, names in by_message.items())


def judge(analysis: Analysis, reading: Reading, number: int) -> Measurement:
    """Judge a reading.

    Args:
        number: of the measurement at this weight, from 1.
    """
    error = (1 - analysis.confidence) / (number * (number + 1))
    metrics = tuple(
        _judge_metric(each, analysis, reading, error) for each in analysis.effective_metrics()
    )
    verdicts = {each.verdict for each in metrics}
    worst: Verdict = (
        "Failed"
        if "Failed" in verdicts
        else "Inconclusive"
        if "Inconclusive" in verdicts
        else "Succeeded"
    )
    return Measurement(reading.at, reading.window, worst, int(reading.canary.turns), metrics)


def _judge_metric(
    metric: Metric, analysis: Analysis, reading: Reading, error: float
) -> MetricStatus:
    if reading.trouble:
        return MetricStatus(name=metric.name, verdict="Inconclusive", message=reading.trouble)
    if metric.query is not None:
        return _judge_query(metric, reading)
    needed = metric.min_samples or analysis.min_samples
    if metric.measure in ("latency", "timeToFirstToken"):
        found = _judge_percentile(metric, reading, error)
    elif metric.measure in ("tokensPerTurn", "gpuSecondsPerTurn"):
        found = _judge_mean(metric, reading)
    else:
        found = _judge_share(metric, reading, error)
    samples = {
        "the new revision": _samples(metric, reading.canary),
        "the stable revision": _samples(metric, reading.stable) if _compares(metric) else needed,
    }
    few = next(
        (f"{n} of {needed} turns of {who}" for who, n in samples.items() if n < needed), None
    )
    if not few:
        return found
    if found.verdict == "Failed" and metric.measure not in ("tokensPerTurn", "gpuSecondsPerTurn"):
        return found
    return found.model_copy(update={"verdict": "Inconclusive", "message": f"only {few}"})


def _samples(metric: Metric, tally: Tally) -> int:
    """Count the turns for `minSamples`: for a mean, those whose answer was generated."""
    is_mean = metric.measure in ("tokensPerTurn", "gpuSecondsPerTurn")
    return int(tally.latency.count if is_mean else tally.turns)


def _compares(metric: Metric) -> bool:
    return metric.max_increase is not None or metric.max_ratio is not None


def _judge_query(metric: Metric, reading: Reading) -> MetricStatus:
    canary, stable = reading.answers.get(
        metric.name, ("the query was not sent", "the query was not sent")
    )
    for value, which in ((canary, "new"), (stable, "stable") if _compares(metric) else (0.0, "")):
        if isinstance(value, str):
            message = f"{value} for the {which} revision"
            return MetricStatus(name=metric.name, verdict="Inconclusive", message=message)
    return _compare(metric, canary, stable)


def _judge_mean(metric: Metric, reading: Reading) -> MetricStatus:
    def value(tally: Tally) -> float:
        sum_ = tally.tokens if metric.measure == "tokensPerTurn" else tally.gpu_seconds
        generated = tally.latency.count  # a cached answer costs nothing
        return sum_ / generated if generated else 0.0

    return _compare(metric, value(reading.canary), value(reading.stable))


def _compare(metric: Metric, canary: float | str, stable: float | str) -> MetricStatus:
    """Compare two numbers whose variance is not known."""
    c = float(canary)
    s = None if isinstance(stable, str) else stable
    exceeded = _exceeded(metric, c, s)
    return _status(metric, c, s if _compares(metric) else None, exceeded)


def _exceeded(metric: Metric, canary: float, stable: float | None) -> str | None:
    if metric.max is not None and canary > metric.max:
        return f"exceeds max {metric.max:g}"
    if metric.min is not None and canary < metric.min:
        return f"is below min {metric.min:g}"
    if stable is None or canary <= (metric.ignore_below or -math.inf):
        return None
    if metric.max_increase is not None and canary > stable + metric.max_increase:
        return _exceeds_increase(metric.max_increase)
    if metric.max_ratio is not None and canary > stable * metric.max_ratio:
        return _exceeds_ratio(metric.max_ratio)
    return None


def _exceeds_increase(limit: float, unit: str = "") -> str:
    return f"exceeds the stable revision by more than maxIncrease {limit:g}{unit}"


def _exceeds_ratio(limit: float) -> str:
    return f"exceeds the stable revision times maxRatio {limit:g}"


_SHARES = {
    "errorRate": ("errors", "turns"),
    "noAnswerRate": ("no_answers", "turns"),
    "toolFailureRate": ("tool_failures", "tool_calls"),
    "negativeFeedbackRate": ("negative_feedback", "feedback"),
}


def _judge_share(metric: Metric, reading: Reading, error: float) -> MetricStatus:
    bad, all_ = _SHARES[metric.measure or ""]
    k, n = getattr(reading.canary, bad), getattr(reading.canary, all_)
    ks, ns = getattr(reading.stable, bad), getattr(reading.stable, all_)
    exceeded = _share_exceeded(metric, (k, n), (ks, ns), error) if k >= FEW else None
    return _status(
        metric, k / n if n else 0.0, ks / ns if ns and _compares(metric) else None, exceeded
    )


def _share_exceeded(
    metric: Metric, canary: tuple[float, float], stable: tuple[float, float], error: float
) -> str | None:
    if metric.max is not None and binomial_tail(*canary, metric.max) <= error:
        return f"exceeds max {metric.max:g}"
    if metric.ignore_below is not None and binomial_tail(*canary, metric.ignore_below) > error:
        return None
    z = NormalDist().inv_cdf(1 - error)
    low, high = wilson(*canary, z)[0], wilson(*stable, z)[1]
    if metric.max_increase is not None and least_difference(canary, stable, z) > (
        metric.max_increase
    ):
        return _exceeds_increase(metric.max_increase)
    if metric.max_ratio is not None and low > metric.max_ratio * high:
        return _exceeds_ratio(metric.max_ratio)
    return None


def _judge_percentile(metric: Metric, reading: Reading, error: float) -> MetricStatus:
    of_first = metric.measure == "timeToFirstToken"
    ours = reading.canary.first_token if of_first else reading.canary.latency
    theirs = reading.stable.first_token if of_first else reading.stable.latency
    value, beside = ours.percentile(metric.percentile), theirs.percentile(metric.percentile)
    allowed = 1 - metric.percentile / 100
    exceeded = unknown = None
    known = math.inf if theirs.ends_below(metric.percentile) else beside
    for bound, text in _bounds(metric, known):
        slow = ours.above(bound)
        if slow < FEW or binomial_tail(slow, ours.count, allowed) > error:
            continue
        if bound <= ours.end:
            exceeded = text
        else:
            end = ours.end if math.isfinite(bound) else theirs.end
            unknown = f"the histogram ends at {end:g} s; it is unknown whether the value {text}"
    return _status(metric, value, beside if _compares(metric) else None, exceeded, unknown)


def _bounds(metric: Metric, stable: float | None) -> Iterator[tuple[float, str]]:
    """List the limits of a percentile in seconds, each with the message where it is exceeded. They
    are infinite where the stable revision's percentile is beyond its histogram."""
    least = metric.ignore_below or 0.0
    if metric.max is not None:
        yield metric.max, f"exceeds max {metric.max:g} s"
    if stable is None:
        return
    if metric.max_increase is not None:
        text = _exceeds_increase(metric.max_increase, " s")
        yield max(least, stable + metric.max_increase), text
    if metric.max_ratio is not None:
        yield max(least, stable * metric.max_ratio), _exceeds_ratio(metric.max_ratio)


def _status(
    metric: Metric,
    canary: float | None,
    stable: float | None,
    exceeded: str | None,
    unknown: str | None = None,
) -> MetricStatus:
    """Create a status.

    Args:
        exceeded: which limit is exceeded.
        unknown: which limit may be exceeded.
    """
    value = "no value" if canary is None else f"{canary:.4g}"
    if stable is not None:
        value += f" (stable revision {stable:.4g})"
    return MetricStatus(
        name=metric.name,
        verdict="Failed" if exceeded else "Inconclusive" if unknown else "Succeeded",
        canary=canary,
        stable=stable,
        message=f"{value} {exceeded}" if exceeded else f"{value}: {unknown}" if unknown else value,
    )


def binomial_tail(bad: float, all_: float, share: float) -> float:
    """Compute the probability of so many bad turns, or more, where the true share is `share`: the
    tail of the binomial distribution. Fractions of a turn, as histograms have them, are rounded."""
    n = round(all_)
    k = min(round(bad), n)  # of counters that are read or estimated at different times
    if k <= n * share:
        return 1.0
    if share <= 0:
        return 0.0
    term = math.exp(
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(share) + (n - k) * math.log1p(-share)
    )  # fmt: skip
    tail = term
    while k < n and term > tail * 1e-9:
        term *= (n - k) / (k + 1) * share / (1 - share)
        tail += term
        k += 1
    return min(1.0, tail)


def wilson(bad: float, all_: float, z: float) -> tuple[float, float]:
    """Compute Wilson's score interval of a share, as (least, most)."""
    if all_ <= 0:
        return 0.0, 1.0
    share, spread = min(1.0, bad / all_), z * z / all_
    middle = share + spread / 2
    reach = z * math.sqrt(share * (1 - share) / all_ + spread / (4 * all_))
    return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))


def least_difference(canary: tuple[float, float], stable: tuple[float, float], z: float) -> float:
    """Compute Newcombe's lower bound of the canary's share above the stable revision's."""
    (k, n), (ks, ns) = canary, stable
    if n <= 0 or ns <= 0:
        return -1.0
    c, s = k / n, ks / ns
    return (c - s) - math.hypot(c - wilson(k, n, z)[0], wilson(ks, ns, z)[1] - s)
