"""The Python API: an agent put together from steps.

    class MyAssistant(BaseChatAgent):
        def __init__(self):
            super().__init__()
            self.add_step(RetrievalStep(vector_store="chroma://my_knowledge_base"))
            self.add_step(LLMStep(model="huggingface/google/flan-t5-large"))

    print(MyAssistant()("When will my order ship?").text)

A step is a section of AgentConfig, so that the same agent is YAML and back without loss. Steps of
your own stand between them: anything that is called with a State and returns the next one.
"""

from __future__ import annotations

import asyncio
import functools
import os
import uuid
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

import yaml
from pydantic import Field, ValidationError

from agent_runtime import own_steps, settings
from agent_runtime.background import Background
from agent_runtime.config import (
    AgentConfig,
    DialogueConfig,
    LLMConfig,
    RetrievalConfig,
    ToolCallsConfig,
    ToolConfig,
)
from agent_runtime.domain import (
    NOBODY,
    Answer,
    Approval,
    Event,
    Principal,
    Request,
    Step,
    Turn,
    whole,
)
from agent_runtime.errors import InvalidConfigError
from agent_runtime.own_steps import After, OwnStep

if TYPE_CHECKING:
    from agent_runtime.wiring.runtime import Runtime


class DialogueStep(DialogueConfig):
    """Intents, follow-ups and history. An agent without this step has the defaults."""


class RetrievalStep(RetrievalConfig):
    """Finds passages. An agent without this step searches for nothing."""


class ToolCallStep(ToolCallsConfig):
    """Lets the agent use tools."""

    tools: tuple[ToolConfig | str, ...] = Field(min_length=1)
    """What the agent can do besides answering: whole ToolConfigs, or names of entry points."""


class LLMStep(LLMConfig):
    """Writes the answer. An agent without this step answers `extractive`."""


AnyStep = DialogueStep | RetrievalStep | ToolCallStep | LLMStep | Step


class About(TypedDict, total=False):
    """What may be said of a question."""

    history: Sequence[Turn]
    """The turns before it."""
    conversation_id: str | None
    """A conversation whose turns are remembered, instead of `history`."""
    principal: Principal
    """Who asks, for the rights on tools."""
    approval: Approval | None
    """The user's word on a call that waits (`Answer.pending`)."""


class BaseChatAgent:
    """An agent in this process. It starts with the first question; `close` ends it."""

    def __init__(
        self,
        config: AgentConfig | None = None,
        *,
        models: Path | str | None = None,
        vector_store: str | None = None,
    ) -> None:
        """
        Args:
            config: an agent to begin with, as from YAML. Absent: one without steps.
            models: folder of converted models. Absent: AGENT_MODELS.
            vector_store: address of the collection. Absent: AGENT_VECTOR_STORE, else that of the
                retrieval step.
        """
        self._config = config or AgentConfig(retrieval=RetrievalConfig(when="never"))
        self._own: list[OwnStep] = [own_steps.load(each) for each in self._config.steps]
        self._after: After = "dialogue"
        self._models = Path(models) if models else None
        self._vector_store = vector_store
        self._background = Background()
        self._starting = asyncio.Lock()
        self._runtime: Runtime | None = None

    def add_step(self, step: AnyStep) -> Self:
        """Add a step. One of your own follows the one that was added before it.

        Raises:
            InvalidConfigError: the agent runs already.
        """
        if self._runtime is not None:
            raise InvalidConfigError("steps are added before the first question")
        match step:
            case DialogueStep():
                self._set("dialogue", dialogue=step)
            case RetrievalStep():
                self._set("retrieval", retrieval=step)
            case ToolCallStep():
                tools = [ToolConfig(name=t) if isinstance(t, str) else t for t in step.tools]
                limits = step.model_dump(exclude={"tools"}, exclude_unset=True)
                self._set("tools", tools=tuple(tools), tool_calls=ToolCallsConfig(**limits))
            case LLMStep():
                self._set("llm", llm=step)
            case _:
                self._own.append(OwnStep(self._after, step))
        return self

    @property
    def config(self) -> AgentConfig:
        """The agent as configuration.

        Raises:
            InvalidConfigError: a step of your own cannot be named in YAML.
        """
        steps = tuple(own_steps.describe(each) for each in self._own)
        return AgentConfig.model_validate(
            self._config.model_copy(update={"steps": steps}).model_dump(exclude_unset=True)
        )

    def to_yaml(self) -> str:
        """Return the agent as `agent-runtime serve` and `spec.pipeline` read it."""
        told = self.config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return yaml.safe_dump(told, sort_keys=False, allow_unicode=True)

    @staticmethod
    def from_yaml(
        source: str | Path, *, models: Path | str | None = None, vector_store: str | None = None
    ) -> BaseChatAgent:
        """Return the agent that a YAML text or file describes. Raises InvalidConfigError."""
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        try:
            config = AgentConfig.model_validate(yaml.safe_load(text) or {})
        except (yaml.YAMLError, ValidationError) as error:
            raise InvalidConfigError(str(error)) from error
        return BaseChatAgent(config, models=models, vector_store=vector_store)

    def __call__(self, question: str, **about: Unpack[About]) -> Answer:
        """Ask and wait for the whole answer.

        Args:
            question: the newest message.
            about: what else there is to say of it.

        Raises:
            AgentError: what went wrong, in words.
        """
        request = _request(question, **about)
        return self._background.run(self._answer(request))

    async def respond(self, question: str, **about: Unpack[About]) -> Answer:
        """Ask from a coroutine; the rest is as for a call."""
        request = _request(question, **about)
        return await self._background.awaited(self._answer(request))

    def stream(self, question: str, **about: Unpack[About]) -> Generator[Event]:
        """Ask and yield the events of the reply as they come."""
        request = _request(question, **about)
        return self._background.iterated(functools.partial(self._events, request))

    def astream(self, question: str, **about: Unpack[About]) -> AsyncGenerator[Event]:
        """Ask from a coroutine and yield the events of the reply as they come."""
        request = _request(question, **about)
        return self._background.aiterated(functools.partial(self._events, request))

    def close(self) -> None:
        """End what runs in the background."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            self._background.run(runtime.stop())
        self._background.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _answer(self, request: Request) -> Answer:
        reply = await (await self._started()).pipeline.respond(request)
        return await whole(reply.events, reply.evidence)

    async def _events(self, request: Request) -> AsyncGenerator[Event]:
        reply = await (await self._started()).pipeline.respond(request)
        async for event in reply.events:
            yield event

    async def _started(self) -> Runtime:
        # Only an agent that is asked needs what answers.
        from agent_runtime.wiring.compose import compose

        async with self._starting:
            if self._runtime is None:
                runtime = compose(self._config, self._environment(), self._own)
                await runtime.start()
                self._runtime = runtime
            return self._runtime

    def _environment(self) -> settings.Environment:
        environment = settings.read(os.environ)
        return replace(
            environment,
            models=self._models or environment.models,
            vector_store=self._vector_store or environment.vector_store,
        )

    def _set(self, after: After, **sections: object) -> None:
        self._config = self._config.model_copy(update=sections)
        self._after = after


def _request(
    question: str,
    history: Sequence[Turn] = (),
    conversation_id: str | None = None,
    principal: Principal = NOBODY,
    approval: Approval | None = None,
) -> Request:
    return Request(
        turns=(*history, Turn("user", question)),
        conversation_id=conversation_id or str(uuid.uuid4()),
        principal=principal,
        approval=approval,
    )
