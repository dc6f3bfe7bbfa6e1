"""The dialogue manager: the newest message, what it is after, and what it says on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent_runtime.config import DialogueConfig
from agent_runtime.dialogue.follow_up import focus, joined, leans_back, substitutes
from agent_runtime.dialogue.intents import Intents
from agent_runtime.domain import Question, Request, Session, Turn, conversation
from agent_runtime.errors import InvalidRequestError
from agent_runtime.ports import Vectors
from agent_runtime.text.language import language_of
from agent_runtime.text.terms import Analyzer

TAKES_THE_PLACE = 0.25
"""Lowest cosine of a thing with the one whose place it takes in the question before."""


class Rewriter(Protocol):
    """Makes a follow-up question stand alone."""

    async def __call__(self, question: str, history: Sequence[Turn]) -> str: ...


class DialogueManager:
    """Understands the newest message of a conversation."""

    def __init__(self, config: DialogueConfig, intents: Intents, rewrite: Rewriter) -> None:
        self._config = config
        self._intents = intents
        self._rewrite = rewrite

    async def understand(self, request: Request, session: Session | None) -> Question:
        """Return the question of a turn. Raises InvalidRequestError where there is none."""
        turns = conversation(request, session)
        # A word on a call that waits may come without a message: then the question stands.
        silent = request.approval is not None
        at = next((i for i in reversed(range(len(turns))) if _asks(turns[i], silent)), None)
        asked = turns[at].content.strip() if at is not None else ""
        if not asked:
            raise InvalidRequestError(
                f"{request.place}: the last user message is empty", request.place
            )
        history = recent(turns[:at], self._config.history_turns)
        waits = session is not None and session.pending is not None
        standalone = asked
        if self._config.follow_ups == "rewrite" and leans_back(asked, history):
            standalone = await self._rewrite(asked, history)
        return Question(
            asked=asked,
            standalone=standalone,
            language=language_of(asked),
            history=history,
            # "Thanks" to a question of the agent's is an answer, not small talk.
            intent=None if waits or silent else await self._intents.recognize(asked),
        )


class RuleRewriter:
    """Fills what a follow-up leaves open from the question before it."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._analyzer = Analyzer()

    async def __call__(self, question: str, history: Sequence[Turn]) -> str:
        before = await self._standing_alone([t.content for t in history if t.role == "user"])
        return await self._after(before, question)

    async def _standing_alone(self, questions: Sequence[str]) -> str:
        """Return the last question, itself made to stand alone."""
        standing = ""
        for question in questions:
            leans = standing and leans_back(question, [Turn("user", standing)])
            standing = await self._after(standing, question) if leans else question
        return standing

    async def _after(self, before: str, question: str) -> str:
        other = focus(question)
        parts = substitutes(before, self._analyzer) if other else []
        if not other or not parts or not self._vectors.reads(language_of(before)):
            return joined(before, question)
        rows = await self._vectors.embed([other, *parts], "query")
        cosines = rows[1:] @ rows[0]
        best = int(cosines.argmax())
        if cosines[best] < TAKES_THE_PLACE:
            return joined(before, question)
        return before.replace(parts[best], other, 1)


def _asks(turn: Turn, silent: bool) -> bool:
    return turn.role == "user" and (not silent or bool(turn.content.strip()))


def recent(turns: Sequence[Turn], count: int) -> tuple[Turn, ...]:
    """Return the last turns, of the user and the assistant only, oldest first."""
    said = [turn for turn in turns if turn.role in ("user", "assistant") and turn.content.strip()]
    starts = [i for i, turn in enumerate(said) if turn.role == "user"]
    if count == 0:
        return ()
    return tuple(said[starts[-count] :] if count <= len(starts) else said)
