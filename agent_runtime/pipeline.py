"""One turn of the agent, on one screen: the question, its evidence, the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from agent_runtime.domain import Piece, Turn
from agent_runtime.errors import InvalidRequestError
from agent_runtime.ports import Generator, Retriever
from agent_runtime.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is still being written. Consume `pieces` once."""

    pieces: AsyncIterator[Piece]


class Pipeline:
    """Retrieval, then the generator. What fails before the first piece is raised by `respond`."""

    def __init__(self, retriever: Retriever, generator: Generator, telemetry: Telemetry) -> None:
        self._retriever = retriever
        self._generator = generator
        self._telemetry = telemetry

    async def respond(self, turns: Sequence[Turn]) -> Reply:
        """Answer the last turn of the user.

        Raises:
            InvalidRequestError: the user said nothing.
            AgentError: what retrieval raises.
        """
        question = question_of(turns)
        with self._telemetry.retrieval():
            evidence = await self._retriever.retrieve(question)
        return Reply(self._counted(self._generator.generate(evidence)))

    async def _counted(self, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
        async for piece in pieces:
            if piece.refusal:
                self._telemetry.no_answer()
            yield piece


def question_of(turns: Sequence[Turn]) -> str:
    """Return what the user asked last. Raises InvalidRequestError."""
    asked = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
    if not asked.strip():
        raise InvalidRequestError("messages: the last user message is empty", "messages")
    return asked.strip()
