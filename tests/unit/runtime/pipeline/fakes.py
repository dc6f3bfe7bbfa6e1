"""A generator whose words are in the test's hands, and what a pipeline needs around it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from agent_runtime.domain import (
    Finish,
    Pending,
    Piece,
    Prompt,
    Session,
    State,
    ToolCall,
    ToolResult,
    Usage,
)
from agent_runtime.errors import StateUnavailableError

Script = Sequence[Sequence[Piece | ToolCall]]


class ScriptedGenerator:
    """Says one line of a script for each time that it is asked."""

    model = "scripted"
    calls_tools = True
    cites = False
    reads_history = True
    context_tokens = 4096

    def __init__(self, *script: Sequence[Piece | ToolCall]) -> None:
        self.script = list(script)
        self.prompts: list[Prompt] = []
        self.closed = 0

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Piece | ToolCall | Finish]:
        self.prompts.append(prompt)
        try:
            for event in self.script[min(len(self.prompts), len(self.script)) - 1]:
                yield event
            yield Finish("stop", Usage(10, 2))
        finally:
            self.closed += 1

    async def warm_up(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Tools:
    """Does what it is told, unless the call is one to be approved."""

    def __init__(self, approve: str | None = None) -> None:
        self.approve = approve
        self.executed: list[ToolCall] = []

    async def execute_all(
        self, calls: Sequence[ToolCall], state: State
    ) -> list[ToolResult | Pending]:
        return [self._execute(call) for call in calls]

    def question(self, pending: Pending, language: str) -> str:
        return f"May I {pending.call.name}?"

    def _execute(self, call: ToolCall) -> ToolResult | Pending:
        if call.name == self.approve:
            return Pending("p", call)
        self.executed.append(call)
        return ToolResult(call, "ok", {"done": call.name})


class Sessions:
    """Sessions in memory, or a store that is away."""

    def __init__(self, away: bool = False) -> None:
        self.away = away
        self.kept: dict[str, Session] = {}

    async def load(self, conversation_id: str) -> Session | None:
        if self.away:
            raise StateUnavailableError("away")
        return self.kept.get(conversation_id)

    async def save(self, session: Session) -> None:
        if self.away:
            raise StateUnavailableError("away")
        self.kept[session.conversation_id] = session

    async def delete(self, conversation_id: str) -> None:
        self.kept.pop(conversation_id, None)
