"""What is remembered of conversations: read before a turn and written after it.

A client may send the whole conversation each time, as OpenAI's chat API has it, or only the newest
message with the conversation's id. What the client sends counts; what is missing is remembered.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from agent_runtime.domain import (
    Answer,
    Principal,
    Request,
    Session,
    State,
    Turn,
    conversation,
    newest,
    unmatched,
)
from agent_runtime.errors import InvalidRequestError, NotFoundError, StateUnavailableError
from agent_runtime.ports import Sessions
from agent_runtime.text.jsons import as_text

log = logging.getLogger(__name__)


Readable = Callable[[Sequence[Turn], Principal], Awaitable[tuple[Turn, ...]]]


class Memory:
    """Sessions, with their owners. Without a store each turn stands for itself, and says so."""

    def __init__(self, sessions: Sessions, turns: int, readable: Readable | None = None) -> None:
        """
        Args:
            turns: how many are kept: of each the user's message and the reply.
            readable: leaves out what a caller may not see any more.
        """
        self._sessions = sessions
        self._readable = readable
        self._messages = 2 * (turns + 1)

    async def recall(self, request: Request) -> tuple[Session | None, tuple[str, ...]]:
        """Return the session of the conversation, and what had to be done without.

        Raises:
            InvalidRequestError: what came of a call that nobody asked for.
            NotFoundError: the conversation is somebody else's.
            StateUnavailableError: the request answers something that has to be remembered.
        """
        try:
            session = await self._sessions.load(request.conversation_id)
        except StateUnavailableError as error:
            if request.approval is not None or unmatched(request.turns):
                raise
            log.warning("going on without the session: %s", error)
            return None, ("sessions",)
        caller = request.principal
        if session and (session.owner, session.tenant) != (caller.user, caller.tenant):
            raise NotFoundError(f"there is no conversation {request.conversation_id!r}")
        for number in unmatched(request.turns, session.turns if session else ()):
            call = request.turns[number].tool_call_id
            raise InvalidRequestError(
                f"{request.place}: an output is for the call {call!r}, which this conversation "
                "does not have",
                request.place,
            )
        if session and self._readable:
            session = replace(session, turns=await self._readable(session.turns, caller))
        return session, ()

    async def remember(self, state: State, answer: Answer) -> None:
        """Add the turn to its session."""
        request = state.request
        said = (*conversation(request, state.session), *after(answer))
        session = state.session or Session(
            request.conversation_id, request.principal.user, request.principal.tenant
        )
        # Of a known answer it is not known what it was made from.
        read = state.cached or bool(state.evidence and state.evidence.passages)
        session = replace(
            session,
            turns=newest(said, self._messages),
            pending=answer.pending,
            grounded=session.grounded or read,
        )
        try:
            await self._sessions.save(session)
        except StateUnavailableError as error:
            log.warning("the turn is not remembered: %s", error)


def after(answer: Answer) -> list[Turn]:
    """Return the turns that an answer adds: the tools' and the assistant's."""
    calls = [Turn("assistant", "", tool_calls=(result.call,)) for result in answer.tool_calls]
    results = [
        Turn("tool", as_text(result.content), tool_call_id=result.call.id)
        for result in answer.tool_calls
    ]
    pairs = [turn for pair in zip(calls, results, strict=True) for turn in pair]
    return [*pairs, Turn("assistant", answer.text, tool_calls=answer.client_calls)]
