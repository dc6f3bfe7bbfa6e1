"""Sums the counters of several pods to those of a revision since a time. Pure.

A counter starts at 0 with its process. So the increase since the last sample is a difference, or,
if the process has started since then, the whole sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, cast

from chatagent_operator.api.status import CounterStatus, WindowCounters
from chatagent_operator.core import names
from chatagent_operator.core.judging.analysis import Histogram, Tally

_DIGITS, _NOISE = 6, 1e-5
"""Counters of seconds are sums of fractions."""


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
            if self._is_new(sample):
                self._sum = add_tallies(self._sum, sample.tally)
        elif _restarted(last, sample):
            self._sum = add_tallies(self._sum, sample.tally)
        else:
            self._sum = add_tallies(self._sum, subtract_tallies(sample.tally, last.tally))

    def tally(self) -> Tally:
        """Return the sum."""
        return self._sum

    def restart(self, began: float) -> None:
        """Begin at the last samples: whatever has been counted before is no part of the window.

        Args:
            began: when they were taken.
        """
        self._began, self._sum = began, Tally()

    def keep(self, pods: Iterable[str]) -> WindowCounters | None:
        """Return what `resume` continues the window with; None if a process cannot be recognized.

        Args:
            pods: those that exist.
        """
        samples = [(pod, self._last[pod]) for pod in pods if pod in self._last]
        if any(sample.born is None for _, sample in samples):
            return None
        before = subtract_tallies(_add(sample for _, sample in samples), self._sum)
        processes = tuple(sorted(_identify(pod, sample) for pod, sample in samples))
        counters = (CounterStatus(name=name, value=n) for name, n in _pack(before).items())
        return WindowCounters(processes=processes, counters=tuple(counters))

    def knows(self, kept: WindowCounters) -> bool:
        """Return whether there is a sample of each process that a kept window counts."""
        return self._processes().keys() >= set(kept.processes)

    def resume(self, kept: WindowCounters, began: float) -> bool:
        """Continue a kept window after the first samples. Returns False if that is impossible.

        What its processes have counted since is part of it, as are all counts of processes that
        have started since.

        Args:
            began: when the kept window began.
        """
        before, samples = _unpack(kept.counters), self._processes()
        if before is None or not self.knows(kept):
            return False
        self._began = began
        is_part = {name: name in kept.processes or self._is_new(samples[name]) for name in samples}
        now = _add(sample for name, sample in samples.items() if is_part[name])
        found = subtract_tallies(now, before)
        if any(value < -_NOISE for value in _pack(found).values()):
            return False
        self._sum = found
        return True

    def _is_new(self, sample: Sample) -> bool:
        return sample.born is not None and sample.born >= self._began

    def _processes(self) -> dict[str, Sample]:
        return {_identify(pod, sample): sample for pod, sample in self._last.items()}


def _identify(pod: str, sample: Sample) -> str:
    return names.digest([pod, sample.born])


def _add(samples: Iterable[Sample]) -> Tally:
    return reduce(add_tallies, (sample.tally for sample in samples), Tally())


def _pack(tally: Tally) -> dict[str, float]:
    """Return the counters that are not 0, and one for each bound of a histogram: a bound that is
    left out would be unknown after the processes that have it have ended."""
    found = dict[str, float]()
    for field in fields(Tally):
        value = getattr(tally, field.name)
        if isinstance(value, Histogram):
            found |= {f"{field.name} {bound}": count for bound, count in value.buckets}
        elif abs(value) > _NOISE:
            found[field.name] = value
    return {name: round(value, _DIGITS) for name, value in found.items()}


def _unpack(counters: Iterable[CounterStatus]) -> Tally | None:
    """Return the tally that was packed; None if another version of the operator packed it."""
    values = {field.name: dict[float, float]() for field in fields(Tally)}
    try:
        for each in counters:
            field, _, bound = each.name.partition(" ")
            values[field][float(bound or 0)] = each.value
    except (KeyError, ValueError):
        return None
    defaults = [getattr(Tally(), name) for name in values]
    return _tally(
        [
            _histogram(given) if isinstance(default, Histogram) else given.get(0.0, 0.0)
            for default, given in zip(defaults, values.values(), strict=True)
        ]
    )


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
    after, before = _buckets(a), _buckets(b)
    bounds = after.keys() | before.keys()
    return _histogram({k: after.get(k, 0.0) - before.get(k, 0.0) for k in bounds})


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
