"""The intent that a gateway has applied, as it reports it. Pure.

Only this continues a rollout: a weight that was written need not be applied yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.untrusted import read_count


@dataclass(frozen=True)
class PodAnswer:
    """The state that one gateway pod reports."""

    generation: int
    """Generation of the applied routes."""
    reached: frozenset[str]
    """Revisions of the newest routes, whatever their weight, whose Service the pod can connect to:
    its endpoints are ready, and the node has them."""


@dataclass(frozen=True)
class Applied:
    """The state of a gateway: what all of its ready pods have in common."""

    generation: int | None = None
    """The lowest applied generation. None: a ready pod does not respond, or there is none."""
    reached: frozenset[str] = frozenset()
    """Revisions that every ready pod can connect to."""
    behind: Mapping[str, float] = field(default_factory=dict[str, float])
    """Ready pods that have not applied the newest routes, or do not respond, with the seconds since
    that was first observed."""
    trouble: Trouble | None = None
    """Why the HTTPRoute is not accepted, or why it could not be read. Only with the Gateway API."""
    url: str | None = None
    """URL for clients. Only with the Gateway API."""


def combine_answers(
    answers: Mapping[str, PodAnswer | None], behind: Mapping[str, float]
) -> Applied:
    """Combine the answers of all ready pods, by name. None: the pod did not respond."""
    given = [answer for answer in answers.values() if answer]
    if not given or len(given) < len(answers):
        return Applied(behind=behind)
    return Applied(
        min(answer.generation for answer in given),
        frozenset.intersection(*(answer.reached for answer in given)),
        behind,
    )


def read_answer(fields: Mapping[str, Any]) -> PodAnswer | None:
    """Read the response of a gateway's `/applied`; None if it has no generation."""
    generation, reached = read_count(fields.get("generation")), fields.get("reached")
    if generation is None:
        return None
    names = cast(list[Any], reached) if isinstance(reached, list) else []
    return PodAnswer(generation, frozenset(name for name in names if isinstance(name, str)))
