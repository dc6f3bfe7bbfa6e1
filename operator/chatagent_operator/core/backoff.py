"""Exponential back-off. Pure."""

from __future__ import annotations


def find_wait(failures: int, first: float, last: float) -> float:
    """Return the seconds to wait after so many failures in a row: `first` after one, twice as long
    after each further one, `last` at most."""
    return min(first * 2.0 ** min(failures - 1, 64), last)  # more is no float some day
