"""Arithmetic with the times in a status. Pure: the current time is always passed in."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast

from chatagent_operator.api.status import ChatAgentStatus, StatusModel

TOLERANCE_SECONDS = 10.0
"""How much the clocks of two nodes may differ."""
RECORDS = frozenset({"began_at", "ended_at", "measured_at", "started_at"})
"""Times that nothing is waited for: they say what was, and some name a measurement or a Job."""
_ENDINGS = ("_at", "since", "_time")

M = TypeVar("M", bound=StatusModel)


def elapsed(since: str, now: str) -> float:
    """Return the seconds between two RFC 3339 times."""
    return (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()


def replace_future_times(status: ChatAgentStatus, now: str) -> ChatAgentStatus:
    """Replace the times in the future that something waits for by the current one.

    They were written before a clock was set back. The wait starts again, once, instead of taking as
    much longer as the clock was set back.
    """
    return _replace(status, now)


def _replace(model: M, now: str) -> M:
    changes = dict[str, Any]()
    for name in list_times(type(model)):
        value = getattr(model, name)
        if value is not None and elapsed(value, now) < -TOLERANCE_SECONDS:
            changes[name] = now
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, StatusModel):
            new = _replace(value, now)
        elif isinstance(value, tuple) and value and isinstance(value[0], StatusModel):
            models = cast(tuple[StatusModel, ...], value)
            found = tuple(_replace(each, now) for each in models)
            is_same = all(a is b for a, b in zip(models, found, strict=True))
            new = models if is_same else found
        else:
            continue
        if new is not value:
            changes[name] = new
    return model.model_copy(update=changes) if changes else model


@cache
def list_times(model: type[StatusModel]) -> tuple[str, ...]:
    """List the fields of a model with times that something waits for."""
    return tuple(
        name for name in model.model_fields if name.endswith(_ENDINGS) and name not in RECORDS
    )
