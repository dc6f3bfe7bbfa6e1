"""Known answers: the rest of the pipeline works only where there is none.

An answer is given again only in its scope: the revision, the version of the index, the tenant, the
rights, the caller's own instructions, choice of tools and sampling. Nothing is kept of a turn that
used a tool or has the results of the caller's, waits for something, or was answered with the
conversation in view. What many ask at the same time is answered once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace

from agent_runtime.cache.answers import key_of
from agent_runtime.cache.codec import cacheable
from agent_runtime.cache.flights import Flights, Lead
from agent_runtime.domain import (
    Answer,
    Event,
    Finish,
    Piece,
    Principal,
    Request,
    State,
    Step,
    Vector,
    answer_of,
)
from agent_runtime.ports import AnswerCache, Vectors
from agent_runtime.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class _Keep:
    """What a reply is kept under, and who waits for it."""

    scope: str
    question: str
    vector: Vector | None
    index: str
    lead: Lead


class KnownAnswers:
    """A step with the steps in it that it spares."""

    def __init__(
        self,
        steps: Sequence[Step],
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
        self._steps = steps
        self._cache = cache
        self._flights = Flights()
        self._vectors = vectors
        self._revision = revision
        self._index = index
        self._rights = rights
        self._reads_history = reads_history
        self._telemetry = telemetry

    async def __call__(self, state: State) -> State:
        if state.reply is not None or not _may_be_known(state):
            return await self._worked(state)
        question, index = state.question.standalone, self._index()
        with self._telemetry.phase("cache"):
            scope = self._scope(state.request, index, await self._rights(state.request.principal))
            vector = await self._vector(question)
            known = await self._cache.get(scope, question, vector)
            if known is None and not self._hangs_on_history(state):
                boarded = await self._flights.board(key_of(scope, question))
            else:
                boarded = known
        if isinstance(boarded, Answer):
            return replace(state, cached=True, reply=retold(boarded), evidence=boarded.evidence)
        if boarded is None:
            return await self._worked(state)
        try:
            done = await self._worked(state)
        except BaseException:
            boarded.abandon()
            raise
        if done.reply is None:
            boarded.alone()
            return done
        keep = _Keep(scope, question, vector, index, boarded)
        return done.replying(self._kept(done, keep, done.reply))

    async def _worked(self, state: State) -> State:
        for step in self._steps:
            state = await step(state)
        return state

    async def _kept(
        self, state: State, keep: _Keep, reply: AsyncGenerator[Event]
    ) -> AsyncGenerator[Event]:
        """Pass a reply on and keep it once it is whole. Whoever waits for it goes on alone where it
        cannot be given to others, and takes the lead where its reader has gone."""
        seen: list[Event] = []
        try:
            async with aclosing(reply) as events:
                async for event in events:
                    seen.append(event)
                    yield event
            answer = answer_of(seen)
            # A version that came while it was written: it belongs to neither for certain.
            same = state.evidence is None or state.evidence.index == keep.index == self._index()
            if same and cacheable(answer):
                keep.lead.land(answer)
                await self._cache.put(keep.scope, keep.question, keep.vector, answer)
            else:
                keep.lead.alone()
        except Exception:
            keep.lead.alone()
            raise
        finally:
            keep.lead.abandon()

    async def _vector(self, question: str) -> Vector | None:
        if not self._cache.semantic:
            return None
        return (await self._vectors.embed([question], "query"))[0]

    def _hangs_on_history(self, state: State) -> bool:
        return self._reads_history and bool(state.question.history)

    def _scope(self, request: Request, index: str, rights: str) -> str:
        theirs = [turn.content for turn in request.turns if turn.role == "system"]
        parts = [
            self._revision, index, request.principal.tenant, rights, theirs,
            request.tool_choice, asdict(request.sampling),
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
    handed_in = any(turn.role == "tool" for turn in request.turns[-1:])
    return not (request.tools or request.approval or waits or handed_in)
