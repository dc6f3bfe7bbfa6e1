"""Everything the agent can do, with its limits: who may, how often, how long, and when the user is
asked first. What goes wrong with a tool is a result, never an exception."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jsonschema.protocols import Validator

from agent_runtime.config import ToolCallsConfig, ToolConfig
from agent_runtime.domain import (
    Json,
    Pending,
    Principal,
    State,
    ToolCall,
    ToolResult,
    ToolSpec,
    Turn,
)
from agent_runtime.errors import AgentError, InvalidConfigError
from agent_runtime.ports import Authorizer, Tool
from agent_runtime.telemetry import Telemetry
from agent_runtime.text.language import Language
from agent_runtime.tools.late import reason
from agent_runtime.tools.rendering import describe
from agent_runtime.tools.replies import approval
from agent_runtime.tools.results import cut, without
from agent_runtime.tools.schema import Schema, complaint, validator
from agent_runtime.tools.slots import question as missing

log = logging.getLogger(__name__)

TOOL_SECONDS = 10.0
"""How long a call of a tool takes that is not configured."""


@dataclass(frozen=True, slots=True)
class ToolStatus:
    """How a tool is doing. `problem` says why it is not offered, or not well."""

    name: str
    offered: bool
    problem: str | None = None


class Toolbox:
    """The tools of an agent."""

    def __init__(
        self,
        tools: Sequence[Tool],
        authorizer: Authorizer,
        limits: ToolCallsConfig,
        configs: Sequence[ToolConfig] = (),
        telemetry: Telemetry | None = None,
    ) -> None:
        """`configs` says how long a tool may take and how its result is said."""
        self._tools = {tool.spec.name: tool for tool in tools}
        self._authorizer = authorizer
        self._limits = limits
        self._seconds = {config.name: config.timeout_seconds for config in configs}
        self._telemetry = telemetry or Telemetry("")
        for name in self._tools:
            self._telemetry.metrics.tool_known(name)
        self._replies = {config.name: config.reply for config in configs}
        self._validators: dict[str, tuple[Schema, Validator]] = {}

    def status(self) -> tuple[ToolStatus, ...]:
        """Return how each tool is doing."""
        found = ((name, _problem(tool)) for name, tool in self._tools.items())
        return tuple(ToolStatus(name, problem is None, problem) for name, problem in found)

    async def visible(self, caller: Principal) -> tuple[ToolSpec, ...]:
        """Return the tools that a caller may use and that are there."""
        offered = [tool.spec for tool in self._tools.values() if _problem(tool) is None]
        allowed = await asyncio.gather(*(self._allowed(caller, spec.name) for spec in offered))
        return tuple(spec for spec, may in zip(offered, allowed, strict=True) if may)

    async def readable(self, turns: Sequence[Turn], caller: Principal) -> tuple[Turn, ...]:
        """Return turns without what came of tools that a caller may not use (any more)."""
        named = {call.name for turn in turns for call in turn.tool_calls} & self._tools.keys()
        return without(
            turns, [name for name in sorted(named) if not await self._allowed(caller, name)]
        )

    def describe(self, result: ToolResult, language: str) -> str:
        """Say a result in plain words, those of the configuration if there are any."""
        replies = self._replies.get(result.call.name, {})
        return describe(result, language, replies.get(language))

    def question(self, pending: Pending, language: str) -> str:
        """Return the words that ask the user about a call that waits."""
        tool = self._tools.get(pending.call.name)
        spoken: Language = "zh" if language == "zh" else "en"
        if pending.missing and tool is not None:
            return missing(tool.spec, pending.missing, spoken)
        return approval(tool.spec if tool else None, pending.call, spoken)

    async def execute(self, call: ToolCall, state: State) -> ToolResult | Pending:
        """Make a call, or say that it waits for the user's approval. It never raises.

        Count and time of the turn are counted from `state.results`.
        """
        spent = sum(result.seconds for result in state.results)
        return await self._checked(call, state, len(state.results), spent)

    async def execute_all(
        self, calls: Sequence[ToolCall], state: State
    ) -> tuple[ToolResult | Pending, ...]:
        """Make calls that were asked for together: those that read at once, then, one after the
        other, those that write. Results come in the order of the calls."""
        made = len(state.results)
        spent = sum(result.seconds for result in state.results)
        begun = time.monotonic()
        done: dict[int, ToolResult | Pending] = {}
        reading = [index for index, call in enumerate(calls) if self._effect(call) == "read"]
        read = await asyncio.gather(
            *(self._checked(calls[index], state, made + index, spent) for index in reading)
        )
        done |= dict(zip(reading, read, strict=True))
        for index, call in enumerate(calls):
            if index not in done:
                passed = spent + time.monotonic() - begun
                done[index] = await self._checked(call, state, made + index, passed)
        return tuple(done[index] for index in range(len(calls)))

    async def _checked(
        self, call: ToolCall, state: State, made: int, spent: float
    ) -> ToolResult | Pending:
        begun = time.monotonic()
        result = await self._outcome(call, state, made, self._limits.max_seconds - spent)
        if isinstance(result, Pending):
            log.info("tool %s waits for approval", call.name)
            return result
        seconds = time.monotonic() - begun
        name = call.name if call.name in self._tools else "unknown"
        self._telemetry.metrics.tool(name, result.status, seconds)
        log.info(
            "tool %s: %s after %.3f s, arguments %s",
            name, result.status, seconds, ", ".join(sorted(call.arguments)) or "none",
        )  # fmt: skip
        # For whoever may not use it there is no such tool; only the log and metrics know better.
        status = "error" if result.status == "denied" else result.status
        return replace(result, status=status, seconds=seconds, effect=self._effect(call))

    async def _outcome(
        self, call: ToolCall, state: State, made: int, left: float
    ) -> ToolResult | Pending:
        caller = state.request.principal
        tool = self._tools.get(call.name)
        if tool is None or not await self._allowed(caller, call.name):
            status = "denied" if tool else "error"
            return ToolResult(call, status, f"there is no tool {call.name!r}")
        if (problem := _problem(tool)) is not None:
            return ToolResult(call, "error", f"{call.name} is not available: {problem}")
        if made >= self._limits.max_calls:
            most = self._limits.max_calls
            return ToolResult(call, "error", f"no more than {most} calls are made in one turn")
        if left <= 0:
            return ToolResult(call, "error", "the time for tools in this turn is used up")
        try:
            wrong = complaint(self._validator(tool.spec), dict(call.arguments))
        except InvalidConfigError as error:
            return ToolResult(call, "error", reason(error))
        if wrong is not None:
            return ToolResult(call, "error", wrong)
        if needs_approval(tool.spec, call, state):
            return Pending(f"approval_{uuid.uuid4().hex}", call)
        return await self._made(tool, call, caller, left)

    async def _made(self, tool: Tool, call: ToolCall, caller: Principal, left: float) -> ToolResult:
        own = self._seconds.get(call.name, TOOL_SECONDS)
        with self._telemetry.phase("tool", call.name) as phase:
            phase.note("gen_ai.tool.call.id", call.id)
            try:
                async with asyncio.timeout(min(own, left)):
                    content = await tool.call(call.arguments, caller)
                return ToolResult(call, "ok", cut(content, self._limits.max_result_bytes))
            except TimeoutError:
                kind, said = "timeout", f"it did not finish within {min(own, left):.3g} seconds"
            except Exception as error:  # a tool may raise anything, and none of it is worth a turn
                kind, said = type(error).__name__, reason(error)
                if not isinstance(error, AgentError):
                    log.warning("tool %s raised %s", call.name, kind)
            phase.fail(kind)
            return ToolResult(call, "error", said)

    async def _allowed(self, caller: Principal, name: str) -> bool:
        try:
            return await self._authorizer.allowed(caller, name) is True
        except Exception as error:  # no answer means no, whatever the reason
            log.warning("nobody decided on tool %s: %s", name, type(error).__name__)
            return False

    def _validator(self, spec: ToolSpec) -> Validator:
        """A tool's schema may change while the agent runs, as its server is updated."""
        known = self._validators.get(spec.name)
        if known is None or known[0] != spec.parameters:
            known = (spec.parameters, validator(spec.parameters))
            self._validators[spec.name] = known
        return known[1]

    def _effect(self, call: ToolCall) -> Any:
        tool = self._tools.get(call.name)
        return tool.spec.effect if tool else "read"


def needs_approval(spec: ToolSpec, call: ToolCall, state: State) -> bool:
    """Tell whether the user has to agree first: the call changes something while retrieved text is
    in the context, and they have not agreed to this very call."""
    return spec.effect == "write" and _grounded(state) and not approved(call, state)


def _grounded(state: State) -> bool:
    """Tell whether text of documents is in the context: of this turn, or in what is still in view
    of the turns before it."""
    if state.evidence is not None and state.evidence.passages:
        return True
    return bool(state.session and state.session.grounded and state.question.history)


def approved(call: ToolCall, state: State) -> bool:
    """Tell whether the user agreed to exactly this call: its id, its tool and its arguments."""
    approval = state.request.approval
    pending = state.session.pending if state.session else None
    return (
        approval is not None
        and approval.approve
        and pending is not None
        and not pending.missing
        and approval.id == pending.id
        and pending.call.id == call.id
        and pending.call.name == call.name
        and _same(pending.call.arguments, call.arguments)
    )


def _same(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    """Unlike `==`, tell true from 1."""
    return repr(sorted(one.items())) == repr(sorted(other.items()))


def _problem(tool: Tool) -> str | None:
    """Tools of one's own need not know of problems."""
    return getattr(tool, "problem", None)
