"""What a person asks of a rollout: the annotation `chatagent.dev/command`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from chatagent_operator.core import names

Action = Literal["promote", "abort", "pause", "resume", "retry", "skip"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class Command:
    """What a person asked for."""

    id: str
    action: Action
    revision: str | None = None
    """The canary that is meant; of `retry`, the failed one. Absent: whichever there is."""
    full: bool = False
    """Of `promote`: without the steps that are left."""


@dataclass(frozen=True)
class Unreadable:
    """An annotation that is no command. It is answered once, as a command is."""

    id: str
    """Named by its text."""
    why: str


def parse_command(text: str | None) -> Command | Unreadable | None:
    """A command from its annotation."""
    if not text:
        return None
    try:
        return _parse(text)
    except ValueError as error:
        return Unreadable(names.digest(text), str(error))


def _parse(text: str) -> Command:
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError("it is not a JSON object")
    fields = cast(dict[str, Any], raw)
    identifier, action, revision = (fields.get(k) for k in ("id", "action", "revision"))
    full = fields.get("full", False)
    if not isinstance(identifier, str) or not identifier:
        raise ValueError("id must be a text that is new for every command")
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}")
    if revision is not None and not isinstance(revision, str):
        raise ValueError("revision must be the name of a revision")
    if not isinstance(full, bool) or (full and action != "promote"):
        raise ValueError("full must be true or false, and is only for promote")
    return Command(identifier, action, revision, full)
