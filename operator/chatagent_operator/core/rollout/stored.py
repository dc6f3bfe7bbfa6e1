"""Reads a stored status, which another version of the operator may have written. Pure.

An invalid field must neither stop the operator nor let a rollout skip anything. So only that field
is dropped, and where a rollout could skip something without it, the rollout falls back to a safe
state: its steps start again at weight 0, or it is paused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import pydantic

from chatagent_operator.api.status import AnalysisStatus, ChatAgentStatus, RolloutStatus
from chatagent_operator.core.names import REVISION_LABEL
from chatagent_operator.core.rollout.state import mark_failed, update_rollout

Place = tuple[str | int, ...]
"""Path of a field, from the outside in."""

_ROUNDS = 10
"""More than twice the depth of the status: a round drops fields, the next what requires them."""

_PROGRESS = frozenset({"approvedWeight", "step", "weightedAt", "path", "lastCommandId"})
"""Fields of `status.rollout` without which a step could be skipped or repeated by a command."""

_KEPT = ("started_at", "last_command_id", "last_command_result")
"""Fields of `status.rollout` that are kept when the steps start again."""

_GONE: Final = object()


def read_status(raw: object) -> ChatAgentStatus:
    """Read a stored status without its invalid fields. Never raises."""
    fields: Any = dict(cast(Mapping[str, Any], raw)) if isinstance(raw, Mapping) else {}
    dropped: set[Place] = set()
    for _ in range(_ROUNDS):
        try:
            status = ChatAgentStatus.model_validate(fields)
        except pydantic.ValidationError as error:
            places = [found["loc"] for found in error.errors(include_url=False)]
            dropped |= set(places)
            rest = _drop(fields, places)
            fields = {} if rest is _GONE else rest
        else:
            return _make_safe(status, dropped)
    return ChatAgentStatus()


def _drop(value: Any, places: Sequence[Place]) -> Any:
    """Drop the values at these places. If a place is missing, the object that requires it is
    dropped."""
    inside: dict[str | int, list[Place]] = {}
    for place in places:
        if not place:
            return _GONE
        inside.setdefault(place[0], []).append(place[1:])
    children = _children(value)
    if not inside.keys() <= children.keys():
        return _GONE
    kept = {
        key: rest
        for key, child in children.items()
        if (rest := _drop(child, inside[key]) if key in inside else child) is not _GONE
    }
    return kept if isinstance(value, Mapping) else list(kept.values())


def _children(value: Any) -> Mapping[str | int, Any]:
    if isinstance(value, Mapping):
        return cast(Mapping[str | int, Any], value)
    return dict(enumerate(cast(Sequence[Any], value))) if isinstance(value, list | tuple) else {}


def _make_safe(status: ChatAgentStatus, dropped: set[Place]) -> ChatAgentStatus:
    """Replace dropped fields without which a rollout could skip something."""
    if ("stableRevision",) in dropped:
        status = status.model_copy(update={"stable_revision": _find_stable(status)})
    if ("failedRevision",) in dropped and status.history:
        last = status.history[0]
        if last.outcome in ("Failed", "Aborted"):
            status = mark_failed(status, last.revision, last.reason, last.message)
    if ("analysis", "measuredAt") in dropped:  # a measurement could be counted twice
        status = status.model_copy(update={"analysis": AnalysisStatus()})
    of_rollout = {str(place[1]) for place in dropped if place[0] == "rollout" and len(place) > 1}
    whole = {("rollout",), ("canaryRevision",)}
    if whole & dropped or _PROGRESS & of_rollout:
        kept = {name: getattr(status.rollout, name) for name in _KEPT}
        status = status.model_copy(update={"rollout": RolloutStatus(**kept)})
    if "paused" in of_rollout:  # for a reason that only a later operator knows
        status = update_rollout(status, paused="Command")
    return status


def _find_stable(status: ChatAgentStatus) -> str | None:
    """Find the stable revision elsewhere in the status. Any other would be promoted untested."""
    selected = (pair.partition("=") for pair in (status.selector or "").split(","))
    found = next((value for key, _, value in selected if key == REVISION_LABEL), None)
    promoted = (past.revision for past in status.history if past.outcome == "Promoted")
    return found or next(promoted, None)
