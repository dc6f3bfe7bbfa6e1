"""Which intent a gateway follows, as it says itself. Pure.

A rollout goes on only by this: that a weight was written says nothing of what takes conversations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from chatagent_operator.core.observed.trouble import Trouble


@dataclass(frozen=True)
class PodAnswer:
    """What one gateway pod says of itself."""

    generation: int
    """Of the routes in force there."""
    reached: frozenset[str]
    """Revisions of the newest routes that it has read, whatever their weight, to whose Service a
    connection can be made from there: its endpoints are ready, and the node knows them."""


@dataclass(frozen=True)
class Applied:
    """What a gateway does: of several pods, what all that are ready have in common."""

    generation: int | None = None
    """The least generation in force. None where a ready pod does not say, or there is none."""
    reached: frozenset[str] = frozenset()
    """Revisions that every ready pod reaches."""
    behind: Mapping[str, float] = field(default_factory=dict[str, float])
    """Ready pods that do not follow the newest routes, or do not say so, and for how many seconds
    that has been seen."""
    trouble: Trouble | None = None
    """Why it does not follow, as only a Gateway of the cluster's own says, or why it could not be
    read whether that one still leads somewhere."""
    url: str | None = None
    """Where clients find it. Only of a Gateway of the cluster's own."""


def combine_answers(
    answers: Mapping[str, PodAnswer | None], behind: Mapping[str, float]
) -> Applied:
    """What the answers of all ready pods, by name, come to. None: the pod did not answer."""
    given = [answer for answer in answers.values() if answer]
    if not given or len(given) < len(answers):
        return Applied(behind=behind)
    return Applied(
        min(answer.generation for answer in given),
        frozenset.intersection(*(answer.reached for answer in given)),
        behind,
    )


def read_answer(body: Any) -> PodAnswer | None:
    """The answer of a gateway's `/applied`; None for one that names no generation."""
    if not isinstance(body, dict):
        return None
    fields = cast(Mapping[str, Any], body)
    generation, reached = fields.get("generation"), fields.get("reached")
    if not isinstance(generation, int) or generation < 0:
        return None
    names = cast(list[Any], reached) if isinstance(reached, list) else []
    return PodAnswer(generation, frozenset(name for name in names if isinstance(name, str)))
