"""An approval over the whole turn: it counts once, whoever leaves and whoever comes second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from agent_runtime.config import DialogueConfig
from agent_runtime.dialogue.intents import Intents
from agent_runtime.dialogue.manager import DialogueManager, RuleRewriter
from agent_runtime.dialogue.memory import Memory
from agent_runtime.domain import (
    Approval,
    Finish,
    Json,
    Pending,
    Piece,
    Request,
    Session,
    State,
    ToolCall,
    Turn,
    told,
)
from agent_runtime.errors import ConflictError, InvalidRequestError
from agent_runtime.pipeline import Pipeline, Reply
from agent_runtime.state.memory import MemorySessions
from agent_runtime.telemetry import Telemetry
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots
from agent_runtime.tools.step import UseTools
from agent_runtime.tools.toolbox import Toolbox
from tests.unit.runtime.fakes import HashingVectors
from tests.unit.runtime.tools.conftest import Recorded
from tests.unit.runtime.tools.shop import TICKET

ARGUMENTS: dict[str, Json] = {
    "subject": "The shade is cracked", "description": "cracked", "customer_email": "mia@example.com"
}  # fmt: skip
PENDING = Pending("p", ToolCall("1", TICKET.name, ARGUMENTS))
BEGUN = Session("c", turns=(Turn("user", "Open a ticket"), Turn("assistant", "Shall I?")))


@dataclass
class Agent:
    """A conversation that waits for an approval, and a tool that waits for `go`."""

    sessions: MemorySessions
    ticket: Recorded
    pipeline: Pipeline
    go: asyncio.Event
    called: asyncio.Event

    async def begin(self, *words: str, approve: bool | None = None, **more: Any) -> Reply:
        approval = None if approve is None else Approval("p", approve)
        turns = tuple(Turn("user", text) for text in words)
        return await self.pipeline.respond(Request(turns, "c", approval=approval, **more))

    async def say(self, *words: str, approve: bool | None = None, **more: Any) -> str:
        return (await (await self.begin(*words, approve=approve, **more)).whole()).text

    async def leave_after_the_call(self) -> None:
        reply = await self.begin(approve=True)
        assert len(self.ticket.calls) == 1
        await reply.events.aclose()


@pytest.fixture
async def agent(boxed: Callable[..., Toolbox], native: bool) -> Agent:
    go, called = asyncio.Event(), asyncio.Event()
    go.set()

    async def act(given: Mapping[str, Json]) -> Json:
        called.set()
        await go.wait()
        return {"ticket_id": "T-1"}

    async def answer(state: State) -> State:
        done = "Done." if state.results else "What can I do for you?"
        return state if state.reply else state.replying(told(*state.results, Piece(done), Finish()))

    ticket, sessions, slots = Recorded(TICKET, act), MemorySessions(60, 100), Slots()
    use = UseTools(
        boxed(ticket), Router(None, slots, 0.45), slots, native=native, approvals=sessions
    )
    vectors, as_typed = HashingVectors(), DialogueConfig(follow_ups="asIs")
    dialogue = DialogueManager(as_typed, Intents((), vectors), RuleRewriter(vectors))
    pipeline = Pipeline(Memory(sessions, 5), dialogue, [use, answer], Telemetry("r"))
    await sessions.save(Session("c", turns=BEGUN.turns, pending=PENDING))
    return Agent(sessions, ticket, pipeline, go, called)


@pytest.fixture
def native() -> bool:
    return False


async def test_a_client_that_left_during_the_call_is_not_asked_for_it_again(agent: Agent) -> None:
    await agent.leave_after_the_call()
    left = await agent.sessions.load("c")
    assert left is not None
    assert (left.pending, left.turns) == (None, BEGUN.turns)
    for approve in (True, False):
        with pytest.raises(ConflictError):
            await agent.say(approve=approve)
    assert await agent.say("no") == "What can I do for you?"
    assert await agent.say("yes") == "What can I do for you?"
    assert len(agent.ticket.calls) == 1


@pytest.mark.parametrize("approve", [True, False])
async def test_another_word_comes_too_late_while_the_call_is_made(
    agent: Agent, approve: bool
) -> None:
    # Both turns find the conversation waiting; the second is held until the first has called.
    agent.go.clear()
    second = await held_before_it_settles(agent, approve)
    first = asyncio.create_task(agent.say(approve=True))
    await agent.called.wait()
    second.go.set()
    with pytest.raises(ConflictError):
        await second.turn
    agent.go.set()
    assert await first == "Done."
    assert len(agent.ticket.calls) == 1


async def test_a_call_that_was_refused_is_not_made_by_who_approves_it_at_the_same_time(
    agent: Agent,
) -> None:
    second = await held_before_it_settles(agent, approve=True)
    assert "will not" in await agent.say(approve=False)
    second.go.set()
    with pytest.raises(ConflictError):
        await second.turn
    assert agent.ticket.calls == []


@dataclass
class Held:
    """A turn that has read the session and goes on when it is told to."""

    turn: asyncio.Task[str]
    go: asyncio.Event


async def held_before_it_settles(agent: Agent, approve: bool) -> Held:
    read, go = asyncio.Event(), asyncio.Event()
    load = agent.sessions.load

    async def loads(conversation_id: str) -> Session | None:
        session = await load(conversation_id)
        read.set()
        await go.wait()
        return session

    agent.sessions.load = loads  # pyright: ignore[reportAttributeAccessIssue]
    turn = asyncio.create_task(agent.say(approve=approve))
    await read.wait()
    agent.sessions.load = load  # pyright: ignore[reportAttributeAccessIssue]
    return Held(turn, go)


async def test_what_another_turn_waits_for_since_the_approval_stays(agent: Agent) -> None:
    agent.go.clear()
    first = asyncio.create_task(agent.say(approve=True))
    await agent.called.wait()
    found = await agent.sessions.load("c")
    assert found is not None
    other = Pending("q", PENDING.call)
    await agent.sessions.save(Session("c", turns=found.turns, pending=other, loaded=found.loaded))
    agent.go.set()
    await first
    assert ((await agent.sessions.load("c")) or BEGUN).pending == other


@pytest.mark.parametrize("native", [True])
async def test_an_approval_that_is_refused_for_its_form_is_still_to_be_given(agent: Agent) -> None:
    with pytest.raises(InvalidRequestError):
        await agent.say(approve=True, tool_choice="absent")
    assert agent.ticket.calls == []
    assert await agent.say(approve=True) == "Done."
