"""Reading a streamed chat completion, whichever client brought it: pieces, calls, the finish."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from agent_runtime.domain import Finish, FinishReason, Json, Piece, ToolCall, Usage
from agent_runtime.errors import GeneratorUnavailableError

_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


@dataclass(slots=True)
class _Partial:
    id: str = ""
    name: str = ""
    arguments: str = ""


class Reply:
    """What a stream of chunks adds up to."""

    def __init__(self) -> None:
        self._calls: dict[int, _Partial] = {}
        self._reason: FinishReason = "stop"
        self.finished = False
        """Whether the server said that this is all."""
        self.usage: Usage | None = None
        self.text: list[str] = []

    def read(self, chunk: Any) -> Iterator[Piece]:
        """Take in a chunk; yield its text. Chunks without choices bring the usage."""
        if (usage := getattr(chunk, "usage", None)) is not None:
            self.usage = Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0)
        for choice in chunk.choices or ():
            if choice.index:
                continue
            if choice.finish_reason:
                self.finished = True
                self._reason = _REASONS.get(choice.finish_reason, "stop")
            delta = choice.delta
            if delta is None:
                continue
            for call in getattr(delta, "tool_calls", None) or ():
                self._add(call)
            if delta.content:
                self.text.append(delta.content)
                yield Piece(delta.content)

    def _add(self, call: Any) -> None:
        """Join the parts of a call. Some servers send whole calls, all under the same index."""
        index = call.index if call.index is not None else len(self._calls)
        known = self._calls.get(index)
        if known is not None and known.id and call.id and call.id != known.id:
            index = max(self._calls) + 1
        partial = self._calls.setdefault(index, _Partial())
        partial.id = partial.id or call.id or ""
        if (function := call.function) is not None:
            partial.name = partial.name or function.name or ""
            partial.arguments += function.arguments or ""

    def end(self, estimated: Usage) -> Iterator[ToolCall | Finish]:
        """Yield the calls and the finish. A call that was cut off is none.

        Raises:
            GeneratorUnavailableError: the arguments of a call are no JSON object.
        """
        calls = [] if self._reason == "length" else list(self._calls.values())
        for partial in calls:
            arguments = arguments_of(partial.arguments, partial.name)
            yield ToolCall(partial.id or new_id(), partial.name, arguments)
        reason: FinishReason = "tool_calls" if calls else self._reason
        if reason == "tool_calls" and not calls:
            reason = "stop"
        yield Finish(reason, self.usage or estimated)


def arguments_of(text: str, name: str) -> dict[str, Json]:
    """Read the arguments of a call. Raises GeneratorUnavailableError."""
    try:
        arguments = json.loads(text or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise GeneratorUnavailableError(
            f"the model called {name!r} with arguments that are no JSON object"
        )
    return cast("dict[str, Json]", arguments)


def new_id() -> str:
    """Return an identifier for a call."""
    return f"call_{uuid.uuid4().hex[:24]}"
