"""The request for measurements of an agent: two revisions over one window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from chatagent_operator.api.rollout import Analysis
from chatagent_operator.api.status import WindowStatus
from chatagent_operator.core.judging.analysis import Reading


@dataclass(frozen=True)
class Wanted:
    """Two revisions to be compared from now on."""

    canary: str
    stable: str
    window: str
    """`status.rollout.weighted_at`: each weight has its own window."""
    interval: float
    """Seconds between two readings."""
    addresses: Mapping[str, tuple[str, ...]]
    """IPs of the pods, by revision."""
    analysis: Analysis
    namespace: str
    agent: str
    kept: WindowStatus | None = None
    """The start of the measurements in this window, if it is stored."""
    measured_at: str | None = None
    """Time of the last measurement in this window."""

    @property
    def revisions(self) -> dict[str, str]:
        """Both revisions, by what messages call them."""
        return {"the new revision": self.canary, "the stable revision": self.stable}


class Source(Protocol):
    """A source of the metrics of one window."""

    async def begin(self, wanted: Wanted) -> bool:
        """Record the state at the start of the window. Returns whether it continues the stored
        one."""
        ...

    def keep(self, wanted: Wanted, began_at: str) -> WindowStatus:
        """Return what another replica continues the window with."""
        ...

    async def read(self, wanted: Wanted, at: str) -> Reading:
        """Take a reading. It contains the errors that occurred."""
        ...
