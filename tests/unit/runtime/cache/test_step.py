"""When an answer is given again, and when never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent_runtime.cache.answers import Answers
from agent_runtime.cache.step import KnownAnswers
from agent_runtime.config import CacheConfig
from agent_runtime.domain import (
    Approval,
    Event,
    Evidence,
    Finish,
    Pending,
    Piece,
    Principal,
    Question,
    Request,
    Sampling,
    Session,
    State,
    ToolCall,
    ToolResult,
    Turn,
    whole,
)
from agent_runtime.errors import GeneratorUnavailableError
from agent_runtime.state.memory import MemoryBlobs
from agent_runtime.telemetry import Telemetry
from tests.unit.runtime.fakes import HashingVectors


class Agent:
    """Known answers before a step that counts how often it has to work."""

    def __init__(self, reads_history: bool = True) -> None:
        self.worked = 0
        self.index = "c:1"
        self.events: list[Event] = [Piece("Three days.")]
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = False
        self.rights = "order"
        self.known = KnownAnswers(
            [self._work],
            Answers(MemoryBlobs(), CacheConfig(), lambda outcome: None),
            HashingVectors(),
            "rev-1",
            lambda: self.index,
            self._rights,
            reads_history,
            Telemetry("r"),
        )

    async def _rights(self, caller: Principal) -> str:
        return self.rights

    async def _work(self, state: State) -> State:
        self.worked += 1
        index = self.index
        await self.gate.wait()
        if self.failing:
            raise GeneratorUnavailableError("down")
        evidence = Evidence("?", np.zeros(4, np.float32), True, {}, [], index)
        return replace(state, evidence=evidence).replying(self._said())

    async def _said(self) -> AsyncGenerator[Event]:
        for event in self.events:
            yield event
        yield Finish()

    async def ask(self, text: str = "How long?", **about: Any) -> str:
        done = await self.known(state(text, **about))
        assert done.reply is not None
        return (await whole(done.reply)).text


def state(text: str, history: tuple[Turn, ...] = (), **about: Any) -> State:
    request = replace(Request((Turn("user", text),), "c"), **about)
    return State(request, Question(text, text, "en", history))


async def test_the_same_question_is_worked_on_once() -> None:
    agent = Agent()
    assert await agent.ask() == await agent.ask("how  LONG?") == "Three days."
    assert agent.worked == 1
    assert (await agent.known(state("How long?"))).cached


@pytest.mark.parametrize(
    "other",
    [
        {"principal": Principal("bob", tenant="other")},
        {"sampling": Sampling(temperature=1.0)},
        {"tool_choice": "none"},
        {"tool_choice": "required"},
        {"turns": (Turn("system", "Be rude."), Turn("user", "How long?"))},
    ],
)
async def test_in_other_circumstances_it_is_another_question(other: dict[str, Any]) -> None:
    agent = Agent()
    await agent.ask()
    await agent.ask(**other)
    assert agent.worked == 2


async def test_other_rights_and_another_index_are_other_circumstances() -> None:
    agent = Agent()
    await agent.ask()
    agent.rights = ""
    await agent.ask()
    agent.index = "c:2"
    await agent.ask()
    assert agent.worked == 3


async def test_an_answer_from_an_index_that_was_replaced_meanwhile_is_not_kept() -> None:
    agent = Agent()
    agent.gate.clear()
    asking = asyncio.create_task(agent.ask())
    await asyncio.sleep(0)
    agent.index = "c:2"
    agent.gate.set()
    await asking
    await agent.ask()
    assert agent.worked == 2


@pytest.mark.parametrize(
    "event",
    [
        ToolResult(ToolCall("1", "t", {}), "ok", "x"),
        ToolCall("1", "t", {}),
        Pending("p", ToolCall("1", "t", {})),
    ],
)
async def test_what_used_a_tool_or_waits_is_not_kept(event: Event) -> None:
    agent = Agent()
    agent.events = [event, Piece("Done.")]
    await agent.ask()
    await agent.ask()
    assert agent.worked == 2


async def test_what_may_hang_on_the_history_is_not_kept_but_may_be_found() -> None:
    before = (Turn("user", "I am Bob."), Turn("assistant", "Hi Bob."))
    agent = Agent()
    await agent.ask(history=before)
    await agent.ask(history=before)
    assert agent.worked == 2
    await agent.ask()
    await agent.ask(history=before)
    assert agent.worked == 3
    forgetful = Agent(reads_history=False)
    await forgetful.ask(history=before)
    await forgetful.ask(history=before)
    assert forgetful.worked == 1


async def test_a_conversation_that_waits_for_its_user_gets_no_known_answer() -> None:
    agent = Agent()
    await agent.ask("yes")
    waits = Session("c", pending=Pending("p", ToolCall("1", "t", {})))
    done = await agent.known(replace(state("yes"), session=waits))
    assert not done.cached


async def test_what_a_caller_s_results_went_into_is_neither_known_nor_kept() -> None:
    call = ToolCall("1", "mine", {})
    handed_in = (
        Turn("user", "How long?"),
        Turn("assistant", "", tool_calls=(call,)),
        Turn("tool", "done", tool_call_id="1"),
    )
    agent = Agent(reads_history=False)
    await agent.ask(turns=handed_in)
    await agent.ask()
    await agent.ask(turns=handed_in)
    assert agent.worked == 3


async def test_an_approval_without_messages_is_worked_on() -> None:
    agent = Agent()
    assert await agent.ask(turns=(), approval=Approval("p", approve=True)) == "Three days."


async def test_what_many_ask_at_once_is_answered_once() -> None:
    agent = Agent()
    agent.gate.clear()
    asking = [asyncio.create_task(agent.ask()) for _ in range(20)]
    await asyncio.sleep(0.01)
    agent.gate.set()
    assert set(await asyncio.gather(*asking)) == {"Three days."}
    assert agent.worked == 1


async def test_a_leader_that_fails_or_goes_away_does_not_take_the_others_along() -> None:
    agent = Agent()
    agent.gate.clear()
    leader = asyncio.create_task(agent.ask())
    await asyncio.sleep(0)
    others = [asyncio.create_task(agent.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    leader.cancel()
    await asyncio.sleep(0.01)
    agent.gate.set()
    assert set(await asyncio.gather(*others)) == {"Three days."}
    agent.failing, agent.index = True, "c:2"
    outcomes = await asyncio.gather(*(agent.ask() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(each, GeneratorUnavailableError) for each in outcomes)
