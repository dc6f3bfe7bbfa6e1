"""Conditions: their types, and how a reconciliation changes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from chatagent_operator.api.status import Condition

Status = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """Types of conditions, in the order in which they are listed."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    WORKLOADS_READY = "WorkloadsReady"
    VECTOR_STORE_READY = "VectorStoreReady"
    INDEX_READY = "IndexReady"
    CACHE_READY = "CacheReady"
    GATEWAY_READY = "GatewayReady"
    PROGRESSING = "Progressing"
    PROMOTED = "Promoted"
    PAUSED = "Paused"
    DEGRADED = "Degraded"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    """RECONCILING and STALLED exist only while they are true, as kstatus requires."""


@dataclass(frozen=True)
class Finding:
    """The state of one condition as a reconciliation found it."""

    type: ConditionType
    status: Status
    reason: str
    message: str = ""

    @property
    def is_true(self) -> bool:
        """Whether the status is True."""
        return self.status == "True"


def merge(
    previous: Iterable[Condition], findings: Iterable[Finding], generation: int, now: str
) -> tuple[Condition, ...]:
    """Return the conditions after a reconciliation. A transition time changes only where the status
    does."""
    before = {condition.type: condition for condition in previous}
    return tuple(
        Condition(
            type=finding.type,
            status=finding.status,
            observed_generation=generation,
            last_transition_time=(
                old.last_transition_time
                if (old := before.get(finding.type)) and old.status == finding.status
                else now
            ),
            reason=finding.reason,
            message=finding.message,
        )
        for finding in findings
    )
