"""Parses a user's command to a rollout from the annotation `chatagent.dev/command`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from chatagent_operator.core import names

Action = Literal["promote", "abort", "pause", "resume", "retry", "skip"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class Command:
    """A command to a rollout."""

    id: str
    action: Action
    revision: str | None = None
    """The canary that it applies to; of `retry`, the failed revision. None: the current one."""
    full: bool = False
    """Of `promote`: skip all remaining steps."""


@dataclass(frozen=True)
class Unreadable:
    """An annotation that is not a valid command. It is refused once, like a command."""

    id: str
    """Digest of its text."""
    reason: str


def parse_command(text: str | None) -> Command | Unreadable | None:
    """Parse a command from its annotation."""
    if not text:
        return None
    try:
        return _parse(text)
    except ValueError as error:
        return Unreadable(names.digest(text), str(error))


def _parse(text: str) -> Command:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error}); write a JSON object") from None
    if not isinstance(raw, dict):
        raise ValueError(f"it is not a JSON object but {text!r:.60}; write a JSON object")
    fields = cast(dict[str, Any], raw)
    identifier, action, revision = (fields.get(k) for k in ("id", "action", "revision"))
    full = fields.get("full", False)
    if not isinstance(identifier, str) or not identifier:
        raise ValueError(
            f"id must be a string that is new for every command, not {identifier!r:.60}"
        )
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}, not {action!r:.60}")
    if revision is not None and not isinstance(revision, str):
        raise ValueError(f"revision must be the name of a revision, not {revision!r:.60}")
    if not isinstance(full, bool):
        raise ValueError(f"full must be true or false, not {full!r:.60}")
    if full and action != "promote":
        raise ValueError(f"full must be absent or false for {action}; it is only for promote")
    return Command(identifier, action, revision, full)
