"""Finds revisions by hash, number or role, and the differences between two. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from chatagent_operator.api.status import ChatAgentStatus, PastRollout
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.cli.printing import format_yaml
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.names import REVISION_LABEL

NAMES = ("stable", "canary", "failed")
MIN_PREFIX = 4
"""Shortest prefix of a hash that names a revision."""


@dataclass(frozen=True)
class StoredRevision:
    """A revision that is stored as a ControllerRevision."""

    revision: str
    """Hash of its content."""
    number: int
    created_at: str | None
    content: dict[str, Any]

    @property
    def image(self) -> str:
        """Image of the runtime."""
        return str(self.content.get("image", "-"))


def read_revisions(bodies: Sequence[Manifest]) -> list[StoredRevision]:
    """Read revisions from ControllerRevisions, in their order."""
    return [
        StoredRevision(
            body["metadata"].get("labels", {}).get(REVISION_LABEL, ""),
            int(body.get("revision", 0)),
            body["metadata"].get("creationTimestamp"),
            dict(body.get("data") or {}),
        )
        for body in bodies
    ]


def find_revision(
    word: str, revisions: Sequence[StoredRevision], status: ChatAgentStatus
) -> StoredRevision:
    """Find a revision by its hash or a prefix of it, its number, or its role.

    Raises:
        CommandError: no revision matches, or more than one.
    """
    known = ", ".join(f"{each.number} ({each.revision})" for each in revisions) or "none"
    if word in NAMES:
        name: str | None = getattr(status, f"{word}_revision")
        if not name:
            raise CommandError(f"the agent has no {word} revision; its revisions are {known}")
        word = name
    by_hash = [each for each in revisions if each.revision == word]
    by_number = [each for each in revisions if str(each.number) == word]
    by_prefix = [
        each for each in revisions if len(word) >= MIN_PREFIX and each.revision.startswith(word)
    ]
    found = by_hash or by_number or by_prefix
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"{word!r} is ambiguous; the revisions are {known}")
    raise CommandError(f"revision {word!r} not found; the revisions are {known}")


def desired_revision(status: ChatAgentStatus) -> str | None:
    """Return the desired revision: the one that the spec describes."""
    return status.canary_revision or status.failed_revision or status.stable_revision


def find_previous(status: ChatAgentStatus, revisions: Sequence[StoredRevision]) -> StoredRevision:
    """Find the previous revision: the one that was stable before the desired one.

    Raises:
        CommandError: none is stored.
    """
    current = desired_revision(status)
    by_name = {each.revision: each for each in revisions}
    bad = {
        name
        for name, past in last_rollouts(status).items()
        if past.outcome in ("Failed", "Aborted")
    }
    served = [past.revision for past in status.history if past.outcome == "Promoted"]
    others = [each.revision for each in revisions if each.revision not in bad]
    candidates = [status.stable_revision, *served, *others]
    for name in candidates:
        if name and name != current and name in by_name:
            return by_name[name]
    raise CommandError(
        "no previous revision is stored; name one with --to-revision, "
        "see `kubectl chatagent history`"
    )


def last_rollouts(status: ChatAgentStatus) -> dict[str, PastRollout]:
    """Return the last rollout of each revision."""
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
        return f"{self.path}: {_shorten(self.before)} → {_shorten(self.after)}"


def find_changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Find the fields that differ between two values, as deep as they have names."""
    # A section that is absent has no fields.
    ours, theirs = ({} if side is None else side for side in (before, after))
    if isinstance(ours, dict) and isinstance(theirs, dict) and (ours or theirs):
        for key in sorted(ours.keys() | theirs.keys()):
            place = f"{path}.{key}" if path else str(key)
            yield from find_changes(ours.get(key), theirs.get(key), place)
    elif before != after:
        yield Change(path, before, after)


def diff_revisions(before: StoredRevision, after: StoredRevision) -> str:
    """Return a unified diff of two revisions as YAML; empty if they are equal."""
    ours, theirs = format_yaml(before.content).splitlines(), format_yaml(after.content).splitlines()
    return "\n".join(
        unified_diff(ours, theirs, _format_title(before), _format_title(after), lineterm="")
    )


def _format_title(side: StoredRevision) -> str:
    return f"revision {side.revision} (number {side.number})"


def _shorten(value: Any) -> str:
    if value is None:
        return "(default)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", "⏎")
    return text if len(text) <= 60 else f"{text[:59]}…"
