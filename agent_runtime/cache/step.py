"""Known answers: looked up before the pipeline works, kept after it has worked.

An answer is given again only in its scope: the revision, the version of the index, the tenant, the
rights, the caller's own instructions and sampling. Nothing is kept of a turn that used a tool,
waits for something, or was answered with the conversation in view.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, replace

from agent_runtime.domain import (
    Answer,
    Event,
    Finish,
    Piece,
    Principal,
    Request,
    State,
    Vector,
    whole,
)
from agent_runtime.ports import AnswerCache, Vectors
from agent_runtime.telemetry import Telemetry


class KnownAnswers:
    """Two steps: `find` comes first in the pipeline, `keep` last."""

    def __init__(
        self,
        cache: AnswerCache,
        vectors: Vectors,
        revision: str,
        index: Callable[[], str],
        rights: Callable[[Principal], Awaitable[str]],
        reads_history: bool,
        telemetry: Telemetry,
    ) -> None:
        """
        Args:
            index: names the collection and the version in use; empty where none is loaded.
            rights: names what a caller may do.
            reads_history: an answer may hang on the turns before the question.
        """
        self._cache = cache
        self._vectors = vectors
        self._revision = revision
        self._index = index
        self._rights = rights
        self._reads_history = reads_history
        self._telemetry = telemetry

    async def find(self, state: State) -> State:
        """Reply with a known answer, if there is one."""
        if state.reply is not None or not _may_be_known(state):
            return state
        with self._telemetry.phase("cache"):
            index = self._index()
            scope = self._scope(state.request, index, await self._rights(state.request.principal))
            known = await self._cache.get(
                scope, state.question.standalone, await self._vector(state)
            )
        if known is None:
            return replace(state, scope=scope)
        return replace(state, cached=True, reply=retold(known), evidence=known.evidence)

    async def keep(self, state: State) -> State:
        """Keep the answer when it is whole."""
        hangs_on_history = self._reads_history and state.question.history
        if state.scope is None or state.cached or state.reply is None or hangs_on_history:
            return state
        return state.replying(self._kept(state, state.scope, state.reply))

    async def _kept(
        self, state: State, scope: str, reply: AsyncGenerator[Event]
    ) -> AsyncGenerator[Event]:
        seen: list[Event] = []
        async with aclosing(reply) as events:
            async for event in events:
                seen.append(event)
                yield event
        answer = await whole(_each(seen))
        # A version that came while it was written: the answer belongs to neither for certain.
        same = state.evidence is None or state.evidence.index == self._index()
        if same and _may_be_kept(answer):
            vector = await self._vector(state)
            await self._cache.put(scope, state.question.standalone, vector, answer)

    async def _vector(self, state: State) -> Vector | None:
        if not self._cache.semantic:
            return None
        return (await self._vectors.embed([state.question.standalone]))[0]

    def _scope(self, request: Request, index: str, rights: str) -> str:
        theirs = [turn.content for turn in request.turns if turn.role == "system"]
        parts = [
            self._revision, index, request.principal.tenant, rights, theirs,
            asdict(request.sampling),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


async def retold(answer: Answer) -> AsyncGenerator[Event]:
    """Reply with a whole answer, piece by piece as it was cited."""
    at = 0
    for citation in answer.citations:
        if citation.end > at:
            yield Piece(answer.text[at : citation.end], citation, answer.refusal)
            at = citation.end
        else:
            yield Piece("", citation)
    if at < len(answer.text):
        yield Piece(answer.text[at:], refusal=answer.refusal)
    yield Finish(answer.finish_reason, answer.usage)


def _may_be_known(state: State) -> bool:
    request, session = state.request, state.session
    waits = session is not None and session.pending is not None
    return not (request.tools or request.approval or waits)


def _may_be_kept(answer: Answer) -> bool:
    used = answer.tool_calls or answer.client_calls or answer.pending
    return bool(answer.text) and not used and answer.finish_reason == "stop"


async def _each(events: list[Event]) -> AsyncGenerator[Event]:
    for event in events:
        yield event
