"""Arithmetic with the times in a status. Pure: the current time is always passed in."""

from __future__ import annotations

from datetime import datetime


def elapsed(since: str, now: str) -> float:
    """Return the seconds between two RFC 3339 times."""
    return (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()
