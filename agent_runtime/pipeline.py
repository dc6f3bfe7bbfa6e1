"""One turn of the agent, on one screen.

The steps are, in this order: known answers, retrieval, tools, the generator, keeping the answer;
with a person's own steps between them. `wiring` puts them together.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from agent_runtime.dialogue.manager import DialogueManager
from agent_runtime.dialogue.memory import Memory
from agent_runtime.domain import (
    Answer,
    Event,
    Evidence,
    Finish,
    Piece,
    Question,
    Request,
    State,
    Step,
    Turn,
    answer_of,
    conversation,
    told,
    whole,
)
from agent_runtime.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is still being written. Consume `events` once; closing them ends the work."""

    events: AsyncGenerator[Event]
    question: Question
    evidence: Evidence | None
    cached: bool
    degraded: tuple[str, ...]
    """What the agent does without for now, such as `sessions`."""
    remembered: tuple[Turn, ...] = ()
    """The turns before those of the request."""

    async def whole(self) -> Answer:
        """Wait for the end and return it as one."""
        return await whole(self.events, self.evidence)


class Pipeline:
    """Answers turns. What fails before the first event is raised by `respond`."""

    def __init__(
        self,
        memory: Memory,
        dialogue: DialogueManager,
        steps: Sequence[Step],
        telemetry: Telemetry,
    ) -> None:
        self._memory = memory
        self._dialogue = dialogue
        self._steps = steps
        self._telemetry = telemetry

    async def respond(self, request: Request) -> Reply:
        """Answer the newest message.

        Raises:
            InvalidRequestError: the user said nothing, or hands in what nobody asked for.
            NotFoundError: the conversation is somebody else's.
            AgentError: what a step raises.
        """
        session, degraded = await self._memory.recall(request)
        with self._telemetry.phase("dialogue"):
            question = await self._dialogue.understand(request, session)
        state = State(request, question, session)
        if question.intent and question.intent.reply:
            state = state.replying(said(question.intent.reply))
        for step in self._steps:
            state = await step(state)
        if state.cached:
            self._telemetry.known()
        events = await begun(self._remembered(state))
        turns = conversation(request, session)
        remembered = turns[: len(turns) - len(request.turns)]
        return Reply(events, question, state.evidence, state.cached, degraded, remembered)

    async def _remembered(self, state: State) -> AsyncGenerator[Event]:
        """Pass the reply on, count it, and keep it in mind for the next turn."""
        seen: list[Event] = []
        async with aclosing(state.reply or said("")) as events:
            async for event in events:
                seen.append(event)
                if not isinstance(event, Finish):
                    yield event
        answer = answer_of(seen, state.evidence)
        self._count(state, answer)
        # Before the last event, so that a client that has seen the end can send the next turn.
        await self._memory.remember(state, answer)
        yield Finish(answer.finish_reason, answer.usage)

    def _count(self, state: State, answer: Answer) -> None:
        metrics = self._telemetry.metrics
        self._telemetry.said(state.question.asked, answer.text)
        if answer.refusal:
            metrics.no_answer()
        if not state.cached:
            metrics.tokens(answer.usage.prompt_tokens, answer.usage.completion_tokens)


async def begun(events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """Wait for the first event, so that what fails before it can still be told as an error."""
    try:
        first = await anext(events)
    except BaseException:
        await events.aclose()
        raise

    async def all_of_them() -> AsyncGenerator[Event]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return all_of_them()


def said(text: str) -> AsyncGenerator[Event]:
    """Reply with a fixed text."""
    return told(Piece(text), Finish())
