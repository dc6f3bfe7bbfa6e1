"""Conditions as data: their types, and how a new look changes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from chatagent_operator.api.status import Condition

Status = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The aspects that a ChatAgent reports, in the order in which a person reads them."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    WORKLOADS_READY = "WorkloadsReady"
    VECTOR_STORE_READY = "VectorStoreReady"
    INDEX_READY = "IndexReady"
    CACHE_READY = "CacheReady"
    GATEWAY_READY = "GatewayReady"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    """These two are there only while they hold, as kstatus has it."""


@dataclass(frozen=True)
class Finding:
    """What one look found of one aspect."""

    type: ConditionType
    status: Status
    reason: str
    message: str = ""

    @property
    def is_true(self) -> bool:
        """The aspect holds."""
        return self.status == "True"


def merge(
    previous: Iterable[Condition], findings: Iterable[Finding], generation: int, now: str
) -> tuple[Condition, ...]:
    """Conditions after a look. A transition time changes only where the status does."""
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
