"""Judging numbers: what is an accident, what is not, and what cannot be told."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatagent_operator.api.rollout import Analysis, Metric, Prometheus
from chatagent_operator.core.judging.analysis import (
    Histogram,
    Reading,
    Tally,
    binomial_tail,
    judge,
    least_difference,
    summarize,
    wilson,
)

PROMETHEUS = Prometheus(url="http://prometheus:9090")


def reading(canary: Tally, stable: Tally, **more: Any) -> Reading:
    return Reading("2026-01-01T00:00:00Z", "w", canary, stable, **more)


def took(*seconds: tuple[float, int]) -> Histogram:
    """So many turns that took at most so long, for each pair."""
    total, buckets = 0, list[tuple[float, float]]()
    for bound, count in seconds:
        total += count
        buckets.append((bound, float(total)))
    return Histogram((*buckets, (math.inf, float(total))))


def one(metric: dict[str, Any], found: Reading, look: int = 1, **options: Any) -> tuple[str, str]:
    """Verdict and message of one metric."""
    judged = Metric.model_validate({"name": "it"} | metric)
    analysis = Analysis(metrics=(judged,), prometheus=PROMETHEUS, **options)
    measurement = judge(analysis, found, look)
    return measurement.verdict, measurement.metrics[0].message


ERRORS = {"measure": "errorRate", "maxIncrease": 0.01}
STABLE = Tally(turns=1000, errors=2)


@pytest.mark.parametrize(
    ("turns", "errors", "verdict"),
    [
        (50, 0, "Succeeded"),
        (50, 1, "Succeeded"),
        (50, 10, "Failed"),
        (15, 3, "Failed"),  # too few to pass, and yet no accident
        (1, 1, "Inconclusive"),  # one error of one turn proves nothing
        (49, 0, "Inconclusive"),
        (0, 0, "Inconclusive"),
        (1000, 8, "Succeeded"),  # more than the stable one's, within the limit
        (1000, 60, "Failed"),
    ],
)
def test_error_rate_beside_the_stable_one(turns: int, errors: int, verdict: str) -> None:
    assert one(ERRORS, reading(Tally(turns=turns, errors=errors), STABLE))[0] == verdict


def test_a_stable_revision_without_traffic_is_inconclusive() -> None:
    found = one(ERRORS, reading(Tally(turns=100), Tally(turns=10)))
    assert found == ("Inconclusive", "only 10 of 50 turns of the stable revision")


def test_a_limit_of_its_own_needs_no_stable_revision() -> None:
    metric = {"measure": "errorRate", "max": 0.05}
    assert one(metric, reading(Tally(turns=100), Tally()))[0] == "Succeeded"
    assert one(metric, reading(Tally(turns=100, errors=20), Tally()))[0] == "Failed"


def test_rates_without_any_event_succeed() -> None:
    """No tool called and no rating given is no reason to wait for ever."""
    for measure in ("toolFailureRate", "negativeFeedbackRate"):
        metric = {"measure": measure, "maxIncrease": 0.05}
        assert one(metric, reading(Tally(turns=100), STABLE))[0] == "Succeeded"
    bad = Tally(turns=100, tool_calls=20, tool_failures=12)
    good = Tally(turns=1000, tool_calls=200, tool_failures=1)
    metric = {"measure": "toolFailureRate", "maxIncrease": 0.05}
    assert one(metric, reading(bad, good))[0] == "Failed"


@pytest.mark.parametrize(
    ("limit", "slow", "verdict"),
    [
        ({"maxRatio": 1.5}, 0, "Succeeded"),
        ({"maxRatio": 1.5}, 60, "Failed"),
        ({"maxRatio": 12}, 60, "Succeeded"),
        ({"maxIncrease": 0.5}, 60, "Failed"),
        ({"maxRatio": 1.5, "ignoreBelow": 1.0}, 60, "Succeeded"),
        ({"maxRatio": 1.5, "ignoreBelow": 0.2}, 60, "Failed"),
        ({"max": 0.3, "ignoreBelow": 9.0}, 60, "Failed"),
        ({"max": 0.3}, 60, "Failed"),
        ({"max": 0.3}, 2, "Succeeded"),
        ({"max": 2.0}, 60, "Succeeded"),
    ],
)
def test_latency(limit: dict[str, float], slow: int, verdict: str) -> None:
    ours = Tally(turns=200, latency=took((0.1, 200 - slow), (1.0, slow)))
    theirs = Tally(turns=2000, latency=took((0.1, 1990), (1.0, 10)))
    assert one({"measure": "latency", **limit}, reading(ours, theirs))[0] == verdict


def test_a_burst_of_slow_turns_is_no_proof() -> None:
    """Three of twenty are slow by accident in one case of thirteen where one of twenty is."""
    for slow, verdict in ((3, "Inconclusive"), (4, "Failed")):
        ours = Tally(turns=20, latency=took((0.1, 20 - slow), (1.0, slow)))
        theirs = Tally(turns=2000, latency=took((0.1, 1990), (1.0, 10)))
        assert one({"measure": "latency", "maxRatio": 1.5}, reading(ours, theirs))[0] == verdict


def ended(end: float, slow: int, quick: int = 880) -> Tally:
    """So many turns in 0.1 s, and some above the end of the histogram."""
    all_ = float(quick + slow)
    histogram = Histogram(((0.1, float(quick)), (end, float(quick)), (math.inf, all_)))
    return Tally(turns=quick + slow, latency=histogram)


@pytest.mark.parametrize(
    ("limit", "canary", "stable", "verdict"),
    [
        ({"maxRatio": 1.5}, ended(300, 120), ended(300, 120), "Inconclusive"),
        ({"maxRatio": 1.0}, ended(300, 120), ended(300, 120), "Inconclusive"),
        ({"maxIncrease": 0.0}, ended(300, 120), ended(300, 120), "Inconclusive"),
        ({"maxIncrease": 400.0}, ended(300, 120), ended(300, 0), "Inconclusive"),
        ({"max": 600}, ended(300, 120), Tally(), "Inconclusive"),
        # All that is above the end is too little to matter, whatever it took.
        ({"maxRatio": 1.5}, ended(300, 40), ended(300, 120), "Succeeded"),
        ({"max": 600}, ended(300, 40), Tally(), "Succeeded"),
        # The limit is within: what is above the end is above the limit too.
        ({"max": 300}, ended(300, 120), Tally(), "Failed"),
        ({"max": 200}, ended(300, 120), Tally(), "Failed"),
        ({"maxRatio": 1.5}, ended(300, 120), ended(300, 0), "Failed"),
        ({"maxRatio": 1.5, "max": 200}, ended(300, 120), ended(300, 120), "Failed"),
        # A stable revision of before, whose histogram ends earlier.
        ({"maxRatio": 1.5}, ended(300, 120), ended(30, 120), "Inconclusive"),
    ],
)
def test_of_turns_above_the_end_of_a_histogram_nothing_is_proved(
    limit: dict[str, float], canary: Tally, stable: Tally, verdict: str
) -> None:
    assert one({"measure": "latency", **limit}, reading(canary, stable))[0] == verdict


@pytest.mark.parametrize(
    ("limit", "stable", "said"),
    [
        (
            {"max": 600},
            Tally(),
            "300: the histogram ends at 300 s; it is unknown whether the value exceeds max 600 s",
        ),
        (
            {"maxRatio": 1.5},
            ended(30, 120),
            "300 (stable revision 30): the histogram ends at 30 s; it is unknown whether the value "
            "exceeds the stable revision times maxRatio 1.5",
        ),
    ],
)
def test_the_end_of_a_histogram_is_in_the_message(
    limit: dict[str, float], stable: Tally, said: str
) -> None:
    found = reading(ended(300, 120), stable)
    assert one({"measure": "latency", **limit}, found) == ("Inconclusive", said)


def test_a_revision_that_knows_most_answers_need_not_make_many() -> None:
    theirs = Tally(turns=2000, latency=took((0.1, 2000)))
    metric = {"measure": "latency", "maxRatio": 1.5}
    few = Tally(turns=200, latency=took((0.1, 20)))
    assert one(metric, reading(few, theirs))[0] == "Succeeded"
    slow = Tally(turns=200, latency=took((0.1, 10), (1.0, 10)))
    assert one(metric, reading(slow, theirs))[0] == "Failed"


def test_cost_is_compared_as_a_mean() -> None:
    metric = {"measure": "tokensPerTurn", "maxRatio": 1.2}
    theirs = Tally(turns=1500, tokens=500_000, latency=took((0.1, 1000)))
    ours = took((0.1, 100))
    assert one(metric, reading(Tally(120, tokens=55_000, latency=ours), theirs))[0] == "Succeeded"
    verdict, message = one(metric, reading(Tally(120, tokens=70_000, latency=ours), theirs))
    assert (verdict, message) == (
        "Failed",
        "700 (stable revision 500) exceeds the stable revision times maxRatio 1.2",
    )
    assert one(metric, reading(Tally(turns=3, tokens=9_000), theirs))[0] == "Inconclusive"


@pytest.mark.parametrize(
    ("answers", "limit", "verdict", "says"),
    [
        ((3.0, 2.0), {"max": 5}, "Succeeded", "3"),
        ((6.0, "not sent"), {"max": 5}, "Failed", "exceeds max 5"),
        ((0.4, 0.0), {"min": 0.5}, "Failed", "is below min 0.5"),
        ((6.0, 2.0), {"maxRatio": 2}, "Failed", "exceeds the stable revision times maxRatio 2"),
        ((6.0, "no series"), {"maxRatio": 2}, "Inconclusive", "no series for the stable"),
        (("the answer is NaN", 1.0), {"max": 5}, "Inconclusive", "NaN for the new"),
    ],
)
def test_a_query_of_ones_own(
    answers: tuple[float | str, float | str], limit: dict[str, float], verdict: str, says: str
) -> None:
    found = reading(Tally(), Tally(), answers={"it": answers})
    got, message = one({"query": "up", **limit}, found)
    assert got == verdict
    assert says in message


def test_a_source_that_is_down_is_inconclusive() -> None:
    found = reading(Tally(turns=500, errors=500), STABLE, trouble="http://prometheus: refused")
    assert one(ERRORS, found) == ("Inconclusive", "http://prometheus: refused")


def test_the_deciding_value_is_reported_once() -> None:
    few, many = took((0.1, 3)), took((0.1, 1000))
    stable = Tally(turns=1000, latency=many)
    found = judge(Analysis(), reading(Tally(turns=3, latency=few), stable), 1)
    assert summarize(found.metrics, found.verdict) == (
        "errors, latency-p95, tool-failures, no-answer: only 3 of 50 turns of the new revision"
    )


def test_an_equal_revision_is_seldom_rolled_back_however_often_it_is_measured() -> None:
    """Twenty looks at growing counts: all together stay within what one look may err."""
    chance = random.Random(1)  # noqa: S311
    rollouts, taken_back = 1000, 0
    for _ in range(rollouts):
        errors, turns = 0, 0
        for look in range(1, 21):
            errors += sum(chance.random() < 0.02 for _ in range(25))
            turns += 25
            found = reading(Tally(turns=turns, errors=errors), Tally(turns=5000, errors=100))
            if one({"measure": "errorRate", "maxIncrease": 0.0}, found, look)[0] == "Failed":
                taken_back += 1
                break
    assert taken_back <= 0.05 * rollouts


def test_a_fifth_of_errors_is_seen_in_twenty_five_turns() -> None:
    chance = random.Random(2)  # noqa: S311
    seen = 0
    for _ in range(500):
        errors = sum(chance.random() < 0.2 for _ in range(25))
        found = reading(Tally(turns=25, errors=errors), Tally(turns=500, errors=1))
        seen += one(ERRORS, found)[0] == "Failed"
    assert seen >= 0.8 * 500


counts = st.integers(0, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts=counts, z=st.floats(0.5, 5))
def test_an_interval_holds_the_share(counts: tuple[int, int], z: float) -> None:
    bad, all_ = counts
    low, high = wilson(bad, all_, z)
    assert 0 <= low <= high <= 1
    if all_:
        assert low - 1e-9 <= bad / all_ <= high + 1e-9


@given(canary=counts, stable=counts, z=st.floats(0.5, 5))
def test_the_least_difference_is_below_the_difference(
    canary: tuple[int, int], stable: tuple[int, int], z: float
) -> None:
    if canary[1] and stable[1]:
        difference = canary[0] / canary[1] - stable[0] / stable[1]
        assert least_difference(canary, stable, z) <= difference + 1e-9


@given(counts=counts, share=st.floats(0.001, 0.999))
def test_an_accident_is_as_probable_as_it_is(counts: tuple[int, int], share: float) -> None:
    bad, all_ = counts
    found = binomial_tail(bad, all_, share)
    if bad <= all_ * share:
        assert found == 1, "it is not even more than that"
    elif all_ <= 200:
        terms = (math.comb(all_, k) * share**k * (1 - share) ** (all_ - k) for k in range(bad))
        assert found == pytest.approx(1 - sum(terms), abs=1e-9)
    else:
        assert found <= binomial_tail(bad - 1, all_, share)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_more_bad_turns_than_turns_are_all_of_them(share: float) -> None:
    """Of counters that a pod makes up, or that Prometheus extrapolates each for itself."""
    assert binomial_tail(9, 5, share) == binomial_tail(5, 5, share)
    few = Tally(turns=5, no_answers=9)
    verdict, _ = one({"measure": "noAnswerRate", "max": 0.1}, reading(few, STABLE), minSamples=1)
    assert verdict == "Failed"


def test_the_binomial_tail_as_published() -> None:
    assert binomial_tail(3, 20, 0.05) == pytest.approx(0.0755, abs=5e-5)
    assert binomial_tail(4, 20, 0.05) == pytest.approx(0.0159, abs=5e-5)
    assert binomial_tail(5_200, 100_000, 0.05) == pytest.approx(0.0020, abs=2e-4)
    assert binomial_tail(1, 5, 0) == 0
    assert binomial_tail(0, 0, 0.5) == 1


def test_wilson_as_published() -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine
    17 (1998), table I: 81 of 263 and 15 of 148 at 95 %."""
    assert wilson(81, 263, 1.959964) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148, 1.959964) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@given(counts=st.lists(st.integers(0, 100), min_size=3, max_size=3), bound=st.floats(0, 3))
def test_a_histogram_counts_each_turn_once(counts: list[int], bound: float) -> None:
    histogram = took(*zip((0.1, 1.0, 2.0), counts, strict=True))
    assert 0 <= histogram.above(bound) <= histogram.count == sum(counts)
    assert histogram.above(2.0) == 0
    if histogram.count:
        assert 0 <= (histogram.percentile(95) or 0) <= 2.0
    else:
        assert histogram.percentile(95) is None
