"""Sums the counters of several pods to those of a revision since a time. Pure.

A counter starts at 0 with its process. So the increase since the last sample is a difference, or,
if the process has started since then, the whole sample.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, cast

from chatagent_operator.core.judging.analysis import Histogram, Tally


@dataclass(frozen=True, slots=True)
class Sample:
    """A pod's counters at one moment."""

    tally: Tally
    """The counters since its process started."""

    born: float | None = None
    """When the process started, in seconds since 1970."""


class Window:
    """The sum of the counters of a revision's pods since the window began.

    What a process counts between its last sample and its end is lost. What a deleted pod has added
    is kept.
    """

    def __init__(self, began: float) -> None:
        """`began`: in seconds since 1970, by the clock of `Sample.born`."""
        self._began = began
        self._last: dict[str, Sample] = {}
        self._sum = Tally()

    def add(self, pod: str, sample: Sample) -> None:
        """Add what a pod has counted since its last sample.

        The first sample counts only if its process is younger than the window: how much an older
        one had counted before is unknown.
        """
        last = self._last.get(pod)
        self._last[pod] = sample
        if last is None:
            if sample.born is not None and sample.born >= self._began:
                self._sum = add_tallies(self._sum, sample.tally)
        elif _restarted(last, sample):
            self._sum = add_tallies(self._sum, sample.tally)
        else:
            self._sum = add_tallies(self._sum, subtract_tallies(sample.tally, last.tally))

    def tally(self) -> Tally:
        """Return the sum."""
        return self._sum


def _restarted(last: Sample, now: Sample) -> bool:
    """Whether it is another process: it started at another time, or has counted less."""
    if last.born is not None and now.born is not None and last.born != now.born:
        return True
    return any(_fell(before, after) for before, after in _pairs(last.tally, now.tally))


def _fell(before: float | Histogram, after: float | Histogram) -> bool:
    if isinstance(before, Histogram) or isinstance(after, Histogram):
        were, are = _buckets(before), _buckets(after)
        return bool(were) and (
            were.keys() != are.keys() or any(are[bound] < were[bound] for bound in were)
        )
    return after < before


def add_tallies(a: Tally, b: Tally) -> Tally:
    """Add two tallies. Histograms keep the bounds that both have: counts are cumulative."""
    return _tally([_plus(*pair) for pair in _pairs(a, b)])


def subtract_tallies(after: Tally, before: Tally) -> Tally:
    """Subtract an earlier tally of the same process."""
    return _tally([_minus(*pair) for pair in _pairs(after, before)])


def _plus(a: float | Histogram, b: float | Histogram) -> float | Histogram:
    if not isinstance(a, Histogram) and not isinstance(b, Histogram):
        return a + b
    ours, theirs = _buckets(a), _buckets(b)
    if not ours or not theirs:
        return _histogram(ours or theirs)
    return _histogram({k: n + theirs[k] for k, n in ours.items() if k in theirs})


def _minus(a: float | Histogram, b: float | Histogram) -> float | Histogram:
    if not isinstance(a, Histogram) and not isinstance(b, Histogram):
        return a - b
    before = _buckets(b)
    return _histogram({k: n - before.get(k, 0.0) for k, n in _buckets(a).items()})


def _pairs(a: Tally, b: Tally) -> list[tuple[float | Histogram, float | Histogram]]:
    names = [field.name for field in fields(Tally)]
    return [(getattr(a, name), getattr(b, name)) for name in names]


def _tally(values: list[float | Histogram]) -> Tally:
    named = {field.name: value for field, value in zip(fields(Tally), values, strict=True)}
    return Tally(**cast(dict[str, Any], named))


def _buckets(value: float | Histogram) -> dict[float, float]:
    return dict(value.buckets) if isinstance(value, Histogram) else {}


def _histogram(buckets: dict[float, float]) -> Histogram:
    return Histogram(tuple(sorted(buckets.items())))
