"""Says what is wrong with an invalid spec, and finds the last valid one to reconcile by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pydantic
from pydantic_core import ErrorDetails

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec, VersionedSpec
from chatagent_operator.core import revision
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.untrusted import clean_message
from chatagent_operator.core.view.view import find_revision

_VERSIONED = frozenset(VersionedSpec.model_fields)
_MAX_ROUNDS = 10
"""Maximum number of rounds of dropping invalid fields: first the fields, then those that require
them."""


_PLACEHOLDERS: Mapping[str, Any] = {
    "image": "unknown",
    "knowledge": {"sources": [{"name": "unknown", "configMap": {"name": "unknown"}}]},
}


def describe_errors(error: pydantic.ValidationError) -> str:
    """Return what is wrong with a spec: of each field its path, the cause and the value."""
    return clean_message("; ".join(map(_describe_error, error.errors(include_url=False))))


def _describe_error(error: ErrorDetails) -> str:
    path = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error["loc"])
    if error["type"] == "extra_forbidden":
        cause = "this operator does not know the field; remove it, or upgrade the operator"
        return f"spec{path}: {cause}"
    given = error["input"]
    value = f", not {given!r:.60}" if isinstance(given, str | int | float) else ""
    return f"spec{path}: {error['msg'].removeprefix('Value error, ')}{value}"


def find_last_readable(
    agent: str, spec: Mapping[str, Any], previous: ChatAgentStatus, observed: Observed
) -> ChatAgentSpec | None:
    """Return the spec to reconcile by; None if there is none.

    It has the previously desired revision and, if the rollout is invalid too, a paused rollout
    without its invalid fields. So a rollout in progress can still be rolled back. Other fields that
    only a later operator knows are ignored.
    """
    name = previous.canary_revision or previous.failed_revision or previous.stable_revision
    last = find_revision(agent, name or "", observed)
    if last is None:
        return None
    others = {key: value for key, value in spec.items() if key not in _VERSIONED}
    read = _read(others | last.content)
    # Another version of the operator may compute other names: then it would be a new revision.
    return read if read and revision.build_revision(read.versioned()).name == name else None


def find_weights(spec: Mapping[str, Any]) -> ChatAgentSpec | None:
    """Return what is needed of an unreadable spec to move weights: its gateway and its rollout,
    with placeholders for the rest. None if the gateway is not readable either."""
    needed = {field: spec[field] for field in ("gateway", "rollout") if field in spec}
    return _read({**_PLACEHOLDERS, **needed})


def _read(spec: Mapping[str, Any]) -> ChatAgentSpec | None:
    """Return a spec without the invalid fields of its rollout, and without those that only a later
    operator knows; None if others are invalid too."""
    for _ in range(_MAX_ROUNDS):
        try:
            return ChatAgentSpec.model_validate(spec)
        except pydantic.ValidationError as error:
            wrong = [(found["loc"], found["type"]) for found in error.errors(include_url=False)]
        others = [each for each in wrong if each[0][:1] != ("rollout",)]
        unknown = [place for place, kind in others if kind == "extra_forbidden"]
        if others and not unknown:
            return None
        for place in unknown:  # without them the other errors around them may be gone
            spec = _drop_unknown(spec, place)
        if not others:
            for place, _ in wrong:
                spec = _drop(spec, place)
            spec = {**spec, "rollout": {**spec.get("rollout", {}), "paused": True}}
    return None


def _drop_unknown(value: Any, place: Sequence[str | int]) -> Any:
    """Return a value without the field at this place. Lists that contain it stay."""
    first, *rest = place
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return {
            key: _drop_unknown(inner, rest) if key == first else inner
            for key, inner in fields.items()
            if rest or key != first
        }
    if isinstance(value, list):
        return [
            _drop_unknown(inner, rest) if rest and index == first else inner
            for index, inner in enumerate(cast(list[Any], value))
        ]
    return value


def _drop(fields: Mapping[str, Any], place: Sequence[str | int]) -> Mapping[str, Any]:
    """Return the fields without the one at this place. A list that contains it is dropped whole."""
    first, *rest = place
    inner = fields.get(str(first))
    if rest and isinstance(inner, dict) and rest[0] in inner:
        return {**fields, str(first): _drop(cast(dict[str, Any], inner), rest)}
    return {key: value for key, value in fields.items() if key != first}
