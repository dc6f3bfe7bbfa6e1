"""Chat replies as OpenAI's clients read them: one object, or chunks of a stream. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from agent_runtime.domain import (
    Answer,
    Event,
    Finish,
    Pending,
    Piece,
    ToolCall,
    ToolResult,
    Usage,
)
from agent_runtime.http.actions import (
    AgentToolResult,
    RequiredAction,
    Status,
    required,
    result,
    status_of,
)
from agent_runtime.http.citations import Annotation, Annotations
from agent_runtime.http.functions import arguments_of
from agent_runtime.http.wire import DONE, event


class Called(TypedDict):
    """A function with its arguments, which are JSON in a text."""

    name: NotRequired[str]
    arguments: str


class ChatToolCall(TypedDict):
    """A call that the client has to make."""

    id: NotRequired[str]
    index: NotRequired[int]
    """In streams: which call it belongs to."""
    type: NotRequired[Literal["function"]]
    function: Called


class AssistantMessage(TypedDict):
    """The reply."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    annotations: list[Annotation]
    tool_calls: NotRequired[list[ChatToolCall]]


class ChatChoice(TypedDict):
    """The only choice."""

    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: None


class ChatUsage(TypedDict):
    """Tokens, as the generator counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(TypedDict):
    """A whole reply."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    """The agent's revision."""
    conversation_id: str
    choices: list[ChatChoice]
    usage: ChatUsage
    status: Status
    required_action: RequiredAction | None
    tool_results: list[AgentToolResult]
    """What the agent did with its own tools."""
    degraded: list[str]
    """What the agent does without for now, such as `sessions`."""


def usage_of(usage: Usage) -> ChatUsage:
    """Return the tokens of a reply."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every object of one reply has in common."""

    id: str
    created: int
    model: str
    revision: str
    conversation_id: str
    degraded: tuple[str, ...] = ()

    def completion(self, answer: Answer) -> ChatCompletion:
        """Return the whole reply as one object."""
        annotations = Annotations()
        message: AssistantMessage = {
            "role": "assistant",
            "content": answer.text or (None if answer.client_calls else ""),
            "refusal": None,
            "annotations": [annotations.of(each) for each in answer.citations],
        }
        if answer.client_calls:
            message["tool_calls"] = [
                {
                    "id": each.id,
                    "type": "function",
                    "function": {"name": each.name, "arguments": arguments_of(each.arguments)},
                }
                for each in answer.client_calls
            ]
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.revision,
            "conversation_id": self.conversation_id,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": answer.finish_reason,
                    "logprobs": None,
                }
            ],
            "usage": usage_of(answer.usage),
            "status": status_of(answer.pending),
            "required_action": required(answer.pending),
            "tool_results": [result(each) for each in answer.tool_calls],
            "degraded": list(self.degraded),
        }

    def stream(self, events: AsyncIterator[Event], with_usage: bool) -> AsyncIterator[bytes]:
        """Yield the reply as server-sent events, `[DONE]` the last."""
        return _Chunks(self, with_usage).render(events)


@dataclass(slots=True)
class _Chunks:
    """A reply on its way through a stream."""

    envelope: Envelope
    with_usage: bool
    annotations: Annotations = field(default_factory=Annotations)
    calls: int = 0
    pending: Pending | None = None
    finish: Finish = field(default_factory=Finish)

    async def render(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})
        async for each in events:
            match each:
                case Piece() if each.text or each.citation:
                    yield self._piece(each)
                case ToolCall():
                    for part in self._call(each):
                        yield part
                case ToolResult():
                    yield self._chunk({}, tool_results=[result(each)])
                case Pending():
                    self.pending = each
                case Finish():
                    self.finish = each
                case _:
                    pass
        yield self._chunk(
            {},
            self.finish.reason,
            status=status_of(self.pending),
            required_action=required(self.pending),
            degraded=list(self.envelope.degraded),
        )
        if self.with_usage:
            yield self._object([], usage=usage_of(self.finish.usage))
        yield DONE

    def _piece(self, piece: Piece) -> bytes:
        delta: dict[str, Any] = {"content": piece.text}
        if piece.citation:
            delta["annotations"] = [self.annotations.of(piece.citation)]
        return self._chunk(delta)

    def _call(self, call: ToolCall) -> Sequence[bytes]:
        """Return the name and then the arguments, as OpenAI's clients put them together."""
        index = self.calls
        self.calls += 1
        head = {"name": call.name, "arguments": ""}
        tail = {"arguments": arguments_of(call.arguments)}
        parts = (
            {"index": index, "id": call.id, "type": "function", "function": head},
            {"index": index, "function": tail},
        )
        return [self._chunk({"tool_calls": [part]}) for part in parts]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return self._object([choice], **more)

    def _object(self, choices: Sequence[Any], **more: Any) -> bytes:
        usage = {"usage": None} if self.with_usage else {}
        return event(
            {
                "id": self.envelope.id,
                "object": "chat.completion.chunk",
                "created": self.envelope.created,
                "model": self.envelope.model,
                "system_fingerprint": self.envelope.revision,
                "conversation_id": self.envelope.conversation_id,
                "choices": choices,
                **usage,
                **more,
            }
        )
