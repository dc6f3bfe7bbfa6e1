"""Waiting for a condition, never for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable

from dev.errors import DevError


def wait_for(
    what: str,
    holds: Callable[[], bool],
    timeout: float,
    *,
    interval: float = 0.1,
    complain: Callable[[], str | None] = lambda: None,
) -> None:
    """Ask until it holds. `complain` may give a reason why it never will; its text is the error."""
    deadline = time.monotonic() + timeout
    while not holds():
        if reason := complain():
            raise DevError(f"waiting for {what}: {reason}")
        if time.monotonic() > deadline:
            raise DevError(f"{what}: not within {timeout:.0f} s")
        time.sleep(interval)
