"""Exponential back-off."""

from __future__ import annotations

from chatagent_operator.core.backoff import find_wait


def test_the_wait_doubles_up_to_its_maximum() -> None:
    waits = [find_wait(failures, 0.5, 60.0) for failures in range(1, 10)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_an_outage_of_weeks_overflows_no_number() -> None:
    assert find_wait(100_000, 0.5, 60.0) == 60.0
