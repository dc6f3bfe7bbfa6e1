"""The status: conditions, phase and Events."""

from chatagent_operator.core.reporting.events import find_events
from chatagent_operator.core.reporting.exceptional import (
    report_aborted,
    report_invalid,
    report_refused,
    report_suspended,
)
from chatagent_operator.core.reporting.status import build_status

__all__ = [
    "build_status",
    "find_events",
    "report_aborted",
    "report_invalid",
    "report_refused",
    "report_suspended",
]
