"""The rollout's state machine: which revision is stable, which is tried, and what a command does.

State lives in the ChatAgent's status and nowhere else. A new revision is a candidate until it is
ready; the first one ever becomes stable by being ready, every other one waits at the canary
weight for a person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

Action = Literal["promote", "abort"]


class InvalidCommandError(ValueError):
    """The command annotation is not one; the message says what is wrong with it."""


@dataclass(frozen=True)
class Command:
    """What a person asked for."""

    id: str
    action: Action
    revision: str | None = None
    """The canary that is meant. Absent: whichever there is."""


@dataclass(frozen=True)
class Notice:
    """Something that a person should read as an Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class State:
    """What must be remembered between two looks."""

    stable: str | None = None
    canary: str | None = None
    failed: str | None = None
    started_at: str | None = None
    last_command_id: str | None = None
    last_command_result: str | None = None


@dataclass(frozen=True)
class Decision:
    """The next state, the weight that the canary should have now, and what to tell."""

    state: State
    weight: int = 0
    notices: tuple[Notice, ...] = field(default=())

    @property
    def live(self) -> tuple[str, ...]:
        """Revisions that have pods, the stable one first."""
        return tuple(r for r in (self.state.stable, self.state.canary) if r)


def parse_command(text: str | None) -> Command | None:
    """A command from its annotation.

    Raises:
        InvalidCommandError: it is not a command.
    """
    if not text:
        return None
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise InvalidCommandError(f"it is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise InvalidCommandError("it is not a JSON object")
    fields = cast(dict[str, Any], raw)
    identifier, action, revision = (fields.get(k) for k in ("id", "action", "revision"))
    if not isinstance(identifier, str) or not identifier:
        raise InvalidCommandError("id must be a text that is new for every command")
    if action not in ("promote", "abort"):
        raise InvalidCommandError("action must be promote or abort")
    if revision is not None and not isinstance(revision, str):
        raise InvalidCommandError("revision must be the name of a revision")
    return Command(identifier, action, revision)


def advance(
    state: State,
    target: str,
    ready: frozenset[str],
    command: Command | None,
    canary_weight: int,
    now: str,
) -> Decision:
    """One step.

    Args:
        state: what was decided before.
        target: the revision that the spec asks for.
        ready: revisions that could serve: pods available, index built, address known.
        command: the last command, new or already carried out.
        canary_weight: percent of the new conversations for a ready canary.
        now: time of this look, RFC 3339.
    """
    notices: list[Notice] = []
    state = _follow_target(state, target, now, notices)
    if command and command.id != state.last_command_id:
        state = _obey(state, command, ready, notices)
    if state.stable is None and state.canary in ready:
        notices.append(Notice("Normal", "Serving", f"revision {state.canary} serves"))
        state = replace(state, stable=state.canary, canary=None, started_at=None)
    serving = state.stable is not None and state.canary in ready
    return Decision(state, canary_weight if serving else 0, tuple(notices))


def _follow_target(state: State, target: str, now: str, notices: list[Notice]) -> State:
    if target != state.failed:
        state = replace(state, failed=None)
    if target in (state.stable, state.failed):
        if state.canary:
            notices.append(
                Notice("Normal", "CanaryWithdrawn", f"revision {state.canary} is asked for no more")
            )
        return replace(state, canary=None, started_at=None)
    if target == state.canary:
        return state
    if state.stable:
        notices.append(
            Notice("Normal", "CanaryStarted", f"revision {target} starts beside {state.stable}")
        )
    return replace(state, canary=target, started_at=now)


def _obey(state: State, command: Command, ready: frozenset[str], notices: list[Notice]) -> State:
    refusal = _refusal(state, command, ready)
    if refusal:
        notices.append(Notice("Warning", "CommandRefused", f"{command.action}: {refusal}"))
        result = f"refused: {refusal}"
    elif command.action == "promote":
        notices.append(Notice("Normal", "Promoted", f"revision {state.canary} is stable now"))
        result = f"promoted {state.canary}"
        state = replace(state, stable=state.canary, canary=None, started_at=None)
    else:
        notices.append(
            Notice("Warning", "Aborted", f"revision {state.canary} was aborted by command")
        )
        result = f"aborted {state.canary}"
        state = replace(state, failed=state.canary, canary=None, started_at=None)
    return replace(state, last_command_id=command.id, last_command_result=result)


def _refusal(state: State, command: Command, ready: frozenset[str]) -> str | None:
    if state.canary is None:
        return "there is no canary"
    if command.revision not in (None, state.canary):
        return f"revision {command.revision} is not the canary, {state.canary} is"
    if state.stable is None:
        return "the first revision is not ready yet and there is nothing to go back to"
    if command.action == "promote" and state.canary not in ready:
        return f"revision {state.canary} is not ready"
    return None
