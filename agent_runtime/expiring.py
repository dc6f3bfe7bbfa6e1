"""A mapping that forgets: what is too old, and what was used least recently where it is full."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Expiring(Generic[K, V]):
    """At most `entries` values, and at most `weight` of them together by what `put` says."""

    def __init__(
        self,
        entries: int,
        weight: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries = entries
        self._weight = weight
        self._clock = clock
        self._held = 0
        self._kept: OrderedDict[K, tuple[V, float, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return a value that is not too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            self.pop(key)
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, seconds: float, weight: int = 0) -> None:
        """Keep a value for so long."""
        self.pop(key)
        self._kept[key] = (value, self._clock() + seconds, weight)
        self._held += weight
        while len(self._kept) > self._entries or (self._weight and self._held > self._weight):
            self.pop(next(iter(self._kept)))

    def pop(self, key: K) -> V | None:
        """Forget a value and return it where it is not too old."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        self._held -= found[2]
        return found[0] if found[1] > self._clock() else None

    def __len__(self) -> int:
        return len(self._kept)
