"""Judging a new revision by its numbers beside the stable one's over the same time. Pure.

A limit is passed only where the counts say so and not an accident. With a limit of its own a share
is compared by the binomial distribution, exactly, and so is a percentile, as the share of turns
above a bound. Two shares are compared by Wilson's score intervals, and their difference by
Newcombe's hybrid of both (Newcombe, "Interval estimation for the difference between independent
proportions", Statistics in Medicine 17, 1998). The k-th look at one weight spends 1/(k(k+1)) of the
error that is allowed, so that all looks together spend no more than that.
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
"""Bad turns below which nothing is proved while samples are few: one error of one turn is none."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many turns took at most so long: pairs of bound in seconds and count, cumulative, the
    last bound infinite."""

    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> float:
        """All of them."""
        return self.buckets[-1][1] if self.buckets else 0.0

    @property
    def end(self) -> float:
        """The greatest finite bound. Of turns above it nothing more is known."""
        return self.buckets[-2][0] if len(self.buckets) > 1 else 0.0

    def above(self, bound: float) -> float:
        """How many took longer, or may have where the bound is beyond the end; between two bounds
        evenly spread, as in Prometheus."""
        for (low, before), (high, upto) in pairwise(((0.0, 0.0), *self.buckets)):
            if bound <= high:
                inside = (bound - low) / (high - low) if math.isfinite(high) else 0.0
                return self.count - (before + inside * (upto - before))
        return 0.0

    def percentile(self, percent: float) -> float | None:
        """The bound that so many percent are within; at most the greatest finite one."""
        rank = self.count * percent / 100
        for (low, before), (high, upto) in pairwise(((0.0, 0.0), *self.buckets)):
            if upto >= rank and upto > before:
                inside = (rank - before) / (upto - before)
                return low + inside * (high - low) if math.isfinite(high) else low
        return None

    def ends_below(self, percent: float) -> bool:
        """Tell whether that percentile is somewhere beyond the end."""
        return self.count - self.above(self.end) < self.count * percent / 100


@dataclass(frozen=True, slots=True)
class Tally:
    """What a revision's pods have counted since the weight came into force."""

    turns: float = 0.0
    errors: float = 0.0
    """Turns that failed for no fault of the client."""
    no_answers: float = 0.0
    tool_calls: float = 0.0
    tool_failures: float = 0.0
    feedback: float = 0.0
    """Ratings by users."""
    negative_feedback: float = 0.0
    tokens: float = 0.0
    gpu_seconds: float = 0.0
    latency: Histogram = Histogram()
    """Of turns whose answer was made, not known from before."""
    first_token: Histogram = Histogram()


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the numbers of both revisions."""

    at: str
    """When, RFC 3339."""
    window: str
    """`weighted_at` of the weight that it belongs to."""
    canary: Tally
    stable: Tally
    answers: Mapping[str, tuple[float | str, float | str]] = field(
        default_factory=dict[str, tuple[float | str, float | str]]
    )
    """By metric, what PromQL gave for the canary and the stable revision; a text says why not."""
    trouble: str | None = None
    """Why there are no numbers."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What came of one reading."""

    at: str
    window: str
    verdict: Verdict
    samples: int
    metrics: tuple[MetricStatus, ...]


def told(metrics: Sequence[MetricStatus], verdict: Verdict | None) -> str:
    """The metrics that came to a verdict, in a sentence: those that say the same together."""
    said: dict[str, list[str]] = {}
    for each in metrics:
        if each.verdict == verdict:
            said.setdefault(each.message, []).append(each.name)
    return "; ".join(f"{', '.join(names)}: {message}" for message, names in said.items())


def judge(analysis: Analysis, reading: Reading, look: int) -> Measurement:
    """Judge a reading.

    Args:
        look: which measurement at this weight it is, from 1.
    """
    error = (1 - analysis.confidence) / (look * (look + 1))
    found = tuple(_judged(each, analysis, reading, error) for each in analysis.judged_by())
    verdicts = {each.verdict for each in found}
    worst: Verdict = (
        "Failed"
        if "Failed" in verdicts
        else "Inconclusive"
        if "Inconclusive" in verdicts
        else "Passed"
    )
    return Measurement(reading.at, reading.window, worst, int(reading.canary.turns), found)


def _judged(metric: Metric, analysis: Analysis, reading: Reading, error: float) -> MetricStatus:
    if reading.trouble:
        return MetricStatus(name=metric.name, verdict="Inconclusive", message=reading.trouble)
    if metric.query is not None:
        return _queried(metric, reading)
    needed = metric.min_samples or analysis.min_samples
    if metric.measure in ("latency", "timeToFirstToken"):
        found = _percentile(metric, reading, error)
    elif metric.measure in ("tokensPerTurn", "gpuSecondsPerTurn"):
        found = _mean(metric, reading)
    else:
        found = _share(metric, reading, error)
    few = {
        "the new revision": _samples(metric, reading.canary),
        "the stable revision": _samples(metric, reading.stable) if _compares(metric) else needed,
    }
    short = next((f"{n} of {needed} turns of {who}" for who, n in few.items() if n < needed), None)
    if not short:
        return found
    if found.verdict == "Failed" and metric.measure not in ("tokensPerTurn", "gpuSecondsPerTurn"):
        return found
    return found.model_copy(update={"verdict": "Inconclusive", "message": f"only {short}"})


def _samples(metric: Metric, tally: Tally) -> int:
    """Turns that count for `minSamples`. A mean needs answers that cost something; all others
    prove what is wrong by themselves, however few turns can show it."""
    is_mean = metric.measure in ("tokensPerTurn", "gpuSecondsPerTurn")
    return int(tally.latency.count if is_mean else tally.turns)


def _compares(metric: Metric) -> bool:
    return metric.max_increase is not None or metric.max_ratio is not None


def _queried(metric: Metric, reading: Reading) -> MetricStatus:
    canary, stable = reading.answers.get(metric.name, ("it was not asked", "it was not asked"))
    for value, which in ((canary, "new"), (stable, "stable") if _compares(metric) else (0.0, "")):
        if isinstance(value, str):
            message = f"{value} for the {which} revision"
            return MetricStatus(name=metric.name, verdict="Inconclusive", message=message)
    return _bare(metric, canary, stable)


def _mean(metric: Metric, reading: Reading) -> MetricStatus:
    def value(tally: Tally) -> float:
        sum_ = tally.tokens if metric.measure == "tokensPerTurn" else tally.gpu_seconds
        made = tally.latency.count  # a known answer costs nothing
        return sum_ / made if made else 0.0

    return _bare(metric, value(reading.canary), value(reading.stable))


def _bare(metric: Metric, canary: float | str, stable: float | str) -> MetricStatus:
    """Compare two numbers of which no spread is known."""
    c = float(canary)
    s = None if isinstance(stable, str) else stable
    wrong = _beyond(metric, c, s)
    return _status(metric, c, s if _compares(metric) else None, wrong)


def _beyond(metric: Metric, canary: float, stable: float | None) -> str | None:
    if metric.max is not None and canary > metric.max:
        return f"more than max {metric.max:g}"
    if metric.min is not None and canary < metric.min:
        return f"less than min {metric.min:g}"
    if stable is None or canary <= (metric.ignore_below or -math.inf):
        return None
    if metric.max_increase is not None and canary > stable + metric.max_increase:
        return f"more than {metric.max_increase:g} above the stable revision's {stable:.4g}"
    if metric.max_ratio is not None and canary > stable * metric.max_ratio:
        return f"more than {metric.max_ratio:g} times the stable revision's {stable:.4g}"
    return None


_SHARES = {
    "errorRate": ("errors", "turns"),
    "noAnswerRate": ("no_answers", "turns"),
    "toolFailureRate": ("tool_failures", "tool_calls"),
    "negativeFeedbackRate": ("negative_feedback", "feedback"),
}


def _share(metric: Metric, reading: Reading, error: float) -> MetricStatus:
    bad, all_ = _SHARES[metric.measure or ""]
    k, n = getattr(reading.canary, bad), getattr(reading.canary, all_)
    ks, ns = getattr(reading.stable, bad), getattr(reading.stable, all_)
    wrong = _share_beyond(metric, (k, n), (ks, ns), error) if k >= FEW else None
    return _status(
        metric, k / n if n else 0.0, ks / ns if ns and _compares(metric) else None, wrong
    )


def _share_beyond(
    metric: Metric, canary: tuple[float, float], stable: tuple[float, float], error: float
) -> str | None:
    if metric.max is not None and accident(*canary, metric.max) <= error:
        return f"more than max {metric.max:g}"
    if metric.ignore_below is not None and accident(*canary, metric.ignore_below) > error:
        return None
    z = NormalDist().inv_cdf(1 - error)
    low, high = wilson(*canary, z)[0], wilson(*stable, z)[1]
    if metric.max_increase is not None and least_difference(canary, stable, z) > (
        metric.max_increase
    ):
        return f"more than {metric.max_increase:g} above the stable revision's"
    if metric.max_ratio is not None and low > metric.max_ratio * high:
        return f"more than {metric.max_ratio:g} times the stable revision's"
    return None


def _percentile(metric: Metric, reading: Reading, error: float) -> MetricStatus:
    of_first = metric.measure == "timeToFirstToken"
    ours = reading.canary.first_token if of_first else reading.canary.latency
    theirs = reading.stable.first_token if of_first else reading.stable.latency
    value, beside = ours.percentile(metric.percentile), theirs.percentile(metric.percentile)
    allowed = 1 - metric.percentile / 100
    wrong = unknown = None
    known = math.inf if theirs.ends_below(metric.percentile) else beside
    for bound, text in _bounds(metric, known):
        slow = ours.above(bound)
        if slow < FEW or accident(slow, ours.count, allowed) > error:
            continue
        if bound <= ours.end:
            wrong = text
        else:
            end = ours.end if math.isfinite(bound) else theirs.end
            unknown = f"perhaps {text}: the histogram ends at {end:g} s"
    return _status(metric, value, beside if _compares(metric) else None, wrong, unknown)


def _bounds(metric: Metric, stable: float | None) -> Iterator[tuple[float, str]]:
    """Seconds that a percentile may be at most, each with what to say where it is more. They are
    infinite where the stable revision's percentile is, of which no more is known."""
    least = metric.ignore_below or 0.0
    if metric.max is not None:
        yield metric.max, f"more than max {metric.max:g} s"
    if stable is None:
        return
    if metric.max_increase is not None:
        text = f"more than {metric.max_increase:g} s above the stable revision's"
        yield max(least, stable + metric.max_increase), text
    if metric.max_ratio is not None:
        text = f"more than {metric.max_ratio:g} times the stable revision's"
        yield max(least, stable * metric.max_ratio), text


def _status(
    metric: Metric,
    canary: float | None,
    stable: float | None,
    wrong: str | None,
    unknown: str | None = None,
) -> MetricStatus:
    """`wrong`: why it failed. `unknown`: why it cannot be told whether it did."""
    said = "no value" if canary is None else f"{canary:.4g}"
    if stable is not None:
        said += f", the stable revision {stable:.4g}"
    return MetricStatus(
        name=metric.name,
        verdict="Failed" if wrong else "Inconclusive" if unknown else "Passed",
        canary=canary,
        stable=stable,
        message=": ".join(each for each in (said, wrong or unknown) if each),
    )


def accident(bad: float, all_: float, share: float) -> float:
    """How probable it is that so many turns, or more, are bad where the share is no more than that:
    the tail of the binomial distribution. Parts of a turn, as histograms have them, are rounded."""
    k, n = round(bad), round(all_)
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
    """Wilson's score interval of a share, as (least, most)."""
    if all_ <= 0:
        return 0.0, 1.0
    share, spread = min(1.0, bad / all_), z * z / all_
    middle = share + spread / 2
    reach = z * math.sqrt(share * (1 - share) / all_ + spread / (4 * all_))
    return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))


def least_difference(canary: tuple[float, float], stable: tuple[float, float], z: float) -> float:
    """The least that the canary's share is above the stable one's: Newcombe's lower bound."""
    (k, n), (ks, ns) = canary, stable
    if n <= 0 or ns <= 0:
        return -1.0
    c, s = k / n, ks / ns
    return (c - s) - math.hypot(c - wilson(k, n, z)[0], wilson(ks, ns, z)[1] - s)
