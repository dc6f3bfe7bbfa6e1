"""The spec to go by where the present one cannot be read: the last one, as far as it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pydantic

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec, VersionedSpec
from chatagent_operator.core import revision
from chatagent_operator.core.observed.objects import Observed
from chatagent_operator.core.view.view import find_revision

_VERSIONED = frozenset(VersionedSpec.model_fields)
_MAX_ROUNDS = 10
"""Rounds in which a spec is freed of what cannot be read: fields first, then what they lack."""


def find_last_readable(
    agent: str, spec: Mapping[str, Any], previous: ChatAgentStatus, observed: Observed
) -> ChatAgentSpec | None:
    """Return the spec to go by; None where there is none.

    It has the previously desired revision and, where that is not enough, a paused rollout without
    those of its fields that cannot be read. What was accepted continues and can be rolled back.
    """
    name = previous.canary_revision or previous.failed_revision or previous.stable_revision
    present = find_revision(agent, name or "", observed)
    if present is None:
        return None
    others = {key: value for key, value in spec.items() if key not in _VERSIONED}
    read = _read(others | present.content)
    # Another operator may have named it by other rules: then it would be a new revision.
    return read if read and revision.build_revision(read.versioned()).name == name else None


def _read(spec: Mapping[str, Any]) -> ChatAgentSpec | None:
    """Return a spec without what of its rollout cannot be read; None where more is wrong."""
    for _ in range(_MAX_ROUNDS):
        try:
            return ChatAgentSpec.model_validate(spec)
        except pydantic.ValidationError as error:
            wrong = [found["loc"] for found in error.errors(include_url=False)]
        if any(place[:1] != ("rollout",) for place in wrong):
            return None
        for place in wrong:
            spec = _drop(spec, place)
        spec = {**spec, "rollout": {**spec.get("rollout", {}), "paused": True}}
    return None


def _drop(fields: Mapping[str, Any], place: Sequence[str | int]) -> Mapping[str, Any]:
    """Return the fields without the one at this place; a list that it is in goes as a whole."""
    first, *rest = place
    inner = fields.get(str(first))
    if rest and isinstance(inner, dict) and rest[0] in inner:
        return {**fields, str(first): _drop(cast(dict[str, Any], inner), rest)}
    return {key: value for key, value in fields.items() if key != first}
