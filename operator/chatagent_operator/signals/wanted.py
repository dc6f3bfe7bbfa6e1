"""What is measured for an agent: two revisions over one window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from chatagent_operator.api.rollout import Analysis
from chatagent_operator.core.judging.analysis import Reading


@dataclass(frozen=True)
class Wanted:
    """Two revisions that are to be compared from now on."""

    canary: str
    stable: str
    window: str
    """`status.rollout.weighted_at`: each weight has a window of its own."""
    interval: float
    """Seconds between two readings."""
    addresses: Mapping[str, tuple[str, ...]]
    """IPs of the pods, by revision."""
    analysis: Analysis
    namespace: str
    agent: str

    @property
    def revisions(self) -> dict[str, str]:
        """Both, by what they are called in a sentence."""
        return {"the new revision": self.canary, "the stable revision": self.stable}


class Source(Protocol):
    """Where the numbers of one window come from."""

    async def begin(self, wanted: Wanted) -> None:
        """Note what there was when the window began."""
        ...

    async def read(self, wanted: Wanted, at: str) -> Reading:
        """Take a reading. What goes wrong stands in it."""
        ...
