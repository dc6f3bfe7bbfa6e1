"""Responses as OpenAI's clients read them, and the events that they come in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from agent_runtime.domain import Event, Finish, Pending, Piece, ToolCall, ToolResult, Usage
from agent_runtime.http.actions import RequiredAction, required
from agent_runtime.http.citations import Annotation, Annotations
from agent_runtime.http.fields import issued
from agent_runtime.http.functions import arguments_of
from agent_runtime.http.items import Item
from agent_runtime.http.wire import encode

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed"]
LABEL = "agent"
"""The server that the agent's own tools belong to."""
StreamEvent = dict[str, Any]


class ResponseObject(TypedDict):
    """A response. Besides OpenAI's fields: `required_action` and `degraded`."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: ResponseStatus
    error: dict[str, Any] | None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    previous_response_id: str | None
    conversation: dict[str, str]
    conversation_id: str
    store: bool
    temperature: float | None
    top_p: float | None
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    truncation: Literal["auto"]
    metadata: dict[str, str]
    usage: dict[str, Any] | None
    required_action: RequiredAction | None
    degraded: list[str]


def usage_of(usage: Usage) -> dict[str, Any]:
    """Return the tokens of a reply."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


@dataclass(slots=True)
class _Message:
    """The message while it is written."""

    id: str
    index: int
    text: list[str] = field(default_factory=list[str])
    annotations: list[Annotation] = field(default_factory=list[Annotation])


class Writer:
    """Writes one response: takes the events of a reply and gives those of the API.

    The object is the same whether anybody reads its events or not.
    """

    def __init__(self, response: ResponseObject) -> None:
        self.response = response
        self._annotations = Annotations()
        self._items: list[Item] = []
        self._message: _Message | None = None
        self._finish = Finish()
        self._number = 0

    def begin(self) -> Iterator[StreamEvent]:
        """Yield what comes before everything else."""
        yield self._event("response.created", response=dict(self.response))
        yield self._event("response.in_progress", response=dict(self.response))

    def take(self, event: Event) -> Iterator[StreamEvent]:
        """Yield what an event of the reply becomes."""
        match event:
            case Piece():
                if event.text or event.citation:
                    yield from self._piece(event)
            case ToolCall():
                yield from self._function(event)
            case ToolResult():
                yield from self._agent_call(event)
            case Pending():
                yield from self._pending(event)
            case Finish():
                self._finish = event

    def end(self, at: int) -> Iterator[StreamEvent]:
        """Close what is open and complete the response, at so many seconds since 1970."""
        yield from self._close()
        length = self._finish.reason == "length"
        self.response["status"] = "incomplete" if length else "completed"
        self.response["incomplete_details"] = {"reason": "max_output_tokens"} if length else None
        self.response["completed_at"] = None if length else at
        self.response["usage"] = usage_of(self._finish.usage)
        self.response["output"] = self._items

    def final(self) -> StreamEvent:
        """Return the event with the whole response."""
        return self._event(f"response.{self.response['status']}", response=dict(self.response))

    def fail(self, error: dict[str, Any]) -> Iterator[StreamEvent]:
        """Yield the end of a response that failed, with the error as a plain reply has it."""
        message = error["message"]
        self.response["status"] = "failed"
        self.response["error"] = {"code": "server_error", "message": message}
        self.response["output"] = self._items
        yield self.final()
        yield self._event("error", **error, error=error)

    def _piece(self, piece: Piece) -> Iterator[StreamEvent]:
        message = self._message
        if message is None:
            message = self._message = _Message(issued("msg"), len(self._items))
            yield from self._open(message)
        place = {"item_id": message.id, "output_index": message.index, "content_index": 0}
        if piece.text:
            message.text.append(piece.text)
            yield self._event("response.output_text.delta", **place, delta=piece.text, logprobs=[])
        if piece.citation:
            annotation = self._annotations.of(piece.citation)
            yield self._event(
                "response.output_text.annotation.added",
                **place,
                annotation_index=len(message.annotations),
                annotation=annotation,
            )
            message.annotations.append(annotation)

    def _open(self, message: _Message) -> Iterator[StreamEvent]:
        item = {
            "id": message.id, "type": "message", "role": "assistant",
            "status": "in_progress", "content": [],
        }  # fmt: skip
        self._items.append(item)
        yield self._event("response.output_item.added", output_index=message.index, item=item)
        yield self._event(
            "response.content_part.added",
            item_id=message.id,
            output_index=message.index,
            content_index=0,
            part=_part("", []),
        )

    def _close(self) -> Iterator[StreamEvent]:
        message = self._message
        if message is None:
            return
        text = "".join(message.text)
        part = _part(text, message.annotations)
        place = {"item_id": message.id, "output_index": message.index, "content_index": 0}
        status = "incomplete" if self._finish.reason == "length" else "completed"
        item = {**self._items[message.index], "status": status, "content": [part]}
        self._items[message.index] = item
        yield self._event("response.output_text.done", **place, text=text, logprobs=[])
        yield self._event("response.content_part.done", **place, part=part)
        yield self._event("response.output_item.done", output_index=message.index, item=item)

    def _function(self, call: ToolCall) -> Iterator[StreamEvent]:
        arguments, id, index = arguments_of(call.arguments), issued("fc"), len(self._items)
        item = {
            "id": id, "type": "function_call", "call_id": call.id, "name": call.name,
            "arguments": arguments, "status": "completed",
        }  # fmt: skip
        place = {"item_id": id, "output_index": index}
        begun = {**item, "arguments": "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=index, item=begun)
        yield self._event("response.function_call_arguments.delta", **place, delta=arguments)
        yield self._event(
            "response.function_call_arguments.done", **place, name=call.name, arguments=arguments
        )
        yield from self._whole(item)

    def _agent_call(self, result: ToolResult) -> Iterator[StreamEvent]:
        index, ok = len(self._items), result.status == "ok"
        content = result.content
        said = content if isinstance(content, str) else encode(content).decode()
        item = {
            "id": result.call.id, "type": "mcp_call", "name": result.call.name,
            "arguments": arguments_of(result.call.arguments), "server_label": LABEL,
            "output": said if ok else None, "error": None if ok else _failure(said),
            "status": "completed" if ok else "failed", "approval_request_id": None,
        }  # fmt: skip
        begun = {**item, "output": None, "error": None, "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=index, item=begun)
        yield self._event(
            f"response.mcp_call.{item['status']}", item_id=result.call.id, output_index=index
        )
        yield from self._whole(item)

    def _pending(self, pending: Pending) -> Iterator[StreamEvent]:
        self.response["required_action"] = required(pending)
        if pending.missing:
            return
        item = {
            "id": pending.id, "type": "mcp_approval_request", "name": pending.call.name,
            "arguments": arguments_of(pending.call.arguments), "server_label": LABEL,
        }  # fmt: skip
        index = len(self._items)
        yield self._event("response.output_item.added", output_index=index, item=item)
        yield from self._whole(item)

    def _whole(self, item: Item) -> Iterator[StreamEvent]:
        index = len(self._items)
        self._items.append(item)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _event(self, kind: str, **more: Any) -> StreamEvent:
        number = self._number
        self._number += 1
        return {**more, "type": kind, "sequence_number": number}


def _part(text: str, annotations: list[Annotation]) -> Item:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def _failure(said: str) -> Item:
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": said}]}
