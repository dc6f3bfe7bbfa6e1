"""The generator as a step: the prompt, calls of tools by the model itself, citations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from agent_runtime.config import LLMConfig, ToolCallsConfig
from agent_runtime.domain import (
    Event,
    Finish,
    Pending,
    Piece,
    Prompt,
    State,
    ToolCall,
    ToolResult,
    Usage,
)
from agent_runtime.llm.attribution import Attribution
from agent_runtime.llm.context import assemble
from agent_runtime.ports import Generator
from agent_runtime.telemetry import Telemetry


class Executor(Protocol):
    """Executes the calls of a model."""

    async def execute_all(
        self, calls: Sequence[ToolCall], state: State
    ) -> Sequence[ToolResult | Pending]: ...

    def question(self, pending: Pending, language: str) -> str:
        """Return the words that ask the user about a call that waits."""
        ...


class Generate:
    """Replies. What the prompt is refused for is raised at once, the rest while writing."""

    def __init__(
        self,
        generator: Generator,
        config: LLMConfig,
        tools: Executor,
        limits: ToolCallsConfig,
        attribution: Attribution,
        telemetry: Telemetry,
    ) -> None:
        self._generator = generator
        self._config = config
        self._tools = tools
        self._limits = limits
        self._attribution = attribution
        self._telemetry = telemetry

    async def __call__(self, state: State) -> State:
        if state.reply is not None:
            return state
        return state.replying(self._written(state, self._prompt(state)))

    def _prompt(self, state: State) -> Prompt:
        return assemble(state, self._config, self._generator)

    async def _written(self, state: State, prompt: Prompt) -> AsyncGenerator[Event]:
        for result in state.results:
            yield result
        text, usage = "", Usage()
        for left in reversed(range(self._limits.max_rounds + 1)):
            calls: list[ToolCall] = []
            finish = Finish()
            async with aclosing(self._round(prompt)) as events:
                async for event in events:
                    if isinstance(event, Piece):
                        text += event.text
                        yield event
                    elif isinstance(event, ToolCall):
                        calls.append(event)
                    else:
                        finish = event
            usage += finish.usage
            own, theirs = split(calls, state) if left else ([], [])
            results: list[ToolResult] = []
            outcomes = await self._tools.execute_all(own, state)
            # One that waits for the user ends the turn: what was done is told before.
            for outcome in sorted(outcomes, key=lambda each: isinstance(each, Pending)):
                yield outcome
                if isinstance(outcome, Pending):
                    yield Piece(self._tools.question(outcome, state.question.language))
                    yield Finish("stop", usage)
                    return
                results.append(outcome)
            for call in theirs:
                yield call
            if theirs:
                yield Finish("tool_calls", usage)
                return
            if not own:
                for piece in await self._cited(text, state):
                    yield piece
                yield Finish(finish.reason, usage)
                return
            state = replace(state, results=(*state.results, *results))
            # In the last round the model has to answer with what it has.
            prompt = self._prompt(state if left > 1 else replace(state, tools=()))

    async def _round(self, prompt: Prompt) -> AsyncGenerator[Piece | ToolCall | Finish]:
        with self._telemetry.phase("generate", self._generator.model) as phase:
            async with aclosing(self._generator.generate(prompt)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        phase.note("gen_ai.usage.input_tokens", event.usage.prompt_tokens)
                        phase.note("gen_ai.usage.output_tokens", event.usage.completion_tokens)
                    yield event

    async def _cited(self, text: str, state: State) -> list[Piece]:
        if self._generator.cites or state.evidence is None or not text.strip():
            return []
        with self._telemetry.phase("cite"):
            citations = await self._attribution.cite(text, state.evidence)
        return [Piece("", citation) for citation in citations]


def split(calls: Sequence[ToolCall], state: State) -> tuple[list[ToolCall], list[ToolCall]]:
    """Return the calls that the agent makes, and those that its caller has to make."""
    brought = {tool.name for tool in state.request.tools}
    own = [call for call in calls if call.name not in brought]
    return own, [call for call in calls if call.name in brought]
