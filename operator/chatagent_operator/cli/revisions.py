"""Revisions by the names that people give them, and what differs between two. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from chatagent_operator.api.status import ChatAgentStatus, PastRollout
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.cli.printing import as_yaml
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.names import REVISION_LABEL

NAMES = ("stable", "canary", "failed")
SHORTEST = 4
"""Letters of a hash that are enough, where no other begins so."""


@dataclass(frozen=True)
class Kept:
    """A revision that is remembered."""

    revision: str
    """Its hash."""
    number: int
    made_at: str | None
    content: dict[str, Any]

    @property
    def image(self) -> str:
        """Its image."""
        return str(self.content.get("image", "-"))


def kept(bodies: Sequence[Manifest]) -> list[Kept]:
    """What ControllerRevisions hold, in their order."""
    return [
        Kept(
            body["metadata"].get("labels", {}).get(REVISION_LABEL, ""),
            int(body.get("revision", 0)),
            body["metadata"].get("creationTimestamp"),
            dict(body.get("data") or {}),
        )
        for body in bodies
    ]


def find(word: str, revisions: Sequence[Kept], status: ChatAgentStatus) -> Kept:
    """The revision that a person means by a hash or its beginning, a number, or a role.

    Raises:
        CommandError: none, or more than one, is meant.
    """
    known = ", ".join(f"{each.number} ({each.revision})" for each in revisions) or "none"
    if word in NAMES:
        name: str | None = getattr(status, f"{word}_revision")
        if not name:
            raise CommandError(f"there is no {word} revision; there are {known}")
        word = name
    by_hash = [each for each in revisions if each.revision == word]
    by_number = [each for each in revisions if str(each.number) == word]
    by_beginning = [
        each for each in revisions if len(word) >= SHORTEST and each.revision.startswith(word)
    ]
    found = by_hash or by_number or by_beginning
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"{word!r} is the beginning of more than one revision, of {known}")
    raise CommandError(f"no revision {word!r} is remembered; there are {known}")


def target(status: ChatAgentStatus) -> str | None:
    """The revision that the spec asks for."""
    return status.canary_revision or status.failed_revision or status.stable_revision


def before(status: ChatAgentStatus, revisions: Sequence[Kept]) -> Kept:
    """The revision to go back to: the one that served before the one that the spec asks for.

    Raises:
        CommandError: none is remembered.
    """
    present = target(status)
    by_name = {each.revision: each for each in revisions}
    bad = {name for name, past in outcomes(status).items() if past.outcome in ("Failed", "Aborted")}
    served = [past.revision for past in status.history if past.outcome == "Promoted"]
    others = [each.revision for each in revisions if each.revision not in bad]
    candidates = [status.stable_revision, *served, *others]
    for name in candidates:
        if name and name != present and name in by_name:
            return by_name[name]
    raise CommandError(
        "no revision before the present one is remembered; name one of `kubectl chatagent history`"
    )


def outcomes(status: ChatAgentStatus) -> dict[str, PastRollout]:
    """What became of each revision the last time that it was tried."""
    found: dict[str, PastRollout] = {}
    for past in status.history:
        found.setdefault(past.revision, past)
    return found


@dataclass(frozen=True)
class Change:
    """A field that differs."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_short(self.before)} → {_short(self.after)}"


def changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """The fields that differ between two values, the deepest ones that can be named."""
    # A section that is absent has no fields.
    ours, theirs = ({} if side is None else side for side in (before, after))
    if isinstance(ours, dict) and isinstance(theirs, dict) and (ours or theirs):
        for key in sorted(ours.keys() | theirs.keys()):
            place = f"{path}.{key}" if path else str(key)
            yield from changes(ours.get(key), theirs.get(key), place)
    elif before != after:
        yield Change(path, before, after)


def diff(before: Kept, after: Kept) -> str:
    """A unified diff of two revisions as YAML; empty where they are the same."""
    ours, theirs = as_yaml(before.content).splitlines(), as_yaml(after.content).splitlines()
    return "\n".join(unified_diff(ours, theirs, _title(before), _title(after), lineterm=""))


def _title(side: Kept) -> str:
    return f"revision {side.revision} (number {side.number})"


def _short(value: Any) -> str:
    if value is None:
        return "(default)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", "⏎")
    return text if len(text) <= 60 else f"{text[:59]}…"
