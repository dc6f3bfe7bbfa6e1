"""The state of a turn on its way through the pipeline. Each step returns the next state."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from agent_runtime.domain.conversation import Pending, Question, Session, ToolCall
from agent_runtime.domain.reply import (
    Answer,
    Citation,
    Event,
    Evidence,
    Finish,
    Piece,
    Request,
    ToolResult,
    ToolSpec,
)


@dataclass(frozen=True, slots=True)
class State:
    """What is known of the turn so far."""

    request: Request
    question: Question
    session: Session | None = None
    evidence: Evidence | None = None
    tools: tuple[ToolSpec, ...] = ()
    """Tools that the generator may call by itself."""
    handed_in: tuple[ToolResult, ...] = ()
    """What the caller hands in of the calls that it was told to make. The generator reads it; it
    is nothing that the agent did."""
    results: tuple[ToolResult, ...] = ()
    """What the agent called already in this turn."""
    reply: AsyncGenerator[Event] | None = None
    """The reply, once a step gives one. The steps after it leave it, or wrap it."""
    cached: bool = False
    """The reply is a known answer."""

    def replying(self, reply: AsyncGenerator[Event]) -> State:
        """Return the state with a reply."""
        return replace(self, reply=reply)


class Step(Protocol):
    """A part of the pipeline. A step of your own looks the same.

    It gets the state and returns the next one, with `dataclasses.replace`. Where `state.reply` is
    set already, it returns the state as it is, or wraps the reply to change it.
    """

    async def __call__(self, state: State, /) -> State: ...


async def told(*events: Event) -> AsyncGenerator[Event]:
    """Reply with events that are there already."""
    for event in events:
        yield event


async def whole(events: AsyncIterator[Event], evidence: Evidence | None = None) -> Answer:
    """Consume a reply and return it as one."""
    return answer_of([event async for event in events], evidence)


def answer_of(events: Iterable[Event], evidence: Evidence | None = None) -> Answer:
    """Return the events of a reply as one."""
    text: list[str] = []
    citations: list[Citation] = []
    results: list[ToolResult] = []
    calls: list[ToolCall] = []
    pending: Pending | None = None
    finish, refusal = Finish(), False
    for event in events:
        match event:
            case Piece():
                text.append(event.text)
                citations += [event.citation] if event.citation else []
                refusal = refusal or event.refusal
            case ToolResult():
                results.append(event)
            case ToolCall():
                calls.append(event)
            case Pending():
                pending = event
            case Finish():
                finish = event
    return Answer(
        text="".join(text),
        citations=tuple(citations),
        tool_calls=tuple(results),
        client_calls=tuple(calls),
        pending=pending,
        usage=finish.usage,
        finish_reason=finish.reason,
        refusal=refusal,
        evidence=evidence,
    )
