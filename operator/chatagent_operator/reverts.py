"""Paces writes that revert what another client does again and again to the same object."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chatagent_operator.core.backoff import find_wait
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.refusals import Refusal
from chatagent_operator.kube.store import Identity

FREE_REVERTS = 3
"""So many are done at once, as after a few edits by hand."""
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 300.0
"""Between two of the others, with exponential back-off."""
CALM_SECONDS = 60.0
"""After so long without one, or twice the interval between two, the other client has stopped."""


@dataclass(frozen=True, slots=True)
class _Written:
    """The last write of an object."""

    write: str
    """What was written."""

    reverts: int
    """How often in a row the same was written again."""

    at: float

    @property
    def interval(self) -> float:
        """Seconds until it may be written again."""
        over = self.reverts - FREE_REVERTS
        return 0.0 if over < 0 else find_wait(over + 1, FIRST_SECONDS, LONGEST_SECONDS)

    @property
    def calm_at(self) -> float:
        """When the other client counts as stopped."""
        return self.at + max(CALM_SECONDS, 2 * self.interval)


class Reverts:
    """The last write of each object, and how often it was repeated."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: dict[Key, dict[Identity, _Written]] = {}

    def forget(self, key: Key) -> None:
        """Forget an agent that was deleted."""
        self._written.pop(key, None)

    def is_held(self, key: Key, identity: Identity, write: str) -> bool:
        """Return whether the same was written so often that it has to wait."""
        last = self._written.get(key, {}).get(identity)
        if last is None or last.write != write:
            return False
        return self._clock() < last.at + last.interval

    def wrote(self, key: Key, identity: Identity, write: str) -> None:
        """Count a write."""
        written, now = self._written.setdefault(key, {}), self._clock()
        last = written.get(identity)
        is_revert = last is not None and last.write == write and now < last.calm_at
        written[identity] = _Written(write, last.reverts + 1 if last and is_revert else 0, now)

    def refusals(self, key: Key) -> dict[Identity, Refusal]:
        """Return the objects that another client changes again and again."""
        return {identity: _describe(identity, each) for identity, each in self._find_held(key)}

    def retry_after(self, key: Key) -> float | None:
        """Return the seconds until the next of them may be written, or is left in peace."""
        now = self._clock()
        due = [
            each.at + each.interval if now < each.at + each.interval else each.calm_at
            for _, each in self._find_held(key)
        ]
        return max(min(due) - now, 0.0) if due else None

    def _find_held(self, key: Key) -> Iterator[tuple[Identity, _Written]]:
        for identity, each in self._written.get(key, {}).items():
            if each.reverts > FREE_REVERTS and self._clock() < each.calm_at:
                yield identity, each


def _describe(identity: Identity, written: _Written) -> Refusal:
    kind, name = identity
    message = (
        f"another client has changed or deleted {kind} {name} {written.reverts} times in a row, "
        f"each of which was reverted; it is now reverted every {written.interval:.0f} s at most. "
        f"Find the client with `kubectl get {kind.lower()} {name} -o yaml --show-managed-fields` "
        "and stop it"
    )
    return Refusal("DriftFlapping", message)
