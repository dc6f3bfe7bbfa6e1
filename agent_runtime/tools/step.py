"""The pipeline's step for tools. What waits for the user comes first. Then a generator with
function calling is given the tools; for any other one is chosen, its arguments filled, and called.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import orjson

from agent_runtime.domain import (
    Approval,
    Event,
    Finish,
    Json,
    Pending,
    Piece,
    Session,
    State,
    ToolCall,
    ToolResult,
    ToolSpec,
    Turn,
    conversation,
    told,
)
from agent_runtime.errors import ConflictError, InvalidRequestError
from agent_runtime.ports import Approvals
from agent_runtime.text.language import Language, language_of
from agent_runtime.tools import forms, replies
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots, question
from agent_runtime.tools.toolbox import Toolbox

MOST_QUESTIONS = 2
"""How often the user is asked for what is missing."""


def today() -> date:
    """Return the day that "tomorrow" is counted from."""
    return datetime.now(UTC).date()


class UseTools:
    """Chooses and calls tools, or lets the generator do so."""

    def __init__(
        self,
        toolbox: Toolbox,
        router: Router,
        slots: Slots,
        native: bool,
        day: Callable[[], date] = today,
        approvals: Approvals | None = None,
    ) -> None:
        """
        Args:
            native: the generator calls functions by itself.
            approvals: keeps the word on a call that waits from counting twice.
        """
        self._toolbox = toolbox
        self._router = router
        self._slots = slots
        self._native = native
        self._approvals = approvals
        self._day = day

    async def __call__(self, state: State) -> State:
        """Raises InvalidRequestError, and ConflictError for an approval of what is not pending."""
        if state.reply is not None:
            return state
        offered = await self._offered(state)
        pending = state.session.pending if state.session else None
        if state.request.approval is not None:
            return await self._decided(state, pending, state.request.approval, offered)
        state = replace(state, handed_in=_handed_in(conversation(state.request, state.session)))
        if pending is not None and not state.handed_in and state.request.tool_choice != "none":
            resumed = await self._resumed(state, pending, offered)
            if resumed is not None:
                return resumed
        wanted = self._wanted(state, offered)
        if self._native:
            return replace(state, tools=tuple(wanted))
        return await self._chosen(state, wanted) if wanted and not state.handed_in else state

    async def _offered(self, state: State) -> tuple[ToolSpec, ...]:
        """Return the tools of the agent and of the caller; of one name, the caller's own."""
        brought = {spec.name: spec for spec in state.request.tools}
        visible = await self._toolbox.visible(state.request.principal)
        return (*(spec for spec in visible if spec.name not in brought), *brought.values())

    def _wanted(self, state: State, offered: Sequence[ToolSpec]) -> list[ToolSpec]:
        """Return the tools that `tool_choice` leaves."""
        choice = state.request.tool_choice
        if choice == "none":
            return []
        wanted = [spec for spec in offered if choice in ("auto", "required", spec.name)]
        if not wanted and choice != "auto":
            named = "" if choice == "required" else f" {choice!r}"
            raise InvalidRequestError(f"tool_choice: there is no tool{named}", "tool_choice")
        return wanted

    async def _chosen(self, state: State, wanted: Sequence[ToolSpec]) -> State:
        message = state.question.standalone
        if state.request.tool_choice == "auto":
            spec = await self._router.choose(message, wanted, self._day())
        else:
            spec = await self._router.nearest(message, wanted)
        if spec is None:
            return state
        before = [turn.content for turn in state.question.history if turn.role == "user"]
        filled = self._slots.fill(spec, message, before, self._day())
        call = ToolCall(f"call_{uuid.uuid4().hex}", spec.name, filled.arguments)
        if filled.missing:
            return self._asking(state, spec, Pending(_name(), call, filled.missing))
        return await self._made(state, spec, call)

    # -------------------------------------------------------------- what waits for the user

    async def _decided(
        self,
        state: State,
        pending: Pending | None,
        approval: Approval,
        offered: Sequence[ToolSpec],
    ) -> State:
        if pending is None or pending.missing or pending.id != approval.id:
            raise ConflictError(f"nothing waits for the approval {approval.id!r} any more")
        wanted = self._wanted(state, offered) if self._native and approval.approve else ()
        # Before the call: a client that leaves during it must not be asked for it again.
        session = await self._settled(state, pending)
        if not approval.approve:
            return replace(self._denied(state, pending), session=session)
        spec = next((each for each in offered if each.name == pending.call.name), None)
        state = await self._made(state, spec, pending.call)
        return replace(state, tools=tuple(wanted), session=session)

    async def _settled(self, state: State, pending: Pending) -> Session | None:
        """Return the session as it is stored now. Raises ConflictError where another turn was
        first."""
        session = state.session
        if session is None or self._approvals is None:
            return session
        if not await self._approvals.settle(session.conversation_id, pending.id):
            raise ConflictError(f"nothing waits for the approval {pending.id!r} any more")
        loaded = session.loaded and replace(session.loaded, pending=None)
        return replace(session, pending=None, loaded=loaded)

    async def _resumed(
        self, state: State, pending: Pending, offered: Sequence[ToolSpec]
    ) -> State | None:
        """Go on with what waits, or return None where the user speaks of something else."""
        spoken = replies.verdict(state.question.asked)
        if not pending.missing:
            if spoken is None:
                return None
            approval = Approval(pending.id, approve=spoken == "yes")
            agreed = replace(state, request=replace(state.request, approval=approval))
            return await self._decided(agreed, pending, approval, offered)
        spec = next((each for each in offered if each.name == pending.call.name), None)
        if spec is None:
            return None
        if spoken == "no":
            return state.replying(_said(replies.dropped(_language(state))))
        return await self._completed(state, pending, spec, offered)

    async def _completed(
        self, state: State, pending: Pending, spec: ToolSpec, offered: Sequence[ToolSpec]
    ) -> State | None:
        message = state.question.asked
        if await self._is_something_else(message, pending, spec, offered):
            return None
        filled = self._slots.complete(spec, pending.call.arguments, message, self._day())
        call = replace(pending.call, arguments=filled.arguments)
        if not filled.missing:
            return await self._made(state, spec, call)
        # An answer to a part of the question is worth another one; there are only so many parts.
        asked = pending.asked + (filled.missing == pending.missing)
        if asked > MOST_QUESTIONS:
            return state.replying(_said(replies.given_up(_language(state))))
        return self._asking(state, spec, Pending(_name(), call, filled.missing, asked))

    async def _is_something_else(
        self, message: str, pending: Pending, spec: ToolSpec, offered: Sequence[ToolSpec]
    ) -> bool:
        """Tell whether a message answers nothing that was asked: a question, or another request."""
        if self._slots.typed(spec, pending.call.arguments, message, self._day()):
            return False
        if forms.asks(message) and forms.general(message, identified=False):
            return True
        other = await self._router.choose(message, offered, self._day())
        return other is not None and other.name != spec.name

    # -------------------------------------------------------------- calls and replies

    async def _made(self, state: State, spec: ToolSpec | None, call: ToolCall) -> State:
        """Make a call: its result goes into the state. Or the reply asks the user or the caller."""
        if spec is not None and spec.client:
            return state.replying(told(call, Finish("tool_calls")))
        outcome = await self._toolbox.execute(call, state)
        if isinstance(outcome, Pending):
            text = self._toolbox.question(outcome, _language(state))
            return state.replying(told(Piece(text), outcome, Finish()))
        return replace(state, results=(*state.results, outcome))

    def _denied(self, state: State, pending: Pending) -> State:
        denied = ToolResult(pending.call, "denied", "the user did not agree", effect="write")
        text = self._toolbox.describe(denied, _language(state))
        return state.replying(told(denied, Piece(text), Finish()))

    def _asking(self, state: State, spec: ToolSpec, pending: Pending) -> State:
        text = question(spec, pending.missing, _language(state))
        return state.replying(told(Piece(text), pending, Finish()))


def _name() -> str:
    return f"question_{uuid.uuid4().hex}"


def _handed_in(turns: Sequence[Turn]) -> tuple[ToolResult, ...]:
    """Return the results that a caller hands in of the calls that it was told to make: all since
    the user spoke, as a generator may call, read what came of it, and call again."""
    if not turns or turns[-1].role != "tool":
        return ()
    known = {call.id: call for turn in turns for call in turn.tool_calls}
    found: list[ToolResult] = []
    for turn in reversed(turns):
        if turn.role == "user":
            break
        if turn.role == "tool":
            name = turn.tool_call_id or ""
            call = known.get(name, ToolCall(name, "tool", {}))
            found.append(ToolResult(call, "ok", _parsed(turn.content)))
    return tuple(reversed(found))


def _parsed(content: str) -> Json:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return content


def _language(state: State) -> Language:
    """Return the language to speak: that of the newest message with words in it."""
    said = [turn.content for turn in state.question.history if turn.role == "user"]
    for text in (state.question.asked, *reversed(said)):
        words = re.sub(r"\S*[\d@]\S*", "", text) if text.isascii() else text
        if any(each.isalpha() for each in words):
            return language_of(text)
    return "zh" if state.question.language == "zh" else "en"


def _said(text: str) -> AsyncGenerator[Event]:
    return told(Piece(text), Finish())
