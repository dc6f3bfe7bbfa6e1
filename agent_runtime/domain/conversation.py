"""A conversation: who asks, what was said, what is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent_runtime.domain.documents import Json

ANONYMOUS = "system:anonymous"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    user: str = ANONYMOUS
    groups: tuple[str, ...] = ()
    tenant: str = ""
    """Answers and conversations of one tenant are never seen by another."""
    token: str | None = field(default=None, repr=False, compare=False)
    """The bearer token that proved it, for tools that act in the user's name."""

    @property
    def anonymous(self) -> bool:
        return self.user == ANONYMOUS


NOBODY = Principal()
"""Whoever did not say who they are."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool with the arguments that it is to be called with."""

    id: str
    name: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that the assistant asked for."""
    tool_call_id: str | None = None
    """For `tool`: the call whose result this is."""


def unmatched(turns: Sequence[Turn], before: Sequence[Turn] = ()) -> list[int]:
    """Return where outputs of tools stand that no turn before them asked for."""
    asked = {call.id for turn in before for call in turn.tool_calls}
    found: list[int] = []
    for number, turn in enumerate(turns):
        asked.update(call.id for call in turn.tool_calls)
        if turn.role == "tool" and turn.tool_call_id not in asked:
            found.append(number)
    return found


def newest(turns: Sequence[Turn], keep: int) -> tuple[Turn, ...]:
    """Return the last turns, and the question that they are about where it is further back: a
    model may call many functions for one."""
    kept = tuple(turns[-keep:]) if keep else ()
    if not kept or any(turn.role == "user" for turn in kept):
        return kept
    asked = [turn for turn in turns if turn.role == "user"][-1:]
    return (*asked, *kept[len(asked) :])


@dataclass(frozen=True, slots=True)
class Sampling:
    """How words are chosen, as a request asks for it. None: as the agent is configured."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None


AS_CONFIGURED = Sampling()


@dataclass(frozen=True, slots=True)
class Pending:
    """A call that waits for the user: for approval, or for arguments that are missing."""

    id: str
    call: ToolCall
    missing: tuple[str, ...] = ()
    """Required arguments that nobody has named yet. Empty: it waits for approval."""
    asked: int = 1
    """How often the user was asked."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The user's word on a pending call."""

    id: str
    approve: bool


@dataclass(frozen=True, slots=True)
class Session:
    """What is remembered of a conversation between its turns."""

    conversation_id: str
    owner: str = ANONYMOUS
    tenant: str = ""
    turns: tuple[Turn, ...] = ()
    pending: Pending | None = None
    grounded: bool = False
    """Text of documents was in the context of a turn. Any reply since may carry some of it."""
    loaded: Session | None = field(default=None, repr=False, compare=False)
    """As the store gave it. What differs from it is what this turn changed, so that of two turns
    at the same time neither undoes the other."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a message is after. `score` is 0 to 1."""

    name: str
    score: float
    retrieval: bool = True
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What the user wants to know, after the dialogue manager has looked at it."""

    asked: str
    """As it was typed."""
    standalone: str
    """The same without needing the turns before it."""
    language: str
    """ISO 639-1."""
    history: tuple[Turn, ...] = ()
    """The turns before it that count, oldest first, users and assistants only."""
    intent: Intent | None = None

    @property
    def follow_up(self) -> bool:
        """Whether it had to be rewritten."""
        return self.standalone != self.asked
